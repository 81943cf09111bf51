// What every kernel of batch_norm2d is told. Memory: input, output and their gradients [rows, columns], a row being a pixel
// of an image and a column a channel; columns counts E of the header, one channel or four. A chunk of rows is what is
// added up first. statistics: [2, columns] = mean, 1 / sqrt(variance + eps).
// Linked with: nothing. Header: params.

fn chunk_count() -> u32 {
    return (params.rows + params.chunk - 1) / params.chunk;
}

fn rows_of_chunk(chunk: u32) -> u32 {
    return min(params.chunk, params.rows - chunk * params.chunk);
}
