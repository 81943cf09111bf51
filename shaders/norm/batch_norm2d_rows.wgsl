// Which elements one invocation of a kernel of batch_norm2d owns that goes over all rows: ROWS_EACH E in one column, so that
// it reads the column's statistics once. They lie count() apart, so that neighbours read neighbours; those from
// rows columns on are not there.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: ROWS_EACH, params.

fn count() -> u32 {
    return (params.rows + ROWS_EACH - 1) / ROWS_EACH * params.columns;
}

fn column_of(i: u32) -> u32 {
    return i - divide(i, params.columns) * params.columns;
}
