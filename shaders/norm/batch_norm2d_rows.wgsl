// The elements owned by one invocation of a batch_norm2d kernel over all rows: ROWS_EACH E in one column, so that it
// reads the column's statistics once. They are count() apart, so that neighbours read neighbours; those from rows
// columns on do not exist.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: ROWS_EACH, params.

fn count() -> u32 {
    return (params.rows + ROWS_EACH - 1) / ROWS_EACH * params.columns;
}

fn column_of(i: u32) -> u32 {
    return i - divide(i, params.columns) * params.columns;
}
