// The first step of batch_norm2d in training: mean and sum of squared deviations of each chunk of rows, by channel.
//     mean = k + sum(x - k) / n,   m2 = sum((x - k)^2) - sum(x - k)^2 / n,   k the chunk's first row
// k lies among the values, so that little is lost in the difference, however far from 0 they are.
// Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983.
//
// input: [rows, columns]; partials: [chunks, 2, columns] = mean, m2; batches: [1], which counts the batches.
// One invocation owns one chunk of one column of E. No workgroup memory, no barrier.

@group(0) @binding(1) var<storage, read> input: array<E>;
@group(0) @binding(2) var<storage, read_write> partials: array<E>;
@group(0) @binding(3) var<storage, read_write> batches: array<i32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = invocation_number(workgroup, groups, local);
    // The next dispatch reads it, so that all of its invocations see this batch counted.
    if i == 0 {
        batches[0] += 1;
    }
    if i >= chunk_count() * params.columns { return; }
    let chunk = i / params.columns;
    let column = i - chunk * params.columns;
    let rows = rows_of_chunk(chunk);
    let first = chunk * params.chunk * params.columns + column;

    let k = input[first];
    var sum = E(0);
    var squares = E(0);
    for (var row = 0u; row < rows; row++) {
        let x = input[first + row * params.columns] - k;
        sum += x;
        squares += x * x;
    }
    let n = T(rows);
    partials[chunk * 2 * params.columns + column] = k + sum / n;
    partials[(chunk * 2 + 1) * params.columns + column] = squares - sum * sum / n;
}
