//! How the rows of matrices are joined column by column: which workgroups own which columns and rows (lib/bands.wgsl).

use crate::kernel::{Caps, DeviceClass, Extent, Kernel, source};

/// One dispatch that joins rows, of matrices that lie one behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bands {
    matrices: u32,
    rows: u32,
    columns: u32,
    /// Columns side by side that a workgroup owns.
    band: u32,
    /// Invocations that share a column.
    lanes: u32,
    /// Rows that a workgroup joins.
    pub(crate) run: u32,
}

/// What a kind of device is given.
struct Widths {
    /// Invocations of a workgroup.
    workgroup: u32,
    /// Columns of a band where there are more, at least: so many are loaded at once.
    band: u32,
    /// Rows that one invocation joins, at most.
    long: u32,
    /// Rows that one invocation joins, at least, where there are many.
    short: u32,
    /// Invocations from which on a device is busy.
    busy: u32,
}

impl Widths {
    /// A software device runs a workgroup of eight lanes at once, and each more costs it; a card wants tens of thousands of invocations.
    fn of(caps: &Caps) -> Self {
        match caps.class {
            DeviceClass::Software => Widths { workgroup: 8, band: 8, long: 512, short: 256, busy: 64 },
            _ => Widths { workgroup: caps.max_invocations.min(256), band: 16, long: 32, short: 4, busy: 1 << 17 },
        }
    }
}

impl Bands {
    /// The dispatch for `matrices` of [rows, columns], columns in E.
    pub(crate) fn new(caps: &Caps, [matrices, rows, columns]: [u32; 3]) -> Self {
        let widths = Widths::of(caps);
        // As many lanes as keep the device busy, but neighbours must stay neighbours in memory.
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

    /// The dispatch that joins all rows of one matrix, each column by the eight lanes that a software device runs at once.
    pub(crate) fn of_eight_lanes([rows, columns]: [u32; 2]) -> Self {
        Bands { matrices: 1, rows, columns, band: 1, lanes: 8, run: rows }
    }

    /// How many rows are left of each matrix.
    pub(crate) fn runs(&self) -> u32 {
        self.rows.div_ceil(self.run)
    }

    /// Links the entry point.
    pub(crate) fn link(&self, kernel: Kernel) -> Kernel {
        let files = [source!("lib/bands.wgsl"), source!("lib/divide.wgsl"), source!("lib/workgroup.wgsl")];
        kernel.with(&files).constant("WG", self.band * self.lanes).constant("BAND", self.band)
    }

    /// How much the dispatch runs.
    pub(crate) fn extent(&self) -> Extent {
        let bands = u64::from(self.columns.div_ceil(self.band));
        Extent::Workgroups(bands * u64::from(self.runs()) * u64::from(self.matrices))
    }

    /// How many rows one invocation takes, and then how many parts of others.
    pub(crate) fn elements(&self) -> u32 {
        self.run.div_ceil(self.lanes) + self.lanes.ilog2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invocations work at most 32 rows, neighbours own neighbours, and few passes are enough.
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
