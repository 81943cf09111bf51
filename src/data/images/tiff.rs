//! Palettes of TIFF files, which the decoder does not know: the indices are read as gray, and looked up here.

/// Tags of the directory: what samples mean, and the palette.
const MEANING: u16 = 262;
const PALETTE: u16 = 320;
/// What samples mean: gray values that grow brighter, or indices into the palette.
const GRAY: u16 = 1;
const INDICES: u16 = 3;

/// Bytes of a value of each type, from type 1 on.
const SIZES: [usize; 13] = [1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4];

/// Checks that the values of the first directory lie within the file: the decoder takes memory for as many as an entry
/// claims.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, count: usize| {
        let digits = bytes.get(at..at.checked_add(count)?)?.iter();
        let add = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        Some(if little { digits.rev().fold(0, add) } else { digits.fold(0, add) })
    };
    let entries = |directory: usize| -> Option<bool> {
        let mut all = true;
        for i in 0..number(directory, 2)? {
            let at = directory + 2 + 12 * i;
            let (kind, count) = (number(at + 2, 2)?, number(at + 4, 4)?);
            let size = SIZES.get(kind.wrapping_sub(1)).map_or(0, |size| size.saturating_mul(count));
            all &= size <= 4 || number(at + 8, 4)?.saturating_add(size) <= bytes.len();
        }
        Some(all)
    };
    match number(4, 4).and_then(entries) {
        Some(true) => Ok(()),
        _ => Err("its directory has values beyond its end".into()),
    }
}

/// Returns the file with its indices declared gray values, and the color of each index, if it has a palette of 256.
pub(super) fn palette(bytes: &[u8]) -> Option<(Vec<u8>, Vec<[u8; 3]>)> {
    let little = match bytes.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let pair = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at: usize| {
        let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize)
    };
    let directory = long(4)?;
    let entry = |tag: u16| {
        let entries = 0..usize::from(short(directory)?);
        entries.map(|i| directory + 2 + 12 * i).find(|&at| short(at) == Some(tag))
    };
    let meaning = entry(MEANING)? + 8;
    if short(meaning)? != INDICES {
        return None;
    }
    let palette = entry(PALETTE)?;
    if long(palette + 4)? != 3 * 256 {
        return None;
    }
    // All reds, then all greens, then all blues, of 16 bits.
    let values = long(palette + 8)?;
    let byte = |channel: usize, i: usize| short(values + 2 * (256 * channel + i)).map(|value| (value >> 8) as u8);
    let colors = (0..256).map(|i| Some([byte(0, i)?, byte(1, i)?, byte(2, i)?])).collect::<Option<_>>()?;
    let mut gray = bytes.to_vec();
    let pair = if little { GRAY.to_le_bytes() } else { GRAY.to_be_bytes() };
    gray[meaning..meaning + 2].copy_from_slice(&pair);
    Some((gray, colors))
}
