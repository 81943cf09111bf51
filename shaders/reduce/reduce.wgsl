// output[o, k, c] = scale times the sum of term(o, r, c) over the rows r of run k: a sum over the middle of three axes,
// one of two or three dispatches if there are many rows. `term` comes from another file (reduce/reduce_term.wgsl,
// loss/mse_loss.wgsl).
// Source: torch.sum, torch.mean.
//
// term: [outer, rows, columns] of E; output: [outer, runs, columns] of E; a run is `run` rows, the last one fewer.
// Workgroups, invocations, workgroup memory and barriers: lib/bands.wgsl; a Part is a sum. An invocation loads four of
// its rows before it adds them up, so that it waits for memory once.
// Linked with: lib/bands.wgsl, lib/divide.wgsl, loss/mse_loss.wgsl or reduce/reduce_term.wgsl. Header: ACC, E, EACC, params.

@group(0) @binding(OUTPUT) var<storage, read_write> output: array<E>;

alias Part = EACC;

fn runs_of_each() -> u32 {
    return (params.rows + params.run - 1) / params.run;
}

fn runs() -> u32 {
    return params.outer * runs_of_each();
}

fn part(run: u32, lane: u32, column: u32) -> Part {
    let outer = divide(run, runs_of_each());
    let first = (run - outer * runs_of_each()) * params.run;
    let end = min(first + params.run, params.rows);
    let apart = LANES * params.columns;
    var row = first + lane;
    var at = (outer * params.rows + row) * params.columns + column;
    var sum = EACC(0);
    for (; row + 3 * LANES < end; row += 4 * LANES) {
        sum += (term(at) + term(at + apart)) + (term(at + 2 * apart) + term(at + 3 * apart));
        at += 4 * apart;
    }
    for (; row < end; row += LANES) {
        sum += term(at);
        at += apart;
    }
    return sum;
}

fn joined(a: Part, b: Part) -> Part {
    return a + b;
}

fn whole(run: u32, column: u32, sum: Part) {
    output[run * params.columns + column] = E(sum * ACC(params.scale));
}
