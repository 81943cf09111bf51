// The gradient of the negative log-likelihood by the log-probabilities: -s w[t] at the target, 0 elsewhere, with
// s = grad_output / sum of weights for the mean, grad_output for the sum. Source: torch.nn.NLLLoss.
//
// grad_output: [1]; targets: [rows]; row_results, totals: loss/nll_loss.wgsl, loss/softmax_cross_entropy_totals.wgsl;
// grad_log_probs: [rows, classes].
// One invocation owns one element of grad_log_probs. No workgroup memory, no barrier.
// Linked with: lib/divide.wgsl, lib/each.wgsl. Header: T, params.

@group(0) @binding(GRAD_OUTPUT) var<storage, read> grad_output: array<T>;
@group(0) @binding(TARGETS) var<storage, read> targets: array<i32>;
@group(0) @binding(ROW_RESULTS) var<storage, read> row_results: array<T>;
@group(0) @binding(TOTALS) var<storage, read> totals: array<T>;
@group(0) @binding(GRAD_LOG_PROBS) var<storage, read_write> grad_log_probs: array<T>;

fn count() -> u32 {
    return params.rows * params.classes;
}

fn each(i: u32) {
    let row = divide(i, params.classes);
    var grad = T(0);
    // If all targets are ignored the mean divides by 0, but no element uses the result.
    if row_results[row * 7 + 3] != T(0) && targets[row] == i32(i - row * params.classes) {
        grad = -grad_output[0] * row_results[row * 7 + 1];
        if params.mean != 0u {
            grad /= totals[1];
        }
    }
    grad_log_probs[i] = grad;
}
