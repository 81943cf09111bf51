// output[i] = the sum of twelve sequences x <- x factor + addend, each of length 32 `rounds`. It measures the peak rate
// of multiply-adds, with which products are compared.
//
// output: [invocations]. T: the type of the computation.
// One invocation owns one element and three independent chains of vec4: enough to hide the latency of a result, and few
// enough for the 16 vector registers of a CPU that runs eight invocations at once. Factor and addend come from the host
// and the sum is stored, so that no compiler can remove anything. With a factor below 1 the numbers stay near addend /
// (1 - factor), neither overflowing nor denormal. No workgroup memory, no barrier.
// It has a separate entry point, since a loop under the condition of lib/each.wgsl reaches a third of the rate on a
// software device.
// Linked with: lib/workgroup.wgsl. Header: T, WG, params.

@group(0) @binding(OUTPUT) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, groups) * WG + local;
    let f = T(params.factor);
    let a = T(params.addend);
    // Only numbers that half precision can hold.
    var x = vec4<T>(T(i & 1023u), T(local), T(1.0), T(2.0));
    var y = x + T(3.0);
    var z = x + T(4.0);
    // Unrolled by hand: no translation of WGSL does it, and the end of a loop costs as much as several of these lines.
    for (var round = 0u; round < params.rounds; round += 1u) {
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
        x = x * f + a; y = y * f + a; z = z * f + a;
    }
    let sum = x + y + z;
    output[i] = f32(sum.x + sum.y + sum.z + sum.w);
}
