//! The tiled GEMM that matmul and the three products of a convolution share: the core, the tile, and the number of
//! tiles.
//!
//! A core (`shaders/lib/product_*.wgsl`) computes C\[m, n\] = sum over k of A\[m, k\] B\[k, n\] tile by tile. The
//! operation's own file loads the elements of A and B and stores those of C. One dispatch may compute several products
//! of one size. The K dimension may be split: each split writes partial sums, which another dispatch adds in a fixed
//! order (split-K).
//!
//! The default tile is the one in the table with the least [`cost`](GemmShape::cost).

use crate::error::Result;
use crate::kernel::{Candidate, Caps, DeviceClass, Extent, HeaderConstant, Kernel, Lowering, Needs, Source, source};

/// The GEMM shape that determines core and tile: [m, n] results, k products per sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GemmShape {
    m: u32,
    n: u32,
    k: u32,
    /// Number of products of this shape.
    products: u32,
    /// True if the K dimension may be split.
    splits: bool,
    /// True if K is so much longer than the result that software devices split it too.
    long_k: bool,
}

/// The algorithm that computes a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// `lib/product_workgroup.wgsl` with one half: the tile's operands in workgroup memory.
    Workgroup,
    /// The same with two halves (double buffering): the next operands are loaded while the current ones are used.
    Pipelined,
    /// `lib/product_subgroup8.wgsl`: vectors of four, shuffled among eight lanes.
    Subgroup8,
}

/// The cores for GPUs.
pub(crate) const GPU: &[Core] = &[Core::Pipelined, Core::Workgroup];

/// A workgroup tile of C, and the thread tiles that it consists of.
#[derive(Debug, PartialEq)]
struct Tile {
    name: &'static str,
    rows: u32,
    columns: u32,
    /// Number of positions of the K dimension in workgroup memory at a time.
    k: u32,
    /// Number of invocations.
    threads: u32,
    /// Rows and columns owned by each invocation.
    thread_tile: [u32; 2],
}

const fn tile(name: &'static str, [rows, columns, k]: [u32; 3], threads: u32, thread_tile: [u32; 2]) -> Tile {
    Tile { name, rows, columns, k, threads, thread_tile }
}

/// Tiles of eight lanes. A wide one has the fewest loads per result.
static SUBGROUP8: &[Tile] = &[
    tile("32x32", [32, 32, 4], 8, [4, 32]),
    tile("32x16", [32, 16, 4], 8, [4, 16]),
    tile("32x8", [32, 8, 4], 8, [4, 8]),
];

/// Workgroup tiles, each with its efficiency on a fully occupied compute unit of an NVIDIA card, by one half of workgroup
/// memory and by two; `None` where that is no candidate. A name is rows, columns and k, plus the thread tile where that
/// distinguishes two tiles.
///
/// The efficiencies are shares of the best, measured on an H100: products and the convolutions of ResNet-18 with their
/// gradients (`benches/results/h100.md`).
static WORKGROUP: &[(Tile, [Option<f64>; 2])] = &[
    (tile("128x128x16", [128, 128, 16], 256, [8, 8]), [None, Some(0.95)]),
    (tile("128x128x8", [128, 128, 8], 256, [8, 8]), [Some(0.97), Some(0.83)]),
    (tile("128x64x8", [128, 64, 8], 128, [8, 8]), [None, Some(0.87)]),
    (tile("64x128x8", [64, 128, 8], 128, [8, 8]), [None, Some(0.87)]),
    (tile("128x64x16", [128, 64, 16], 256, [8, 4]), [Some(1.00), Some(0.84)]),
    (tile("64x64x32", [64, 64, 32], 128, [8, 4]), [Some(0.83), None]),
    (tile("64x64x16", [64, 64, 16], 128, [8, 4]), [Some(1.00), Some(0.82)]),
    (tile("64x64x16-8x8", [64, 64, 16], 64, [8, 8]), [Some(0.92), None]),
    (tile("64x64x8", [64, 64, 8], 64, [8, 8]), [None, Some(0.85)]),
    (tile("64x64x16-4x4", [64, 64, 16], 256, [4, 4]), [None, Some(0.78)]),
    (tile("32x64x16", [32, 64, 16], 64, [8, 4]), [Some(0.80), None]),
    (tile("64x32x16", [64, 32, 16], 64, [8, 4]), [Some(0.80), Some(0.57)]),
    (tile("64x32x16-4x4", [64, 32, 16], 128, [4, 4]), [None, Some(0.62)]),
    (tile("32x32x32", [32, 32, 32], 64, [4, 4]), [None, Some(0.50)]),
    (tile("32x32x16", [32, 32, 16], 64, [4, 4]), [Some(0.74), None]),
    (tile("128x16x16", [128, 16, 16], 128, [4, 4]), [None, Some(0.50)]),
    (tile("64x16x16", [64, 16, 16], 64, [4, 4]), [Some(0.62), None]),
    (tile("128x8x8", [128, 8, 8], 64, [4, 4]), [Some(0.45), None]),
];

impl Tile {
    /// Number of sums that an invocation owns.
    fn sums(&self) -> u32 {
        self.thread_tile[0] * self.thread_tile[1]
    }

    /// Minimum number of registers of an invocation: its sums, the operands, the load addresses, and the values loaded
    /// ahead.
    fn registers(&self, core: Core) -> u32 {
        self.sums() + 48 + if core == Core::Pipelined { 32 } else { 0 }
    }

    /// Number of results that it computes.
    fn area(&self) -> u64 {
        u64::from(self.rows * self.columns)
    }

    /// Number of its workgroups resident on a compute unit, limited by the registers for sums: 512 invocations with 64
    /// sums each, twice as many with a quarter of that.
    fn resident(&self) -> u32 {
        let threads = match self.sums() {
            64.. => 512,
            32.. => 768,
            _ => 1024,
        };
        (threads / self.threads).max(1)
    }

    /// Efficiency on a fully occupied compute unit that was not measured, from the ratio of arithmetic to loads. The steps are those between
    /// register tiles and larger ones in published series of SGEMM kernels.
    fn estimated(&self, core: Core) -> f64 {
        let of_thread = match self.sums() {
            64.. => 1.0,
            32.. => 0.87,
            _ => 0.7,
        };
        // Operands that are loaded for few results only.
        let of_tile = match self.area() {
            16_384.. => 1.0,
            8_192.. => 0.97,
            4_096.. => 0.92,
            _ => 0.85,
        };
        // With small workgroups, many of which run at a time, the others hide the latency of loads anyway.
        let of_core = match (core, self.threads) {
            (Core::Pipelined, 128..) => 1.1,
            (Core::Pipelined, _) => 0.98,
            _ => 1.0,
        };
        let of_depth = if self.k < 16 { 0.95 } else { 1.0 };
        of_thread * of_tile * of_core * of_depth
    }
}

impl Core {
    /// Name of its candidates.
    fn name(self) -> &'static str {
        match self {
            Core::Workgroup => "workgroup",
            Core::Pipelined => "pipelined",
            Core::Subgroup8 => "subgroup8",
        }
    }

    /// Its tiles, each with its efficiency on NVIDIA's cards.
    fn table(self) -> Vec<(&'static Tile, f64)> {
        let with = |halves: usize| {
            WORKGROUP.iter().filter_map(move |(tile, efficiency)| Some((tile, efficiency[halves - 1]?))).collect()
        };
        match self {
            Core::Workgroup => with(1),
            Core::Pipelined => with(2),
            Core::Subgroup8 => SUBGROUP8.iter().map(|tile| (tile, 1.0)).collect(),
        }
    }

    /// Number of rounds whose operands are in workgroup memory at a time.
    fn halves(self) -> u32 {
        if self == Core::Pipelined { 2 } else { 1 }
    }

    /// Requirements of one of its tiles on a device.
    fn needs(self, tile: &Tile) -> Needs {
        match self {
            Core::Workgroup | Core::Pipelined => Needs {
                invocations: tile.threads,
                // Padded as in `lib/product_workgroup.wgsl`.
                workgroup_memory: [tile.rows, tile.columns]
                    .map(|extent| 16 * (self.halves() * tile.k * (extent / 4 + 1)).max(tile.threads))
                    .iter()
                    .sum(),
                ..Needs::default()
            },
            Core::Subgroup8 => Needs { eight_lanes: true, ..Needs::default() },
        }
    }

    /// Tilings of `shape` by its tiles, in order of preference, with the K dimension split as suits the device and each
    /// tile.
    fn tilings(self, caps: &Caps, shape: &GemmShape) -> Vec<Tiling> {
        let tiling = |(tile, measured): (&'static Tile, f64)| {
            let efficiency = if caps.nvidia { measured } else { tile.estimated(self) };
            Tiling::new(self, tile, efficiency, shape, caps)
        };
        let mut tilings: Vec<Tiling> = self.table().into_iter().map(tiling).collect();
        match self {
            // Half of a wide tile may lie beyond the last column; eight columns are enough for narrow results.
            Core::Subgroup8 => {
                let first = match shape.n {
                    ..=8 => 2,
                    9..=16 | 33..=48 => 1,
                    _ => 0,
                };
                tilings[..=first].rotate_right(1);
            }
            Core::Workgroup | Core::Pipelined => {}
        }
        tilings
    }
}

/// Tilings of `shape` by the tiles of `cores` that the device can run, the default first.
fn tilings(cores: &[Core], caps: &Caps, shape: &GemmShape) -> Vec<Tiling> {
    let mut tilings: Vec<Tiling> = cores.iter().flat_map(|core| core.tilings(caps, shape)).collect();
    tilings.retain(|tiling| tiling.needs().are_met_by(caps));
    if !cores.contains(&Core::Subgroup8) {
        tilings.sort_by(|a, b| shape.cost(caps, a).total_cmp(&shape.cost(caps, b)));
    }
    tilings
}

/// Candidates for the tiles of `cores`, the default first. `lower` pushes the dispatches of a product with such a
/// tiling.
pub(crate) fn candidates(
    cores: &[Core],
    caps: &Caps,
    shape: GemmShape,
    lower: impl Fn(&mut Lowering<'_>, &Tiling) -> Result<()> + Copy + 'static,
) -> Vec<Candidate<'static>> {
    let candidate = |tiling: Tiling| {
        let lower = move |lowering: &mut Lowering<'_>| lower(lowering, &tiling);
        Candidate::new(tiling.core.name(), lower).tile(tiling.tile.name).needs(tiling.needs())
    };
    tilings(cores, caps, &shape).into_iter().map(candidate).collect()
}

/// The tiling of one product, or of several of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiling {
    core: Core,
    tile: &'static Tile,
    /// Share of the best tile's rate on a fully occupied compute unit.
    efficiency: f64,
    /// Number of tiles of all products.
    tiles: u64,
    /// Number of pieces of the K dimension.
    pub splits: u32,
    /// Number of positions in one piece.
    pub k_chunk: u32,
    /// Number of positions unrolled in the innermost loop.
    unrolled: u32,
}

/// Workgroup size for groups of eight lanes that share nothing: small, so that every core gets work.
const SHUFFLING: u32 = 32;
/// Minimum number of positions in a piece of the K dimension; shorter ones are not worth their partial sums.
const LEAST_CHUNK: u32 = 64;
/// Numbers of pieces to try.
const SPLITS: [u64; 17] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];
/// Maximum number of pieces, one element of each being added up by one invocation before the epilogue.
const MOST_SPLITS: u64 = 64;
/// Number of tiles that keep every core of a software device busy to the end.
const SOFTWARE_TILES: u64 = 32;
/// Cost of starting and ending a tile, in positions of the K dimension.
const ENDS: u32 = 24;
/// Cost of one more dispatch, in multiply-adds of one compute unit: a few microseconds.
const DISPATCH: f64 = 500_000.0;
/// Number of multiply-adds that a device computes in the time of one byte of memory traffic.
const PER_BYTE: f64 = 10.0;
/// Slowdown of a multiply-add whose operands are loaded for it alone, and its latency if nothing hides it, in
/// multiply-adds of one compute unit.
const LOADING: f64 = 8.0;
const LATENCY: f64 = 5_000.0;
/// Number of invocations below which a device is mostly idle, and number of K positions that is long for one
/// invocation.
const FEW: u64 = 16_384;
const LONG: u32 = 1_024;
/// Number of invocations per compute unit below which it waits for memory.
const BUSY: u32 = 256;

impl GemmShape {
    /// An [m, n] result with `k` products per sum.
    pub fn new([m, n, k]: [u32; 3]) -> Self {
        GemmShape { m, n, k, products: 1, splits: true, long_k: false }
    }

    /// `products` products of this shape.
    pub fn times(self, products: u32) -> Self {
        GemmShape { products, ..self }
    }

    /// The same shape, with a K dimension that is long for the result, as in a gradient by the weight.
    pub fn long_k(self) -> Self {
        GemmShape { long_k: true, ..self }
    }

    fn tiles(&self, tile: &Tile) -> u64 {
        u64::from(self.products) * u64::from(self.m.div_ceil(tile.rows)) * u64::from(self.n.div_ceil(tile.columns))
    }

    /// Number of elements of the results.
    fn len(&self) -> u64 {
        u64::from(self.products) * u64::from(self.m) * u64::from(self.n)
    }

    /// True if tiles cost less than one invocation per result. With values shuffled among eight lanes they always do.
    /// On another software device half of a tile must be used (a layer with six channels would leave most of it idle).
    pub fn suits_tiles(&self, caps: &Caps) -> bool {
        if caps.shuffles_eight_lanes() {
            return true;
        }
        let Some(first) = tilings(GPU, caps, self).into_iter().next() else { return false };
        if caps.class == DeviceClass::Software {
            return 2 * self.len() >= first.tiles * first.tile.area();
        }
        self.cost(caps, &first) <= self.cost_of_direct(caps)
    }

    /// The same estimate for one invocation per result, which loads two numbers per multiply-add, one after the other.
    fn cost_of_direct(&self, caps: &Caps) -> f64 {
        let units = f64::from(caps.compute_units.max(1));
        f64::from(self.k) * (self.len() as f64 * LOADING / units).max(LATENCY)
    }

    /// Estimated cost of a tiling on a device, in multiply-adds of one compute unit. A full unit runs `resident`
    /// workgroups. The workgroups of the last, partial round take as long as the fullest unit. A unit with few
    /// invocations waits for memory. Splitting the K dimension fills the device, but costs a dispatch and the memory
    /// traffic of the partial sums.
    fn cost(&self, caps: &Caps, tiling: &Tiling) -> f64 {
        if caps.class == DeviceClass::Software {
            return self.cost_of_software(tiling);
        }
        let tile = tiling.tile;
        let units = u64::from(caps.compute_units.max(1));
        let resident = u64::from(tile.resident());
        let workgroups = tiling.tiles * u64::from(tiling.splits);
        let full = workgroups / (units * resident);
        let rest = (workgroups - full * units * resident).div_ceil(units);
        let waiting = f64::from(BUSY) / (rest * u64::from(tile.threads)).max(1) as f64;
        let rounds = (full * resident) as f64 + rest as f64 * waiting.max(1.0);
        let places = tiling.k_chunk.next_multiple_of(tile.k) + ENDS;
        let work = rounds * tile.area() as f64 * f64::from(places) / tiling.efficiency;
        // Values beyond the registers spill to memory.
        let spills = if tile.registers(tiling.core) > caps.registers { 4.0 } else { 1.0 };
        // Few invocations with long loops leave most of a device idle, even if it reports few units.
        let starves = workgroups * u64::from(tile.threads) < FEW && tiling.k_chunk > LONG;
        let starved = if starves { 2.0 } else { 1.0 };
        let sums = match tiling.splits {
            1 => 0.0,
            splits => DISPATCH + self.len() as f64 * 4.0 * 2.0 * f64::from(splits) * PER_BYTE / units as f64,
        };
        work * spills * starved + sums
    }

    /// Estimated cost on a software device, where barriers and loads dominate. It prefers few invocations with many
    /// sums each, and few different kernels, since each takes half a second to compile. One half is enough: its loads
    /// do not overlap anything.
    fn cost_of_software(&self, tiling: &Tiling) -> f64 {
        let tile = tiling.tile;
        let kinds = ["64x64x16-8x8", "64x16x16"];
        let of_kind = if kinds.contains(&tile.name) { 1.0 } else { 10.0 };
        let of_core = if tiling.core == Core::Pipelined { 1.2 } else { 1.0 };
        let idle = if tiling.tiles < 2 { 2.0 } else { 1.0 };
        (tiling.tiles * tile.area()) as f64 * of_kind * of_core * idle * (1.0 + 16.0 / f64::from(tile.sums()))
    }
}

/// Names of a product's kernels on each core.
pub(crate) struct Names {
    pub workgroup: &'static str,
    pub pipelined: &'static str,
    pub subgroup8: &'static str,
}

/// The [`Names`] of an operation's kernels.
macro_rules! names {
    ($operation:literal) => {
        &$crate::ops::product::tiles::Names {
            workgroup: concat!($operation, "/workgroup"),
            pipelined: concat!($operation, "/pipelined"),
            subgroup8: concat!($operation, "/subgroup8"),
        }
    };
}
pub(crate) use names;

/// Memory layout of the operands and the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands {
    /// True if a run of A may begin or end outside it.
    pub lines: bool,
    /// True for A, and for B, if neighbours in memory are positions of the K dimension.
    pub along_k: [bool; 2],
    /// True if the length of every run of the K dimension is a multiple of four.
    pub whole_runs: bool,
    /// Numbers of elements of A, B and C that can be loaded or stored at once; see [`width`].
    pub widths: [u32; 3],
}

/// Number of elements that can be loaded or stored at once, given counts of contiguous elements: those of a row, those
/// in use, and those before the first.
pub(crate) fn width(runs: &[u32]) -> u32 {
    [4, 2].into_iter().find(|&width| runs.iter().all(|run| run.is_multiple_of(width))).unwrap_or(1)
}

/// Makes a kernel load and store one element at a time.
pub(crate) fn scalars(kernel: Kernel) -> Kernel {
    widths(kernel, [HeaderConstant::Elements(1); 3])
}

fn widths(mut kernel: Kernel, of: [HeaderConstant; 3]) -> Kernel {
    kernel.constants.extend(["EA", "EB", "E"].into_iter().zip(of));
    kernel
}

impl Tiling {
    fn new(core: Core, tile: &'static Tile, efficiency: f64, shape: &GemmShape, caps: &Caps) -> Self {
        let unrolled = match (caps.class, tile.sums()) {
            // A software device compiles a long loop slowly.
            (DeviceClass::Software, _) => 1,
            (_, ..32) => 8,
            _ => 4,
        };
        let tiling = Tiling { core, tile, efficiency, tiles: shape.tiles(tile), splits: 1, k_chunk: shape.k, unrolled };
        tiling.split(caps, shape)
    }

    /// The default tiling, without splits, on the core that suits the device.
    pub fn unsplit(caps: &Caps, shape: &GemmShape) -> Self {
        let cores = if caps.shuffles_eight_lanes() { &[Core::Subgroup8] } else { GPU };
        let first = tilings(cores, caps, &GemmShape { splits: false, ..*shape }).into_iter().next();
        // Every device that WebGPU allows runs the smallest tile.
        first
            .unwrap_or_else(|| Tiling::new(Core::Workgroup, &WORKGROUP[WORKGROUP.len() - 1].0, 1.0, shape, caps))
            .of(shape)
    }

    /// The same tiling for a piece of the product, without splits.
    pub fn of(&self, shape: &GemmShape) -> Self {
        Tiling { tiles: shape.tiles(self.tile), splits: 1, k_chunk: shape.k, ..*self }
    }

    fn needs(&self) -> Needs {
        self.core.needs(self.tile)
    }

    /// True if it shuffles among eight lanes.
    pub fn shuffles(&self) -> bool {
        self.core == Core::Subgroup8
    }

    /// Splits the K dimension if that fills the device. The number of splits depends on shape and device alone, so the
    /// order of the sum is fixed.
    fn split(self, caps: &Caps, shape: &GemmShape) -> Self {
        // Whole vectors: a piece may begin in the middle of a run, but not of a vector.
        let into = |splits: u64| {
            let k_chunk = shape.k.div_ceil(splits as u32).next_multiple_of(4.max(self.tile.k));
            // Rounding the piece up may leave fewer of them. An empty one would leave its partial sums unwritten.
            Tiling { k_chunk, splits: shape.k.div_ceil(k_chunk), ..self }
        };
        let most = if shape.splits { u64::from(shape.k.div_ceil(LEAST_CHUNK)) } else { 1 };
        if caps.class == DeviceClass::Software {
            let wanted = SOFTWARE_TILES / self.tiles.max(1);
            return if shape.long_k && most > 1 { into(wanted.clamp(1, most)) } else { self };
        }
        // At most three times the resident workgroups of the device.
        let slots = u64::from(caps.compute_units.max(1)) * u64::from(self.tile.resident());
        let fill = (3 * slots).max(2 * FEW / u64::from(self.tile.threads));
        let most = most.min(fill.div_ceil(self.tiles.max(1)));
        // All partial sums must fit into one binding.
        let most = most.min(caps.max_binding.min(caps.max_buffer) / (4 * shape.len().max(1)));
        let most = if shape.long_k { most } else { most.min(MOST_SPLITS) };
        let tried =
            std::iter::once(self).chain(SPLITS.iter().filter(|&&splits| splits <= most).map(|&splits| into(splits)));
        tried.min_by(|a, b| shape.cost(caps, a).total_cmp(&shape.cost(caps, b))).unwrap_or(self)
    }

    /// Creates the kernel of `files` on this core, called "operation/core". With `statistics` it stores those of its
    /// result.
    pub fn kernel(&self, names: &Names, files: &[Source], operands: &Operands, statistics: bool) -> Kernel {
        let (core, name) = match self.core {
            Core::Workgroup => (source!("lib/product_workgroup.wgsl"), names.workgroup),
            Core::Pipelined => (source!("lib/product_workgroup.wgsl"), names.pipelined),
            Core::Subgroup8 => (source!("lib/product_subgroup8.wgsl"), names.subgroup8),
        };
        let statistics = if statistics { source!("lib/statistics.wgsl") } else { source!("lib/statistics_none.wgsl") };
        let mut kernel = Kernel::new(name, files)
            .with(&[core, source!("lib/product.wgsl"), source!("lib/divide.wgsl"), source!("lib/workgroup.wgsl")])
            .with(&[source!("lib/moments.wgsl"), statistics])
            .constant("WG", if self.shuffles() { SHUFFLING } else { self.tile.threads })
            .constant("TILE_N", self.tile.columns)
            .flag("LINES", operands.lines)
            .flag("A_ALONG_K", operands.along_k[0])
            .flag("B_ALONG_K", operands.along_k[1]);
        kernel.constants.push(("V", HeaderConstant::Elements(4)));
        match self.core {
            Core::Workgroup | Core::Pipelined => {
                // Pairs of elements do not justify separate files.
                let widths_of = operands.widths.map(|width| if width == 4 { 4 } else { 1 });
                let [a, b, c] = widths_of.map(|width| usize::from(width == 1));
                let [rows, columns] = self.tile.thread_tile;
                kernel = widths(kernel, widths_of.map(HeaderConstant::Elements))
                    .with(&[
                        [source!("lib/product_a_vectors.wgsl"), source!("lib/product_a_scalars.wgsl")][a],
                        [source!("lib/product_b_vectors.wgsl"), source!("lib/product_b_scalars.wgsl")][b],
                        [source!("lib/product_c_vectors.wgsl"), source!("lib/product_c_scalars.wgsl")][c],
                    ])
                    .constant("TILE_M", self.tile.rows)
                    .constant("TILE_K", self.tile.k)
                    .constant("ROWS", rows)
                    .constant("COLUMNS", columns)
                    .constant("HALVES", self.core.halves())
                    .constant("UNROLLED", self.unrolled);
            }
            Core::Subgroup8 => {
                kernel =
                    widths(kernel, operands.widths.map(HeaderConstant::Parts)).flag("WHOLE_RUNS", operands.whole_runs);
                kernel.subgroups = true;
            }
        }
        kernel
    }

    /// Number of workgroups.
    pub fn extent(&self) -> Extent {
        let tiles = self.tiles * u64::from(self.splits);
        let per_workgroup = if self.shuffles() { u64::from(SHUFFLING / 8) } else { 1 };
        Extent::Workgroups(tiles.div_ceil(per_workgroup))
    }
}
