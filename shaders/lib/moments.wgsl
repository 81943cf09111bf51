// Mean and sum of squared deviations of a set of values, for V columns at once, and the merging of two sets:
//     delta = mean_b - mean_a,   mean = mean_a + delta n_b / n,   m2 = m2_a + m2_b + delta^2 n_a n_b / n
// Source: Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983.
//
// The statistics of batch norm begin with chunks of 32 rows: eight blocks of four rows, merged in pairs, pairs of pairs
// and so on. Every kernel that computes a chunk does so in this order, so that their results agree to the bit.
// Linked with: nothing. Header: ACC, VACC.

const CHUNK: u32 = 32;

struct Moments { mean: VACC, m2: VACC, n: ACC }

// Moments of a block of four rows, of which `count` exist.
fn moments_of(v0: VACC, v1: VACC, v2: VACC, v3: VACC, count: u32) -> Moments {
    let x1 = select(VACC(0), v1, count > 1);
    let x2 = select(VACC(0), v2, count > 2);
    let x3 = select(VACC(0), v3, count > 3);
    if count == 0 {
        return Moments();
    }
    let n = ACC(min(count, 4u));
    let mean = (((v0 + x1) + x2) + x3) / n;
    let d0 = v0 - mean;
    let d1 = select(VACC(0), v1 - mean, count > 1);
    let d2 = select(VACC(0), v2 - mean, count > 2);
    let d3 = select(VACC(0), v3 - mean, count > 3);
    return Moments(mean, ((d0 * d0 + d1 * d1) + d2 * d2) + d3 * d3, n);
}

fn merged(a: Moments, b: Moments) -> Moments {
    if b.n == 0 {
        return a;
    }
    if a.n == 0 {
        return b;
    }
    let n = a.n + b.n;
    let share = b.n / n;
    let delta = b.mean - a.mean;
    return Moments(a.mean + delta * share, (a.m2 + b.m2) + delta * delta * (a.n * share), n);
}

// Number of the four rows from `row` on that exist in a matrix of `rows`.
fn rows_from(row: u32, rows: u32) -> u32 {
    return min(rows - min(row, rows), 4u);
}
