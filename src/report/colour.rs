//! The colours of all pictures, and interpolation between them.

/// Red, green and blue.
pub type Rgb = [u8; 3];

pub const PAPER: Rgb = [255, 255, 255];
pub const INK: Rgb = [0x22, 0x22, 0x22];
/// Colour of secondary text and of lines.
pub const FAINT: Rgb = [0x99, 0x99, 0x99];
/// Colour of correct results: the blue of a training curve.
pub const RIGHT: Rgb = [0x1f, 0x77, 0xb4];
/// Colour of wrong results: the orange of a validation curve.
pub const WRONG: Rgb = [0xd9, 0x5f, 0x02];
/// Colour of NaN, which occurs in no colour map.
pub const NAN: Rgb = [0xff, 0x00, 0xff];

/// Eleven colours of matplotlib's map viridis, from 0 to 1 at equal distances.
const VIRIDIS: [Rgb; 11] = [
    [68, 1, 84],
    [72, 36, 117],
    [65, 68, 135],
    [53, 95, 141],
    [42, 120, 142],
    [33, 145, 140],
    [34, 168, 132],
    [68, 191, 112],
    [122, 209, 81],
    [189, 223, 38],
    [253, 231, 37],
];

/// Mixes from `a` at 0 to `b` at 1.
pub fn mix(a: Rgb, b: Rgb, t: f64) -> Rgb {
    let t = t.clamp(0.0, 1.0);
    std::array::from_fn(|i| (f64::from(a[i]) * (1.0 - t) + f64::from(b[i]) * t).round() as u8)
}

/// Returns the gray at `t` from 0 to 1.
pub fn gray(t: f32) -> Rgb {
    [(t.clamp(0.0, 1.0) * 255.0).round() as u8; 3]
}

/// Returns the colour of viridis at `t` from 0 to 1, interpolated between the two nearest in the table.
pub fn viridis(t: f32) -> Rgb {
    let at = f64::from(t.clamp(0.0, 1.0)) * (VIRIDIS.len() - 1) as f64;
    let below = (at as usize).min(VIRIDIS.len() - 2);
    mix(VIRIDIS[below], VIRIDIS[below + 1], at - below as f64)
}

/// Returns the text colour that is readable on `ground`, by the perceived lightness of the three channels (Rec. 601).
pub fn on(ground: Rgb) -> Rgb {
    let [r, g, b] = ground.map(f64::from);
    if 0.299 * r + 0.587 * g + 0.114 * b > 140.0 { INK } else { PAPER }
}
