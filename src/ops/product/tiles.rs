//! The tiled product that matmul and the three products of a convolution share: which core, which tile, how many of them.
//!
//! A core (`shaders/lib/product_*.wgsl`) computes C\[m, n\] = sum over k of A\[m, k\] B\[k, n\] tile by tile; the operation's own file
//! says what an element of A and of B is and where one of C goes. The depth k may be split: each split writes partial
//! sums, which one more dispatch adds in a fixed order.

use crate::kernel::{Caps, Constant, DeviceClass, Extent, Kernel, Lowering, Source, source};
use crate::ops::fused::conv2d_statistics;

/// What a variant and a tile are chosen by: an [m, n] result of depth k.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    m: u32,
    n: u32,
    k: u32,
    /// Whether the depth may be split.
    splits: bool,
}

/// What computes a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Core {
    /// `lib/product_workgroup.wgsl`: the tile's operands in workgroup memory.
    Workgroup,
    /// `lib/product_subgroup8.wgsl`: vectors of four, shuffled among eight lanes.
    Vec4,
}

/// A tile of C, and who computes it.
#[derive(Debug, PartialEq)]
struct Tile {
    name: &'static str,
    rows: u32,
    columns: u32,
    /// Places of the depth that are in workgroup memory at a time.
    depth: u32,
    /// Invocations.
    threads: u32,
    /// Rows and columns that each of them owns.
    of_thread: [u32; 2],
}

const fn tile(name: &'static str, [rows, columns, depth]: [u32; 3], threads: u32, of_thread: [u32; 2]) -> Tile {
    Tile { name, rows, columns, depth, threads, of_thread }
}

impl Tile {
    /// Bytes of workgroup memory in `lib/product_workgroup.wgsl`.
    fn memory(&self) -> u32 {
        16 * self.depth * (self.rows / 4 + self.columns / 4 + 2)
    }
}

/// Tiles of eight lanes. A wide one loads least for what it computes.
static VEC4: [Tile; 3] = [
    tile("32x32", [32, 32, 4], 8, [4, 32]),
    tile("32x16", [32, 16, 4], 8, [4, 16]),
    tile("32x8", [32, 8, 4], 8, [4, 8]),
];

/// Tiles of a workgroup, the largest first: those for many columns, then those for few. A name is rows, columns and depth,
/// and what one invocation owns where that tells two apart.
static WORKGROUP: [Tile; 7] = [
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
    /// The core of this variant, if it is one of a tiled product.
    fn of(variant: &str) -> Option<Self> {
        match variant {
            "vec4" => Some(Core::Vec4),
            "workgroup" => Some(Core::Workgroup),
            _ => None,
        }
    }

    /// Its tiles that this device can run.
    fn tiles(self, caps: &Caps) -> impl Iterator<Item = &'static Tile> {
        let tiles: &'static [Tile] = match self {
            Core::Vec4 => &VEC4,
            Core::Workgroup => &WORKGROUP,
        };
        let (memory, invocations) = (caps.max_workgroup_memory, caps.max_invocations);
        tiles
            .iter()
            .filter(move |tile| self != Core::Workgroup || (tile.memory() <= memory && tile.threads <= invocations))
    }

    /// The tile to take where none is chosen.
    fn default_tile(self, caps: &Caps, of: &Extents) -> &'static Tile {
        match self {
            // Half of a wide tile may lie beyond the last column; eight columns are enough where there are no more.
            Core::Vec4 => match of.n {
                ..=8 => &VEC4[2],
                9..=16 | 33..=48 => &VEC4[1],
                _ => &VEC4[0],
            },
            Core::Workgroup => of.default_workgroup(caps),
        }
    }
}

/// The tile of one dispatch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiling {
    core: Core,
    tile: &'static Tile,
    tiles: u64,
    /// Into how many pieces the depth is cut.
    pub splits: u32,
    /// The depth of one piece.
    pub chunk: u32,
    /// Whether the statistics of chunks of rows are made too, for batch norm; see `lib/statistics.wgsl`.
    pub statistics: bool,
}

/// Invocations of a workgroup whose eights share nothing: few, so that there is work for every core.
const SHUFFLING: u32 = 32;

impl Extents {
    /// An [m, n] result of depth `k`.
    pub fn new([m, n, k]: [u32; 3]) -> Self {
        Extents { m, n, k, splits: false }
    }

    /// The same, with a depth that may be split.
    pub fn split(self) -> Self {
        Extents { splits: true, ..self }
    }

    fn tiles(&self, tile: &Tile) -> u64 {
        u64::from(self.m.div_ceil(tile.rows)) * u64::from(self.n.div_ceil(tile.columns))
    }

    /// Into how many pieces the depth may be cut: one is not worth its sums below 64 places.
    fn most_splits(&self) -> u64 {
        if self.splits { u64::from(self.k.div_ceil(64)) } else { 1 }
    }

    /// How many elements are computed, those beyond the last row or column included.
    fn computed(&self, tile: &Tile) -> u64 {
        self.tiles(tile) * u64::from(tile.rows * tile.columns)
    }

    /// The tile of a workgroup to take where none is chosen: the first of those preferred that leaves enough workgroups and
    /// does not compute a quarter more than the last and smallest would.
    fn default_workgroup(&self, caps: &Caps) -> &'static Tile {
        let (names, enough) = preferred(caps.class);
        let names = match self.n {
            ..=16 => &["64x16x16"],
            17..=32 => &["64x32x16"],
            _ => names,
        };
        let of_name = |&name: &&str| Core::Workgroup.tiles(caps).find(|tile| tile.name == name);
        let mut tiles = names.iter().filter_map(of_name);
        let last = tiles.clone().next_back().unwrap_or(&WORKGROUP[WORKGROUP.len() - 1]);
        let fits = |tile: &&Tile| {
            let wasteful = 4 * self.computed(tile) > 5 * self.computed(last);
            !wasteful && self.tiles(tile) * self.most_splits() >= enough
        };
        tiles.find(fits).unwrap_or(last)
    }
}

/// The variants that are right on this device, the best first: where values can be shuffled among eight lanes that is the
/// cheapest; elsewhere the shared tile is, on software devices too, whose barriers cost less than the loads it saves, unless
/// less than half of it would be used (a layer with six channels, say).
pub(crate) fn variants(caps: &Caps, of: &Extents) -> Vec<&'static str> {
    if caps.shuffles_eight_lanes() {
        return vec!["vec4", "workgroup", "direct"];
    }
    let tile = Core::Workgroup.default_tile(caps, of);
    if 2 * u64::from(of.m) * u64::from(of.n) >= of.computed(tile) {
        vec!["workgroup", "direct"]
    } else {
        vec!["direct", "workgroup"]
    }
}

/// The tiles of a variant that are right on this device, the one that is taken where none is chosen first.
pub(crate) fn tiles(variant: &str, caps: &Caps, of: &Extents) -> Vec<&'static str> {
    let Some(core) = Core::of(variant) else { return Vec::new() };
    let first = core.default_tile(caps, of);
    let others = core.tiles(caps).filter(|&tile| tile != first);
    std::iter::once(first).chain(others).map(|tile| tile.name).collect()
}

/// What is done to an element of C before it is stored.
pub(crate) fn epilogue(bias: bool) -> Source {
    if bias { source!("lib/bias.wgsl") } else { source!("lib/bias_none.wgsl") }
}

/// How the operands and the result lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands {
    /// Whether a run of A may begin or end outside it.
    pub lines: bool,
    /// Whether neighbours in the memory of A, and of B, are places of the depth.
    pub along_k: [bool; 2],
    /// Whether every run of the depth is a multiple of four long.
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
    /// Tiles of the variant that `lowering` has, and of the size that was chosen or is best.
    pub fn new(lowering: &Lowering<'_>, of: &Extents) -> Self {
        let core = Core::of(lowering.variant()).unwrap_or(Core::Workgroup);
        let chosen = lowering.tile().and_then(|name| core.tiles(lowering.caps()).find(|tile| tile.name == name));
        let tile = chosen.unwrap_or_else(|| core.default_tile(lowering.caps(), of));
        Tiling::of(core, tile, of).split(lowering.caps(), of.most_splits())
    }

    /// Tiles of the core that suits the device, of the size that is best, and a depth that is not split.
    pub fn best(caps: &Caps, of: &Extents) -> Self {
        let core = if caps.shuffles_eight_lanes() { Core::Vec4 } else { Core::Workgroup };
        Tiling::of(core, core.default_tile(caps, of), of)
    }

    fn of(core: Core, tile: &'static Tile, of: &Extents) -> Self {
        Tiling { core, tile, tiles: of.tiles(tile), splits: 1, chunk: of.k, statistics: false }
    }

    /// Cuts a long depth so that there are tiles enough to fill the device. The count depends on the shape and on the
    /// class of the device, never on the moment, so the order of the sum is fixed.
    fn split(mut self, caps: &Caps, most: u64) -> Self {
        if most == 1 {
            return self;
        }
        let wanted = match caps.class {
            DeviceClass::Software => 32,
            class => 4 * preferred(class).1,
        };
        let depth = self.chunk;
        // Whole vectors: a piece may begin in the middle of a run, but not of one.
        self.chunk =
            depth.div_ceil((wanted / self.tiles.max(1)).clamp(1, most) as u32).next_multiple_of(4.max(self.tile.depth));
        // Rounding the piece up may leave fewer of them; an empty one would leave its partial sums unwritten.
        self.splits = depth.div_ceil(self.chunk);
        self
    }

    /// The kernel of `files` on this core, named after it: `names` for the workgroup-memory core and that of eight lanes.
    pub fn kernel(&self, names: [&'static str; 2], files: &[Source], operands: &Operands) -> Kernel {
        let (core, name) = match self.core {
            Core::Workgroup => (source!("lib/product_workgroup.wgsl"), names[0]),
            Core::Vec4 => (source!("lib/product_subgroup8.wgsl"), names[1]),
        };
        let mut kernel = Kernel::new(name, files)
            .with(&[core, source!("lib/product.wgsl"), source!("lib/divide.wgsl"), source!("lib/workgroup.wgsl")])
            .with(&conv2d_statistics::files(self.statistics))
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
                let [rows, columns] = self.tile.of_thread;
                let width = Constant::Elements(if vectors { 4 } else { 1 });
                kernel = widths(kernel, [width; 3])
                    .with(&[blocks])
                    .constant("TILE_M", self.tile.rows)
                    .constant("TILE_K", self.tile.depth)
                    .constant("ROWS", rows)
                    .constant("COLUMNS", columns);
            }
            Core::Vec4 => {
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
