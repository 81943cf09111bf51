// Shared part of the batch_norm2d kernels: chunks of rows. Memory: input, output and their gradients [rows, columns],
// where a row is a pixel of an image and a column a channel; columns counts E of the header, one channel or four.
// partials: [chunks, 2, columns], the two partial results of each chunk of rows. statistics: [2, columns] = mean, 1 /
// sqrt(variance + eps).
// Linked with: nothing. Header: params.

fn chunk_count() -> u32 {
    return (params.rows + params.chunk - 1) / params.chunk;
}

fn rows_of_chunk(chunk: u32) -> u32 {
    return min(params.chunk, params.rows - chunk * params.chunk);
}
