//! NumPy's .npy format: a magic number, a version, the length of a header, the header as a Python dictionary, and the
//! elements. Source: NumPy, "numpy.lib.format", versions 1.0 to 3.0.

use std::fmt;
use std::io::{self, Read};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Largest header that is read; NumPy pads its own to a multiple of 64 bytes, of which one or two are usual.
const HEADER: usize = 1 << 16;

/// Type of the elements, with their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signed(usize),
    Unsigned(usize),
    Float(usize),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Signed(bytes) => write!(f, "int{}", bytes * 8),
            Kind::Unsigned(bytes) => write!(f, "uint{}", bytes * 8),
            Kind::Float(bytes) => write!(f, "float{}", bytes * 8),
        }
    }
}

/// An array, in C order and little-endian.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

fn wrong(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl Array {
    /// Reads an array of at most `most` bytes. The memory it takes is bounded by these and by what the reader holds,
    /// whatever the header says. Invalid content is [`io::ErrorKind::InvalidData`].
    pub fn read(reader: &mut dyn Read, most: u64) -> io::Result<Self> {
        let start = take(reader, 8)?;
        if !start.starts_with(MAGIC) {
            return Err(wrong("is no .npy array: it does not begin with \\x93NUMPY"));
        }
        let length = match start.get(6) {
            Some(1) => take(reader, 2)?,
            Some(2 | 3) => take(reader, 4)?,
            Some(version) => return Err(wrong(format!("has version {version} of the format; 1 to 3 are known"))),
            None => return Err(wrong("ends in the header, at offset 6")),
        };
        let length = length.iter().rev().fold(0_usize, |length, &byte| (length << 8) | usize::from(byte));
        if length > HEADER {
            return Err(wrong(format!("header says that it has {length} bytes, allowed are {HEADER}")));
        }
        let header = take(reader, length as u64)?;
        if header.len() < length {
            return Err(wrong(format!("ends in the header, which says that it has {length} bytes")));
        }
        let Header { kind, big, fortran, shape } = Header::parse(&String::from_utf8_lossy(&header)).map_err(wrong)?;
        if fortran && shape.len() > 1 {
            return Err(wrong("is in Fortran order; save numpy.ascontiguousarray of it"));
        }
        let (Kind::Signed(width) | Kind::Unsigned(width) | Kind::Float(width)) = kind;
        let expected = shape.iter().try_fold(width, |product, &extent| product.checked_mul(extent));
        let expected = expected.ok_or_else(|| wrong(format!("has the shape {shape:?}, more than there can be")))?;
        if expected as u64 > most {
            return Err(wrong(format!(
                "the header says {shape:?} of {kind} = {expected} bytes, the file can't hold more than {most}"
            )));
        }
        // At once, within the limit: a vector that grows may take twice as much.
        let mut bytes = Vec::with_capacity(expected);
        reader.take(expected as u64).read_to_end(&mut bytes)?;
        let rest = take(reader, 1)?;
        if bytes.len() < expected || !rest.is_empty() {
            let held = if rest.is_empty() { bytes.len().to_string() } else { "more".into() };
            return Err(wrong(format!(
                "the header says {shape:?} of {kind} = {expected} bytes, the file holds {held} after it"
            )));
        }
        if big && width > 1 {
            bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        Ok(Array { kind, shape, bytes })
    }

    fn width(&self) -> usize {
        let (Kind::Signed(width) | Kind::Unsigned(width) | Kind::Float(width)) = self.kind;
        width
    }

    /// The elements as numbers; of whole numbers beyond 53 bits the nearest.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        let kind = self.kind;
        self.bytes.chunks_exact(self.width()).map(move |bytes| match kind {
            Kind::Float(4) => f64::from(f32::from_le_bytes(bytes.try_into().unwrap_or_default())),
            Kind::Float(2) => half(u16::from_le_bytes(bytes.try_into().unwrap_or_default())),
            Kind::Float(_) => f64::from_le_bytes(bytes.try_into().unwrap_or_default()),
            _ => whole(kind, bytes) as f64,
        })
    }

    /// The elements as whole numbers; `None` for one beyond i64.
    pub fn integers(&self) -> impl Iterator<Item = Option<i64>> {
        let kind = self.kind;
        self.bytes.chunks_exact(self.width()).map(move |bytes| i64::try_from(whole(kind, bytes)).ok())
    }
}

/// A whole number from its bytes.
fn whole(kind: Kind, bytes: &[u8]) -> i128 {
    let value = bytes.iter().rev().fold(0_i128, |value, &byte| (value << 8) | i128::from(byte));
    let negative = matches!(kind, Kind::Signed(_)) && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    if negative { value - (1 << (8 * bytes.len())) } else { value }
}

/// A number of 16 bits: sign, five bits of exponent, ten of the fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10) & 31, f64::from(bits & 1023) / 1024.0);
    let value = match exponent {
        0 => fraction * 2.0_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -value } else { value }
}

/// Reads up to `limit` bytes.
fn take(reader: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The dictionary of a header.
struct Header {
    kind: Kind,
    big: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Parses "{'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }".
    fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| -> Result<&str, String> {
            let at =
                text.find(&format!("'{key}'")).ok_or_else(|| format!("header without '{key}': {}", text.trim()))?;
            let rest = &text[at + key.len() + 2..];
            rest.trim_start()
                .strip_prefix(':')
                .map(str::trim_start)
                .ok_or_else(|| format!("header: no value of '{key}'"))
        };
        let descr = value("descr")?;
        let name = descr.strip_prefix('\'').and_then(|rest| rest.split('\'').next());
        let name = name.ok_or("has elements of several fields; save images and labels as arrays of their own")?;
        let refused = || format!("has the type '{name}'; whole numbers and floats of 2, 4 or 8 bytes are known");
        let (big, kind) = match name.split_at_checked(1).ok_or_else(refused)? {
            (order @ ("<" | "|" | "=" | ">"), kind) => (order == ">", kind),
            _ => (false, name),
        };
        let (letter, width) = kind.split_at_checked(1).ok_or_else(refused)?;
        let kind = match (letter, width.parse::<usize>()) {
            ("i", Ok(width @ (1 | 2 | 4 | 8))) => Kind::Signed(width),
            ("u", Ok(width @ (1 | 2 | 4 | 8))) => Kind::Unsigned(width),
            ("f", Ok(width @ (2 | 4 | 8))) => Kind::Float(width),
            _ => return Err(refused()),
        };
        let fortran = match value("fortran_order")? {
            text if text.starts_with("True") => true,
            text if text.starts_with("False") => false,
            _ => return Err("header: 'fortran_order' is neither True nor False".into()),
        };
        let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split(')').next());
        let shape = shape.ok_or("header: 'shape' is no tuple")?;
        let extents = shape.split(',').map(str::trim).filter(|extent| !extent.is_empty());
        let shape: Result<Vec<usize>, _> = extents.map(|extent| extent.trim_end_matches('L').parse()).collect();
        let shape = shape.map_err(|_| "header: 'shape' is no tuple of numbers")?;
        Ok(Header { kind, big, fortran, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC.as_slice(), &[1, 0], &length, header.as_bytes(), body].concat()
    }

    fn fault(bytes: &[u8]) -> String {
        Array::read(&mut &*bytes, 1 << 20).unwrap_err().to_string()
    }

    #[test]
    fn every_type_and_both_byte_orders_are_read() {
        let read = |descr: &str, body: &[u8]| Array::read(&mut &*npy(descr, "False", "(2,)", body), 1 << 20).unwrap();
        let numbers = |array: Array| array.numbers().collect::<Vec<_>>();
        assert_eq!(numbers(read("'|u1'", &[3, 255])), [3.0, 255.0]);
        assert_eq!(numbers(read("'|i1'", &[3, 255])), [3.0, -1.0]);
        assert_eq!(numbers(read("'<i2'", &[0, 1, 254, 255])), [256.0, -2.0]);
        assert_eq!(numbers(read("'>i2'", &[1, 0, 255, 254])), [256.0, -2.0]);
        assert_eq!(numbers(read("'>f4'", &[0x3f, 0x80, 0, 0, 0xbf, 0, 0, 0])), [1.0, -0.5]);
        assert_eq!(numbers(read("'<f2'", &[0, 0x3c, 0, 0xb8])), [1.0, -0.5]);
        assert_eq!(numbers(read("'<f8'", &[0.25_f64.to_le_bytes(), 7.0_f64.to_le_bytes()].concat())), [0.25, 7.0]);
        let large = read("'<u8'", &[u64::MAX.to_le_bytes(), 5_u64.to_le_bytes()].concat());
        assert_eq!(large.integers().collect::<Vec<_>>(), [None, Some(5)]);
    }

    #[test]
    fn what_can_not_be_read_says_why() {
        assert!(fault(b"").contains("is no .npy array"));
        assert!(fault(b"\x93NUMPY\x09\0\0\0").contains("version 9"));
        assert!(fault(b"\x93NUMPY\x02\0\xff\xff\xff\xff").contains("4294967295 bytes"));
        assert!(fault(b"\x93NUMPY\x01\0\x50\0{'descr'").contains("ends in the header"));
        assert!(fault(&npy("'<f4'", "True", "(2, 2)", &[0; 16])).contains("Fortran order"));
        assert!(fault(&npy("'|O'", "False", "(2,)", &[0; 16])).contains("'|O'"));
        assert!(fault(&npy("'<U5'", "False", "(2,)", &[0; 40])).contains("'<U5'"));
        assert!(fault(&npy("[('a', '<f4')]", "False", "(2,)", &[0; 8])).contains("several fields"));
        assert!(fault(&npy("'|u1'", "False", "(3, 3)", &[0; 8])).contains("= 9 bytes, the file holds 8"));
        assert!(fault(&npy("'|u1'", "False", "(3, 3)", &[0; 10])).contains("holds more"));
        let huge = fault(&npy("'<f4'", "False", "(18446744073709551615, 3)", &[0; 8]));
        assert!(huge.contains("more than there can be"), "{huge}");
        assert!(
            fault(&npy("'<f4'", "False", "(4611686018427387, 3)", &[0; 8])).contains("can't hold more than 1048576")
        );
        assert!(fault(&npy("'<f4'", "False", "(-1, 3)", &[0; 8])).contains("no tuple of numbers"));
    }

    /// Every cut and every changed byte gives an array or an error, and no panic.
    #[test]
    fn damaged_headers_never_panic() {
        let whole = npy("'<i4'", "False", "(2, 1)", &[0; 8]);
        for at in 0..whole.len() {
            assert!(Array::read(&mut &whole[..at], 1 << 20).is_err());
            for byte in [0, b'\'', b'(', b')', b'9', 0xff, 0xc3] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = Array::read(&mut &*bytes, 1 << 20);
            }
        }
    }
}
