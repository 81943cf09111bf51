//! Whether random numbers are distributed as they should be.

/// How many images are drawn for.
pub const DRAWS: u32 = 40_000;

/// Whether these counts of equally likely things are no further apart than chance makes them: chi-squared within six of its
/// standard deviations.
pub fn assert_even(what: &str, counts: &[usize]) {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let chi_squared: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    let freedom = counts.len() as f64 - 1.0;
    assert!(chi_squared < freedom + 6.0 * (2.0 * freedom).sqrt(), "{what}: chi-squared {chi_squared} of {freedom}");
    // Too even is no chance either.
    assert!(chi_squared > freedom - 6.0 * (2.0 * freedom).sqrt(), "{what}: chi-squared {chi_squared} of {freedom}");
}

/// How often each of `bins` numbers occurs.
pub fn histogram(bins: usize, numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut counts = vec![0; bins];
    numbers.for_each(|number| counts[number] += 1);
    counts
}

/// Whether numbers follow a distribution function (Kolmogorov and Smirnov), but for one chance in a million.
pub fn assert_distributed(what: &str, mut numbers: Vec<f64>, distribution: impl Fn(f64) -> f64) {
    numbers.sort_by(f64::total_cmp);
    let count = numbers.len() as f64;
    let apart = |(i, &x): (usize, &f64)| {
        let expected = distribution(x);
        (expected - i as f64 / count).abs().max((expected - (i + 1) as f64 / count).abs())
    };
    let farthest = numbers.iter().enumerate().map(apart).fold(0.0, f64::max);
    assert!(farthest * count.sqrt() < 2.7, "{what}: {farthest} apart");
}

pub fn mean_and_deviation(numbers: &[f64]) -> [f64; 2] {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    [mean, (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64).sqrt()]
}
