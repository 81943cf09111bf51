//! Joining the rows of matrices column by column: the columns and rows owned by each workgroup (lib/bands.wgsl).

use crate::kernel::{Caps, DeviceClass, Extent, Kernel, source};

/// A dispatch that joins rows, of matrices stored one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bands {
    matrices: u32,
    rows: u32,
    columns: u32,
    /// Number of adjacent columns that a workgroup owns.
    band: u32,
    /// Number of invocations that share a column.
    lanes: u32,
    /// Number of rows that a workgroup joins.
    pub(crate) run: u32,
}

/// Limits for a kind of device.
struct Widths {
    /// Workgroup size.
    workgroup: u32,
    /// Minimum number of columns of a band, if there are as many; they are loaded together.
    band: u32,
    /// Maximum number of rows that one invocation joins.
    long: u32,
    /// Minimum number of rows that one invocation joins, if there are many.
    short: u32,
    /// Number of invocations from which a device is busy.
    busy: u32,
}

impl Widths {
    /// A software device runs a workgroup of eight lanes at once, and more lanes cost time. A card needs tens of
    /// thousands of invocations.
    fn of(caps: &Caps) -> Self {
        match caps.class {
            DeviceClass::Software => Widths { workgroup: 8, band: 8, long: 512, short: 256, busy: 64 },
            _ => Widths { workgroup: caps.max_invocations.min(256), band: 16, long: 32, short: 4, busy: 1 << 17 },
        }
    }
}

impl Bands {
    /// Creates the dispatch for `matrices` of [rows, columns], columns in E.
    pub(crate) fn new(caps: &Caps, [matrices, rows, columns]: [u32; 3]) -> Self {
        let widths = Widths::of(caps);
        // As many lanes as keep the device busy, while neighbours stay neighbours in memory.
        let wanted = (widths.busy / matrices.saturating_mul(columns).max(1)).max(1).next_power_of_two();
        let side = columns.next_power_of_two();
        let band = (widths.workgroup / wanted.min(widths.workgroup)).max(widths.band).min(widths.workgroup).min(side);
        let lanes = (widths.workgroup / band).min(rows.div_ceil(widths.short.min(4)).next_power_of_two());
        let run = if rows <= lanes * widths.long {
            rows
        } else {
            let invocations = u64::from(matrices) * u64::from(columns) * u64::from(rows);
            let each = invocations.div_ceil(widths.busy.into()).next_multiple_of(4);
            lanes * each.clamp(widths.short.into(), widths.long.into()) as u32
        };
        Bands { matrices, rows, columns, band, lanes, run }
    }

    /// Creates the dispatch that joins all rows of one matrix, each column by the eight lanes that a software device
    /// runs at once.
    pub(crate) fn of_eight_lanes([rows, columns]: [u32; 2]) -> Self {
        Bands { matrices: 1, rows, columns, band: 1, lanes: 8, run: rows }
    }

    /// Number of rows left of each matrix.
    pub(crate) fn runs(&self) -> u32 {
        self.rows.div_ceil(self.run)
    }

    /// Links the entry point.
    pub(crate) fn link(&self, kernel: Kernel) -> Kernel {
        let files = [source!("lib/bands.wgsl"), source!("lib/divide.wgsl"), source!("lib/workgroup.wgsl")];
        kernel.with(&files).constant("WG", self.band * self.lanes).constant("BAND", self.band)
    }

    /// Size of the dispatch.
    pub(crate) fn extent(&self) -> Extent {
        let bands = u64::from(self.columns.div_ceil(self.band));
        Extent::Workgroups(bands * u64::from(self.runs()) * u64::from(self.matrices))
    }

    /// Number of rows per invocation, plus the number of partial results that it joins afterwards.
    pub(crate) fn elements(&self) -> u32 {
        self.run.div_ceil(self.lanes) + self.lanes.ilog2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invocations join at most 32 rows, neighbours own neighbouring columns, and few passes are enough.
    #[test]
    fn cards_have_short_runs_and_few_passes() {
        let caps = Caps::webgpu(DeviceClass::Discrete);
        for columns in [1, 3, 16, 17, 128, 1000, 40_000] {
            // No binding holds more than 2³¹ bytes.
            let fits = |rows: &u32| u64::from(*rows) * u64::from(columns) < 1 << 29;
            for rows in [1, 2, 31, 512, 4_096, 131_072, 3_000_000].into_iter().filter(fits) {
                let (mut left, mut passes) = (rows, 0);
                while passes == 0 || left > 1 {
                    let bands = Bands::new(&caps, [1, left, columns]);
                    assert!(bands.elements() <= 40, "{bands:?}");
                    assert!(bands.band >= columns.min(16), "{bands:?}");
                    assert!(bands.band * bands.lanes <= 256, "{bands:?}");
                    (left, passes) = (bands.runs(), passes + 1);
                }
                assert!(passes <= 3, "{rows} rows of {columns} columns take {passes} passes");
            }
        }
    }
}
