//! Mutations of files.

/// Largest input.
const MOST: usize = 1 << 18;
/// Whole numbers at which readers go wrong.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    3,
    7,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];
/// The same for numbers in text.
const TEXTS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "3",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4611686018427387904",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999999",
    "1e309",
    "0.5",
    "NaN",
    "",
];

/// Random numbers by xorshift64*: the same in every run and on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A length of at most 2 to the power of `bits`, mostly a short one.
    fn length(&mut self, bits: usize) -> usize {
        let bits = self.below(bits);
        1 + self.below(1 << bits)
    }

    /// A range of at most `most` bytes within `length`.
    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let size = 1 + self.below(most);
        start..(start + size).min(length)
    }
}

/// Changes `bytes` in one to eight ways, mostly few. `other` is a file to take parts from.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 << random.below(4) {
        once(bytes, other, random);
        bytes.truncate(MOST);
    }
}

fn once(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    // Headers are short, and worth more than what follows.
    let at = if random.below(3) == 0 { at.min(random.below(64)) } else { at };
    match random.below(13) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        3 | 4 => number(bytes, at, random),
        5 => {
            if let Some(byte) = bytes.get_mut(at) {
                let step = 1 + random.below(16) as u8;
                *byte = if random.below(2) == 0 { byte.wrapping_add(step) } else { byte.wrapping_sub(step) };
            }
        }
        6 => bytes.truncate(at),
        7 => {
            let length = random.length(12);
            let fill = random.below(256) as u8;
            bytes.splice(at..at, std::iter::repeat_n(fill, length));
        }
        8 => {
            let range = random.range(bytes.len(), 64);
            bytes.drain(range);
        }
        9 => {
            let range = random.range(bytes.len(), 256);
            let times = random.length(8);
            let part = bytes[range].repeat(times);
            bytes.splice(at..at, part);
        }
        10 => {
            let part = other[random.range(other.len(), 512)].to_vec();
            let end = if random.below(2) == 0 { at } else { (at + part.len()).min(bytes.len()) };
            bytes.splice(at..end, part);
        }
        11 => {
            let end = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[end..]);
        }
        _ => text(bytes, at, random),
    }
}

/// Writes a whole number of two, four or eight bytes, in either order.
fn number(bytes: &mut [u8], at: usize, random: &mut Random) {
    let (number, width) = (*random.of(&NUMBERS), *random.of(&[1, 2, 4, 8]));
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    place.copy_from_slice(&number.to_le_bytes()[..width]);
    if random.below(2) == 0 {
        place.reverse();
    }
}

/// Replaces the first number in text after `at`.
fn text(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(start) = bytes[at.min(bytes.len())..].iter().position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |end| start + end);
    bytes.splice(start..end, random.of(&TEXTS).bytes());
}
