//! The tiled product that matmul and the three products of a convolution share: which core, which tile, how many of them.
//!
//! A core (`shaders/lib/product_*.wgsl`) computes C\[m, n\] = sum over k of A\[m, k\] B\[k, n\] tile by tile; the operation's own file
//! says what an element of A and of B is and where one of C goes. The depth k may be split: each split writes partial
//! sums, which one more dispatch adds in a fixed order.

use super::lowering::{Caps, DeviceClass, Extent, Kernel, Lowering, Source, source};

/// What a variant and a tile are chosen by: an [m, n] result of depth k.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    m: u32,
    n: u32,
    k: u32,
    /// Whether operands and result lie in memory along extents that are multiples of four.
    vectors: bool,
    /// Whether the depth may be split.
    splits: bool,
}

/// What computes a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Core {
    /// `lib/product_workgroup.wgsl`: the tile's operands in workgroup memory.
    Workgroup,
    /// `lib/product_shuffle.wgsl`: shuffles among eight lanes.
    Shuffle,
    /// `lib/product_vec4.wgsl`: the same, with operands in vectors of four.
    Vec4,
}

/// A tile of C.
#[derive(Debug, PartialEq)]
struct Tile {
    name: &'static str,
    rows: u32,
    columns: u32,
}

const fn tile(name: &'static str, rows: u32, columns: u32) -> Tile {
    Tile { name, rows, columns }
}

/// Eight lanes hold four rows each. A wide tile loads least for what it computes.
static VEC4: [Tile; 3] = [tile("32x32", 32, 32), tile("32x16", 32, 16), tile("32x8", 32, 8)];
static SHUFFLE: [Tile; 2] = [tile("32x16", 32, 16), tile("32x8", 32, 8)];
static WORKGROUP: [Tile; 2] = [tile("64x64x16", 64, 64), tile("64x16x16", 64, 16)];

impl Core {
    /// The core of this variant, if it is one of a tiled product.
    fn of(variant: &str) -> Option<Self> {
        match variant {
            "vec4" => Some(Core::Vec4),
            "shuffle" => Some(Core::Shuffle),
            "workgroup" => Some(Core::Workgroup),
            _ => None,
        }
    }

    /// Its tiles that this device can run.
    fn tiles(self, caps: &Caps) -> impl Iterator<Item = &'static Tile> {
        let _ = caps;
        let tiles: &'static [Tile] = match self {
            Core::Vec4 => &VEC4,
            Core::Shuffle => &SHUFFLE,
            Core::Workgroup => &WORKGROUP,
        };
        tiles.iter()
    }

    /// The tile to take where none is chosen.
    fn default_tile(self, caps: &Caps, of: &Extents) -> &'static Tile {
        let _ = caps;
        match self {
            // Half of a wide tile may lie beyond the last column; eight columns are enough where there are no more.
            Core::Vec4 => match of.n {
                ..=8 => &VEC4[2],
                9..=16 | 33..=48 => &VEC4[1],
                _ => &VEC4[0],
            },
            Core::Shuffle => &SHUFFLE[usize::from(of.n <= 8)],
            Core::Workgroup => &WORKGROUP[usize::from(of.n <= 16)],
        }
    }
}

/// The tile of one dispatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    core: Core,
    tile: &'static Tile,
    tiles: u64,
    /// Into how many pieces the depth is cut.
    pub splits: u32,
    /// The depth of one piece.
    pub chunk: u32,
}

/// Invocations of a workgroup that shares a tile: the grid of `lib/product_workgroup.wgsl` is made for as many.
const SHARING: u32 = 64;
/// Invocations of a workgroup whose eights share nothing: few, so that there is work for every core.
const SHUFFLING: u32 = 32;

impl Extents {
    /// An [m, n] result of depth `k`; `runs` are the extents along which the operands and the result lie in memory.
    pub fn new([m, n, k]: [usize; 3], runs: &[usize]) -> Self {
        let vectors = runs.iter().all(|run| run.is_multiple_of(4));
        Extents { m: m as u32, n: n as u32, k: k as u32, vectors, splits: false }
    }

    /// The same, with a depth that may be split.
    pub fn split(self) -> Self {
        Extents { splits: true, ..self }
    }

    /// A piece of it, where an operand is cut.
    pub fn piece(self, [m, n, k]: [u32; 3]) -> Self {
        Extents { m, n, k, ..self }
    }

    fn tiles(&self, tile: &Tile) -> u64 {
        u64::from(self.m.div_ceil(tile.rows)) * u64::from(self.n.div_ceil(tile.columns))
    }
}

/// The variants that are right on this device, the best first: where values can be shuffled among
/// eight lanes that is the cheapest, by vectors of four if the operands and the result allow it;
/// elsewhere the shared tile is, on software devices too, whose barriers cost less than
/// the loads it saves, unless less than half of it would be used (a layer with six channels, say).
pub(super) fn variants(caps: &Caps, of: &Extents) -> Vec<&'static str> {
    if caps.shuffles_eight_lanes() {
        return if of.vectors {
            vec!["vec4", "shuffle", "workgroup", "direct"]
        } else {
            vec!["shuffle", "workgroup", "direct"]
        };
    }
    let tile = Core::Workgroup.default_tile(caps, of);
    let computed = of.tiles(tile) * u64::from(tile.rows * tile.columns);
    if 2 * u64::from(of.m) * u64::from(of.n) >= computed {
        vec!["workgroup", "direct"]
    } else {
        vec!["direct", "workgroup"]
    }
}

/// The tiles of a variant that are right on this device, the one that is taken where none is chosen first.
pub(super) fn tiles(variant: &str, caps: &Caps, of: &Extents) -> Vec<&'static str> {
    let Some(core) = Core::of(variant) else { return Vec::new() };
    let first = core.default_tile(caps, of);
    let others = core.tiles(caps).filter(|&tile| tile != first);
    std::iter::once(first).chain(others).map(|tile| tile.name).collect()
}

/// What is done to an element of C before it is stored.
pub(super) fn epilogue(bias: bool) -> Source {
    if bias { source!("lib/epilogue_bias.wgsl") } else { source!("lib/epilogue_none.wgsl") }
}

impl Tiling {
    /// Tiles of the variant that `lowering` has, and of the size that was chosen or is best.
    pub fn new(lowering: &Lowering<'_>, of: &Extents) -> Self {
        let core = Core::of(lowering.variant()).unwrap_or(Core::Workgroup);
        let chosen = lowering.tile().and_then(|name| core.tiles(lowering.caps()).find(|tile| tile.name == name));
        let tile = chosen.unwrap_or_else(|| core.default_tile(lowering.caps(), of));
        let tiling = Tiling { core, tile, tiles: of.tiles(tile), splits: 1, chunk: of.k };
        if of.splits { tiling.split(lowering.caps()) } else { tiling }
    }

    /// Cuts a long depth so that there are tiles enough to fill the device. The count depends on the shape and on the
    /// class of the device, never on the moment, so the order of the sum is fixed.
    fn split(mut self, caps: &Caps) -> Self {
        let wanted = match caps.class {
            DeviceClass::Software => 32,
            DeviceClass::Integrated => 256,
            DeviceClass::Discrete => 1024,
        };
        let most = u64::from(self.chunk.div_ceil(64));
        let depth = self.chunk;
        // Whole vectors: a piece may begin in the middle of a run, but not of one.
        self.chunk = depth.div_ceil((wanted / self.tiles.max(1)).clamp(1, most) as u32).next_multiple_of(4);
        // Rounding the piece up may leave fewer of them; an empty one would leave its partial sums unwritten.
        self.splits = depth.div_ceil(self.chunk);
        self
    }

    /// The kernel of `files` on this core, named after it: `names` for the workgroup-memory core, the shuffle core, and that
    /// of vectors. `lines` says whether a run of A may begin or end outside it, `along` whether neighbours in the memory of
    /// A and of B are places of the depth.
    pub fn kernel(&self, names: [&'static str; 3], files: &[Source], lines: bool, along: [bool; 2]) -> Kernel {
        let (core, name) = match self.core {
            Core::Workgroup => (source!("lib/product_workgroup.wgsl"), names[0]),
            Core::Shuffle => (source!("lib/product_shuffle.wgsl"), names[1]),
            Core::Vec4 => (source!("lib/product_vec4.wgsl"), names[2]),
        };
        let mut kernel = Kernel::new(name, files)
            .with(&[core, source!("lib/product.wgsl"), source!("lib/divide.wgsl"), source!("lib/index.wgsl")])
            .elements(if self.core == Core::Vec4 { 4 } else { 1 })
            .constant("WG", if self.core == Core::Workgroup { SHARING } else { SHUFFLING })
            .constant("TILE_N", self.tile.columns)
            .flag("LINES", lines);
        if self.core == Core::Vec4 {
            kernel = kernel.flag("A_ALONG_K", along[0]).flag("B_ALONG_K", along[1]);
        }
        kernel.subgroups = self.core != Core::Workgroup;
        kernel
    }

    /// How many workgroups that takes.
    pub fn extent(&self) -> Extent {
        let tiles = self.tiles * u64::from(self.splits);
        let per_workgroup = if self.core == Core::Workgroup { 1 } else { u64::from(SHUFFLING / 8) };
        Extent::Workgroups(tiles.div_ceil(per_workgroup))
    }
}
