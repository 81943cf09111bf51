// What kernels of batch_norm2d make of chunks of rows, and what they know of them. Memory: input, output and their gradients
// [rows, columns], a row being a pixel of an image and a column a channel; columns counts E of the header, one channel or four.
// partials: [chunks, 2, columns], of each chunk of rows the two numbers that it adds to. statistics: [2, columns] = mean, 1 /
// sqrt(variance + eps).
// Linked with: nothing. Header: params.

fn chunk_count() -> u32 {
    return (params.rows + params.chunk - 1) / params.chunk;
}

fn rows_of_chunk(chunk: u32) -> u32 {
    return min(params.chunk, params.rows - chunk * params.chunk);
}
