//! Counter-based random numbers (Philox 4x32-10), equal on every platform, and the initialisers that use them.
//!
//! A number is a function of (seed, stream, index) alone, and no state is carried. A parameter's first values therefore
//! depend on its name and not on the order in which layers are built, and threads need no generators. Source: Salmon,
//! Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox 4x32: four random words for a 128-bit `counter` under a 64-bit `key`.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(MULTIPLIER[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIER[1]) * u64::from(counter[2]);
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A stream of random numbers: a seed and a stream number, addressed by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    stream: u64,
}

impl Rng {
    /// The stream called `name` of `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        Rng { seed, stream: fnv1a(name.as_bytes()) }
    }

    /// Four random words for `index`.
    pub fn words(&self, index: u64) -> [u32; 4] {
        philox(
            [index as u32, (index >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32],
            [self.seed as u32, (self.seed >> 32) as u32],
        )
    }

    /// Four random words for `item` in `step`, which together form the index. Kernels and their twins draw these.
    pub fn words_at(&self, step: u32, item: u32) -> [u32; 4] {
        self.words(u64::from(step) << 32 | u64::from(item))
    }

    /// The stream's number, low and high word.
    pub fn stream(&self) -> [u32; 2] {
        [self.stream as u32, (self.stream >> 32) as u32]
    }

    /// A number in [0, 1) with 24 random bits.
    pub fn uniform(&self, index: u64) -> f32 {
        unit(self.words(index)[0])
    }

    /// A number from the normal distribution with mean 0 and standard deviation 1 (Box-Muller).
    pub fn normal(&self, index: u64) -> f32 {
        let words = self.words(index);
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * f64::from(1.0 - unit(words[0])).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(unit(words[1]))).cos()) as f32
    }

    /// A random integer in 0..`bound`; all are equally likely to within 2^-32.
    pub fn below(&self, index: u64, bound: u32) -> u32 {
        ((u64::from(self.words(index)[0]) * u64::from(bound)) >> 32) as u32
    }

    /// A permutation of 0..`len` (Fisher and Yates), for data sets of fewer than 2^32 items.
    pub fn permutation(&self, len: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..len as u32).collect();
        for i in (1..len).rev() {
            order.swap(i, self.below(i as u64, i as u32 + 1) as usize);
        }
        order
    }
}

/// Values to write before a step to the input of [`crate::graph::Tape::random`]: the seed's two words, the step,
/// unused.
pub fn draw(seed: u64, step: u32) -> [i32; 4] {
    [seed as i32, (seed >> 32) as i32, step as i32, 0]
}

/// The stream called `name` of the seed written by [`draw`], and the step.
pub fn drawn(name: &str, random: &[i32]) -> (Rng, u32) {
    let word = |i: usize| random.get(i).map_or(0, |&word| word as u32);
    (Rng::new(u64::from(word(0)) | u64::from(word(1)) << 32, name), word(2))
}

/// Converts a random word to a number in [0, 1) with 24 random bits.
pub fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// The 64-bit FNV-1a hash. It turns a name into a stream number, and a file into a checksum.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Initialisation of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// U(-bound, bound).
    Uniform(f32),
    /// N(0, std^2).
    Normal(f32),
}

impl Init {
    /// PyTorch's default for weights and biases: kaiming_uniform(a = sqrt 5), so U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    pub fn kaiming_uniform(fan_in: usize) -> Self {
        Init::Uniform(1.0 / (fan_in.max(1) as f32).sqrt())
    }

    /// Xavier (Glorot) uniform: U(-b, b) with b = sqrt(6 / (fan_in + fan_out)).
    pub fn xavier_uniform(fan_in: usize, fan_out: usize) -> Self {
        Init::Uniform((6.0 / fan_in.saturating_add(fan_out).max(1) as f32).sqrt())
    }

    /// The first `len` values of the parameter `name` under `seed`, in PyTorch's element order.
    pub fn values(&self, seed: u64, name: &str, len: usize) -> Vec<f32> {
        let rng = Rng::new(seed, name);
        match *self {
            Init::Constant(value) => vec![value; len],
            Init::Uniform(bound) => (0..len as u64).map(|i| (2.0 * rng.uniform(i) - 1.0) * bound).collect(),
            Init::Normal(std) => (0..len as u64).map(|i| rng.normal(i) * std).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let rng = Rng::new(7, "moments");
        let n = 100_000;
        let mean = (0..n).map(|i| f64::from(rng.uniform(i))).sum::<f64>() / n as f64;
        let square = (0..n).map(|i| f64::from(rng.normal(i)).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert!((square - 1.0).abs() < 0.02, "{square}");
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_depends_on_seed_and_name() {
        let mut order = Rng::new(1, "epoch 0").permutation(1000);
        assert_ne!(order, Rng::new(1, "epoch 1").permutation(1000));
        assert_ne!(order, Rng::new(2, "epoch 0").permutation(1000));
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(i, &v)| i == v as usize));
    }
}
