//! The tiled product that matmul and the three products of a convolution share: which core, which tile, how many of them.
//!
//! A core (`shaders/lib/product_*.wgsl`) computes C\[m, n\] = sum over k of A\[m, k\] B\[k, n\] tile by tile; the operation's own file
//! says what an element of A and of B is and where one of C goes. The K dimension may be split: each split writes partial
//! sums, which one more dispatch adds in a fixed order (split-K).

use crate::error::Result;
use crate::kernel::{Candidate, Caps, Constant, DeviceClass, Extent, Kernel, Lowering, Needs, Source, source};

/// The GEMM shape by which a core and a tile are chosen: an [m, n] result, k products a sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GemmShape {
    m: u32,
    n: u32,
    k: u32,
    /// Whether the K dimension may be split.
    splits: bool,
}

/// What computes a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// `lib/product_workgroup.wgsl`: the tile's operands in workgroup memory.
    Workgroup,
    /// `lib/product_subgroup8.wgsl`: vectors of four, shuffled among eight lanes.
    Subgroup8,
}

/// A workgroup tile of C, and the thread tiles that it falls into.
#[derive(Debug, PartialEq)]
struct Tile {
    name: &'static str,
    rows: u32,
    columns: u32,
    /// Places of the K dimension that are in workgroup memory at a time.
    k: u32,
    /// Invocations.
    threads: u32,
    /// Rows and columns that each of them owns.
    thread_tile: [u32; 2],
}

const fn tile(name: &'static str, [rows, columns, k]: [u32; 3], threads: u32, thread_tile: [u32; 2]) -> Tile {
    Tile { name, rows, columns, k, threads, thread_tile }
}

/// Tiles of eight lanes. A wide one loads least for what it computes.
static SUBGROUP8: &[Tile] = &[
    tile("32x32", [32, 32, 4], 8, [4, 32]),
    tile("32x16", [32, 16, 4], 8, [4, 16]),
    tile("32x8", [32, 8, 4], 8, [4, 8]),
];

/// Tiles of a workgroup, the largest first: those for many columns, then those for few. A name is rows, columns and k, and the
/// thread tile where that tells two apart.
static WORKGROUP: &[Tile] = &[
    tile("128x128x8", [128, 128, 8], 256, [8, 8]),
    tile("128x64x16", [128, 64, 16], 256, [8, 4]),
    tile("64x64x16", [64, 64, 16], 128, [8, 4]),
    tile("64x64x16-8x8", [64, 64, 16], 64, [8, 8]),
    tile("32x64x16", [32, 64, 16], 64, [8, 4]),
    tile("64x32x16", [64, 32, 16], 64, [8, 4]),
    tile("64x16x16", [64, 16, 16], 64, [4, 4]),
];

/// The tiles of workgroups that a class of devices is given where there are more than 32 columns, the one preferred first,
/// and how many workgroups fill such a device: a tile that leaves fewer makes way for the next.
fn preferred(class: DeviceClass) -> (&'static [&'static str], u64) {
    match class {
        // Two workgroups for each of 64 multiprocessors.
        DeviceClass::Discrete => (&["128x128x8", "128x64x16", "64x64x16", "32x64x16"], 2 * 64),
        // Two for each of 16.
        DeviceClass::Integrated => (&["64x64x16", "32x64x16"], 2 * 16),
        // Few invocations, each with many sums: barriers and loads are what costs.
        DeviceClass::Software => (&["64x64x16-8x8", "32x64x16"], 2),
    }
}

impl Core {
    /// The name of its candidates.
    fn name(self) -> &'static str {
        match self {
            Core::Workgroup => "workgroup",
            Core::Subgroup8 => "subgroup8",
        }
    }

    fn table(self) -> &'static [Tile] {
        match self {
            Core::Workgroup => WORKGROUP,
            Core::Subgroup8 => SUBGROUP8,
        }
    }

    /// What a tile of it needs of a device.
    fn needs(self, tile: &Tile) -> Needs {
        match self {
            Core::Workgroup => Needs {
                invocations: tile.threads,
                // As `lib/product_workgroup.wgsl` pads it.
                workgroup_memory: 16 * tile.k * (tile.rows / 4 + tile.columns / 4 + 2),
                ..Needs::default()
            },
            Core::Subgroup8 => Needs { eight_lanes: true, ..Needs::default() },
        }
    }

    /// The tile of this name, if the device can run it.
    fn tile(self, name: &str, caps: &Caps) -> Option<&'static Tile> {
        self.table().iter().find(|tile| tile.name == name && self.needs(tile).are_met_by(caps))
    }

    /// The tile to take where none is chosen.
    fn default_tile(self, caps: &Caps, shape: &GemmShape) -> &'static Tile {
        match self {
            // Half of a wide tile may lie beyond the last column; eight columns are enough where there are no more.
            Core::Subgroup8 => match shape.n {
                ..=8 => &SUBGROUP8[2],
                9..=16 | 33..=48 => &SUBGROUP8[1],
                _ => &SUBGROUP8[0],
            },
            Core::Workgroup => shape.default_workgroup_tile(caps),
        }
    }

    /// A candidate for each of its tiles, the one that is taken without a choice first; `lower` pushes the dispatches of a product
    /// that is tiled so.
    pub fn candidates(
        self,
        caps: &Caps,
        shape: GemmShape,
        lower: impl Fn(&mut Lowering<'_>, &Tiling) -> Result<()> + Copy + 'static,
    ) -> Vec<Candidate<'static>> {
        let first = self.default_tile(caps, &shape);
        let others = self.table().iter().filter(|&tile| tile != first);
        let candidate = |tile: &'static Tile| {
            let lower =
                move |lowering: &mut Lowering<'_>| lower(lowering, &Tiling::new(self, tile, &shape, lowering.caps()));
            Candidate::new(self.name(), lower).tile(tile.name).needs(self.needs(tile))
        };
        std::iter::once(first).chain(others).map(candidate).collect()
    }
}

/// The tiles of one product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiling {
    core: Core,
    tile: &'static Tile,
    tiles: u64,
    /// Into how many pieces the K dimension is cut.
    pub splits: u32,
    /// The places of one piece.
    pub k_chunk: u32,
}

/// Invocations of a workgroup whose eights share nothing: few, so that there is work for every core.
const SHUFFLING: u32 = 32;

impl GemmShape {
    /// An [m, n] result of `k` products a sum.
    pub fn new([m, n, k]: [u32; 3]) -> Self {
        GemmShape { m, n, k, splits: false }
    }

    /// The same, with a K dimension that may be split.
    pub fn split(self) -> Self {
        GemmShape { splits: true, ..self }
    }

    fn tiles(&self, tile: &Tile) -> u64 {
        u64::from(self.m.div_ceil(tile.rows)) * u64::from(self.n.div_ceil(tile.columns))
    }

    /// Into how many pieces the K dimension may be cut: one is not worth its sums below 64 places.
    fn most_splits(&self) -> u64 {
        if self.splits { u64::from(self.k.div_ceil(64)) } else { 1 }
    }

    /// How many elements are computed, those beyond the last row or column included.
    fn computed(&self, tile: &Tile) -> u64 {
        self.tiles(tile) * u64::from(tile.rows * tile.columns)
    }

    /// Whether half of a tile is used at least (a layer with six channels would leave most of it idle); where values are
    /// shuffled among eight lanes tiles are cheap enough in any case.
    pub fn fills_tiles(&self, caps: &Caps) -> bool {
        let tile = self.default_workgroup_tile(caps);
        caps.shuffles_eight_lanes() || 2 * u64::from(self.m) * u64::from(self.n) >= self.computed(tile)
    }

    /// The tile of a workgroup to take where none is chosen: the first of those preferred that leaves enough workgroups and
    /// does not compute a quarter more than the last and smallest would.
    fn default_workgroup_tile(&self, caps: &Caps) -> &'static Tile {
        let (names, enough) = preferred(caps.class);
        let names = match self.n {
            ..=16 => &["64x16x16"],
            17..=32 => &["64x32x16"],
            _ => names,
        };
        let mut tiles = names.iter().filter_map(|name| Core::Workgroup.tile(name, caps));
        let last = tiles.clone().next_back().unwrap_or(&WORKGROUP[WORKGROUP.len() - 1]);
        let fits = |tile: &&Tile| {
            let wasteful = 4 * self.computed(tile) > 5 * self.computed(last);
            !wasteful && self.tiles(tile) * self.most_splits() >= enough
        };
        tiles.find(fits).unwrap_or(last)
    }
}

/// What a kernel of a product is called on each core.
pub(crate) struct Names {
    pub workgroup: &'static str,
    pub subgroup8: &'static str,
}

/// How the operands and the result lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands {
    /// Whether a run of A may begin or end outside it.
    pub lines: bool,
    /// Whether neighbours in the memory of A, and of B, are places of the K dimension.
    pub along_k: [bool; 2],
    /// Whether every run of the K dimension is a multiple of four long.
    pub whole_runs: bool,
    /// How many elements of A, of B and of C can be loaded or stored at once; see [`width`].
    pub widths: [u32; 3],
}

/// How many elements can be loaded or stored at once where all of these count elements that lie along memory: those of a
/// row, those that are used, and those before the first.
pub(crate) fn width(runs: &[u32]) -> u32 {
    [4, 2].into_iter().find(|&width| runs.iter().all(|run| run.is_multiple_of(width))).unwrap_or(1)
}

/// A kernel that loads and stores one element at a time.
pub(crate) fn scalars(kernel: Kernel) -> Kernel {
    widths(kernel, [Constant::Elements(1); 3])
}

fn widths(mut kernel: Kernel, of: [Constant; 3]) -> Kernel {
    kernel.constants.extend(["EA", "EB", "E"].into_iter().zip(of));
    kernel
}

impl Tiling {
    fn new(core: Core, tile: &'static Tile, shape: &GemmShape, caps: &Caps) -> Self {
        let tiling = Tiling { core, tile, tiles: shape.tiles(tile), splits: 1, k_chunk: shape.k };
        tiling.split(caps, shape.most_splits())
    }

    /// Tiles of the core that suits the device, of the size that is best.
    pub fn best(caps: &Caps, shape: &GemmShape) -> Self {
        let core = if caps.shuffles_eight_lanes() { Core::Subgroup8 } else { Core::Workgroup };
        Tiling::new(core, core.default_tile(caps, shape), shape, caps)
    }

    /// The same tiles for a piece of the product, whose K dimension is not split.
    pub fn of(&self, shape: &GemmShape) -> Self {
        Tiling { tiles: shape.tiles(self.tile), splits: 1, k_chunk: shape.k, ..*self }
    }

    /// Whether it is computed among eight lanes.
    pub fn shuffles(&self) -> bool {
        self.core == Core::Subgroup8
    }

    /// Cuts a long K dimension so that there are tiles enough to fill the device. The count depends on the shape and on the
    /// class of the device, never on the moment, so the order of the sum is fixed.
    fn split(mut self, caps: &Caps, most: u64) -> Self {
        if most == 1 {
            return self;
        }
        let wanted = match caps.class {
            DeviceClass::Software => 32,
            class => 4 * preferred(class).1,
        };
        let k = self.k_chunk;
        // Whole vectors: a piece may begin in the middle of a run, but not of one.
        self.k_chunk =
            k.div_ceil((wanted / self.tiles.max(1)).clamp(1, most) as u32).next_multiple_of(4.max(self.tile.k));
        // Rounding the piece up may leave fewer of them; an empty one would leave its partial sums unwritten.
        self.splits = k.div_ceil(self.k_chunk);
        self
    }

    /// The kernel of `files` on this core, called "operation/core"; `statistics` says whether it notes those of its result.
    pub fn kernel(&self, names: &Names, files: &[Source], operands: &Operands, statistics: bool) -> Kernel {
        let (core, name) = match self.core {
            Core::Workgroup => (source!("lib/product_workgroup.wgsl"), names.workgroup),
            Core::Subgroup8 => (source!("lib/product_subgroup8.wgsl"), names.subgroup8),
        };
        let statistics = if statistics { source!("lib/statistics.wgsl") } else { source!("lib/statistics_none.wgsl") };
        let mut kernel = Kernel::new(name, files)
            .with(&[core, source!("lib/product.wgsl"), source!("lib/divide.wgsl"), source!("lib/workgroup.wgsl")])
            .with(&[source!("lib/moments.wgsl"), statistics])
            .constant("WG", if self.core == Core::Workgroup { self.tile.threads } else { SHUFFLING })
            .constant("TILE_N", self.tile.columns)
            .flag("LINES", operands.lines)
            .flag("A_ALONG_K", operands.along_k[0])
            .flag("B_ALONG_K", operands.along_k[1]);
        kernel.constants.push(("V", Constant::Elements(4)));
        match self.core {
            Core::Workgroup => {
                let vectors = operands.widths == [4; 3];
                let blocks = match vectors {
                    true => source!("lib/product_workgroup_vectors.wgsl"),
                    false => source!("lib/product_workgroup_scalars.wgsl"),
                };
                let [rows, columns] = self.tile.thread_tile;
                let width = Constant::Elements(if vectors { 4 } else { 1 });
                kernel = widths(kernel, [width; 3])
                    .with(&[blocks])
                    .constant("TILE_M", self.tile.rows)
                    .constant("TILE_K", self.tile.k)
                    .constant("ROWS", rows)
                    .constant("COLUMNS", columns);
            }
            Core::Subgroup8 => {
                kernel = widths(kernel, operands.widths.map(Constant::Parts)).flag("WHOLE_RUNS", operands.whole_runs);
                kernel.subgroups = true;
            }
        }
        kernel
    }

    /// How many workgroups that takes.
    pub fn extent(&self) -> Extent {
        let tiles = self.tiles * u64::from(self.splits);
        let per_workgroup = if self.core == Core::Workgroup { 1 } else { u64::from(SHUFFLING / 8) };
        Extent::Workgroups(tiles.div_ceil(per_workgroup))
    }
}
