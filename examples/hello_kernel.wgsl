// output = a * input + input * input, element by element. One invocation owns one element.

@group(0) @binding(1) var<storage, read> input: array<T>;
@group(0) @binding(2) var<storage, read_write> output: array<T>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.len { return; }
    let x = input[id.x];
    output[id.x] = params.a * x + x * x;
}
