//! Conversion of a file's number types to the device's.

use safetensors::tensor::Dtype;

/// Converts little-endian `bytes` to f32. `None` if `dtype` is no supported floating-point type.
pub(super) fn reals(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F64 => each(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => each(bytes, |bytes| half(u16::from_le_bytes(bytes))),
        // A BF16 number is the upper half of an f32.
        Dtype::BF16 => each(bytes, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
        _ => return None,
    })
}

/// Converts `bytes` to integers. `None` if they are of another type.
pub(super) fn ints(dtype: Dtype, bytes: &[u8]) -> Option<Vec<i64>> {
    Some(match dtype {
        Dtype::I64 => each(bytes, i64::from_le_bytes),
        Dtype::I32 => each(bytes, |bytes| i64::from(i32::from_le_bytes(bytes))),
        _ => return None,
    })
}

fn each<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok()).map(number).collect()
}

/// Converts a number in IEEE 754's 16-bit format: one sign bit, five exponent bits, ten fraction bits.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction as f32 * 2f32.powi(-24),
        0x1f => f32::from_bits(0x7f80_0000 | fraction << 13),
        _ => (fraction as f32 / 1024.0 + 1.0) * 2f32.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_floats_keep_their_value() {
        let cases: [(u16, f32); 9] = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, expected) in cases {
            assert_eq!(reals(Dtype::F16, &bits.to_le_bytes()), Some(vec![expected]), "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x7c01).is_nan());
        assert!(half(0x8000).is_sign_negative());
        assert_eq!(reals(Dtype::BF16, &[0xc0, 0x3f, 0x20, 0xc1]), Some(vec![1.5, -10.0]));
        assert_eq!(reals(Dtype::F64, &(-0.1f64).to_le_bytes()), Some(vec![-0.1]));
        assert_eq!(reals(Dtype::I64, &[0; 8]), None);
        assert_eq!(ints(Dtype::I64, &(-7i64).to_le_bytes()), Some(vec![-7]));
        assert_eq!(ints(Dtype::I32, &7i32.to_le_bytes()), Some(vec![7]));
        assert_eq!(ints(Dtype::F32, &[0; 4]), None);
    }
}
