//! The tiled product that matmul and the three products of a convolution share: which core, which tile, how many of them.
//!
//! A core (`shaders/lib/product_*.wgsl`) computes C\[m, n\] = sum over k of A\[m, k\] B\[k, n\] tile by tile; the operation's own file
//! says what an element of A and of B is and where one of C goes. The depth k may be split: each split writes partial
//! sums, which one more dispatch adds in a fixed order.

use super::lowering::{Caps, DeviceClass, Extent, Kernel, Source, source};

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

/// The tile of one dispatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    core: Core,
    /// Columns of C that a tile covers.
    columns: u32,
    tiles: u64,
    /// Into how many pieces the depth is cut.
    pub splits: u32,
    /// The depth of one piece.
    pub chunk: u32,
}

/// Invocations of a workgroup that shares a tile: the grid of `lib/product_workgroup.wgsl` is made for as many.
const SHARING: u32 = 64;
/// Rows of the tile that they share.
const TILE_M: u32 = 64;
/// Invocations of a workgroup whose eights share nothing: few, so that there is work for every core.
const SHUFFLING: u32 = 32;

/// The variants that are right on this device for an [m, n] result, the best first: where values can be shuffled among
/// eight lanes that is the cheapest, by vectors of four if `runs`, the extents along which the operands and the result
/// lie in memory, allow it; elsewhere the shared tile is, on software devices too, whose barriers cost less than
/// the loads it saves, unless less than half of it would be used (a layer with six channels, say).
pub(super) fn variants(caps: &Caps, m: usize, n: usize, runs: &[usize]) -> Vec<&'static str> {
    if caps.shuffles_eight_lanes() {
        let vectors = runs.iter().all(|run| run.is_multiple_of(4));
        return if vectors {
            vec!["vec4", "shuffle", "workgroup", "direct"]
        } else {
            vec!["shuffle", "workgroup", "direct"]
        };
    }
    let tiling = Tiling::new("workgroup", m as u32, n as u32, 1);
    let computed = tiling.tiles * u64::from(TILE_M * tiling.columns);
    if 2 * m as u64 * n as u64 >= computed { vec!["workgroup", "direct"] } else { vec!["direct", "workgroup"] }
}

/// What is done to an element of C before it is stored.
pub(super) fn epilogue(bias: bool) -> Source {
    if bias { source!("lib/epilogue_bias.wgsl") } else { source!("lib/epilogue_none.wgsl") }
}

impl Tiling {
    /// Tiles of the variant for an [m, n] result of depth `k`.
    pub fn new(variant: &str, m: u32, n: u32, k: u32) -> Self {
        let core = match variant {
            "vec4" => Core::Vec4,
            "shuffle" => Core::Shuffle,
            _ => Core::Workgroup,
        };
        // Eight lanes hold four rows each; eight columns are enough where there are no more.
        let (rows, columns) = match core {
            // A wide tile loads least for what it computes, but half of one may lie beyond the last column.
            Core::Vec4 => (
                32,
                match n {
                    ..=8 => 8,
                    9..=16 | 33..=48 => 16,
                    _ => 32,
                },
            ),
            Core::Shuffle => (32, if n <= 8 { 8 } else { 16 }),
            Core::Workgroup => (TILE_M, if n <= 16 { 16 } else { 64 }),
        };
        let tiles = u64::from(m.div_ceil(rows)) * u64::from(n.div_ceil(columns));
        Tiling { core, columns, tiles, splits: 1, chunk: k }
    }

    /// Cuts a long depth so that there are tiles enough to fill the device. The count depends on the shape and on the
    /// class of the device, never on the moment, so the order of the sum is fixed.
    pub fn split(mut self, caps: &Caps) -> Self {
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
            .constant("TILE_N", self.columns)
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
