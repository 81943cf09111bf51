//! Letters of pictures: a bitmap font that is compiled in, and with the feature `fonts` the fonts of the system for the
//! characters that it lacks.

use std::borrow::Cow;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use unicode_width::UnicodeWidthChar;

#[cfg(feature = "fonts")]
pub(super) use system::Fonts;

/// Width and height of a cell in pixels. Wide characters, such as Chinese ones, take two cells.
pub(super) const LETTER: [usize; 2] =
    [get_raster_width(FontWeight::Regular, RasterHeight::Size16), RasterHeight::Size16.val()];

/// The pixels of a character: for each row the ink, from 0 to 255.
pub(super) type Glyph = Vec<Cow<'static, [u8]>>;

/// Number of cells that a character takes; 0 for a mark on the character before it.
pub(super) fn cells(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

/// The character in the font that is compiled in.
fn compiled_in(letter: char) -> Option<Glyph> {
    let raster = get_raster(letter, FontWeight::Regular, RasterHeight::Size16)?;
    Some(raster.rows().map(Cow::Borrowed).collect())
}

/// The fonts that pictures are written with: without the feature `fonts`, the one that is compiled in.
#[cfg(not(feature = "fonts"))]
#[derive(Default)]
pub(super) struct Fonts;

#[cfg(not(feature = "fonts"))]
impl Fonts {
    /// The fonts of this machine.
    pub fn system() -> &'static Self {
        &Fonts
    }

    fn drawn(&self, _letter: char) -> Option<Glyph> {
        None
    }
}

impl Fonts {
    /// The pixels of `letter`; `None` if no font has it.
    pub fn glyph(&self, letter: char) -> Option<Glyph> {
        match letter.is_whitespace() {
            true => Some(Vec::new()),
            false => compiled_in(letter).or_else(|| self.drawn(letter)),
        }
    }

    /// True if every character of `text` can be written.
    pub fn write(&self, text: &str) -> bool {
        // Marks without a glyph leave their letter readable.
        text.chars().all(|letter| cells(letter) == 0 || self.glyph(letter).is_some())
    }
}

#[cfg(feature = "fonts")]
mod system {
    use std::borrow::Cow;
    use std::cmp::Reverse;
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use ab_glyph::{Font, FontRef, PxScale, point};
    use fontdb::{Database, ID, Stretch, Style};

    use super::{Glyph, LETTER, cells};

    /// Size of the letters in pixels, and the row of their base line.
    const EM: f32 = 14.0;
    const BASE_LINE: f32 = 13.0;

    /// The fonts that pictures are written with.
    #[derive(Default)]
    pub(in crate::report) struct Fonts {
        database: Database,
        /// The faces in the order in which they are asked for a character.
        faces: Vec<ID>,
        /// What was drawn before.
        glyphs: Mutex<HashMap<char, Option<Glyph>>>,
    }

    impl Fonts {
        /// The fonts of this machine. They are looked for at the first character that needs one.
        pub fn system() -> &'static Self {
            static SYSTEM: LazyLock<Fonts> = LazyLock::new(|| {
                let mut database = Database::new();
                database.load_system_fonts();
                Fonts::of(database)
            });
            &SYSTEM
        }

        /// The fonts of a database. Their order depends on what the fonts are and not on where they lie, so that a
        /// picture is the same on all machines that have them.
        pub fn of(database: Database) -> Self {
            let mut faces: Vec<_> = database
                .faces()
                // macOS has a font of boxes for every character.
                .filter(|face| !face.post_script_name.contains("LastResort"))
                .map(|face| {
                    let plain = face.style == Style::Normal && face.stretch == Stretch::Normal;
                    let serif = face.post_script_name.contains("Serif");
                    let order = (!plain, face.weight.0.abs_diff(400), Reverse(face.monospaced), serif);
                    (order, face.post_script_name.clone(), face.index, face.id)
                })
                .collect();
            faces.sort();
            let faces = faces.into_iter().map(|(.., id)| id).collect();
            Fonts { database, faces, glyphs: Mutex::default() }
        }

        /// The pixels of `letter` in the first face that has it.
        pub(super) fn drawn(&self, letter: char) -> Option<Glyph> {
            // A panic elsewhere leaves the map whole.
            let mut glyphs = self.glyphs.lock().unwrap_or_else(PoisonError::into_inner);
            let found = glyphs.entry(letter).or_insert_with(|| {
                let of = |&face: &ID| self.database.with_face_data(face, |data, index| draw(data, index, letter))?;
                self.faces.iter().find_map(of)
            });
            found.clone()
        }
    }

    /// Draws `letter` into its cells, narrowed if the font is too wide for them. `None` if the font lacks it.
    fn draw(data: &[u8], index: u32, letter: char) -> Option<Glyph> {
        let font = FontRef::try_from_slice_and_index(data, index).ok()?;
        let id = font.glyph_id(letter);
        let unit = EM / font.units_per_em()?;
        if id.0 == 0 {
            return None;
        }
        let width = cells(letter).max(1) * LETTER[0];
        let (room, advance) = (width as f32, font.h_advance_unscaled(id) * unit);
        let narrowed = if advance > room { room / advance } else { 1.0 };
        let height = font.height_unscaled() * unit;
        // A mark of no advance is drawn backward, from where its letter ends.
        let start = if advance > 0.0 { (room - advance * narrowed) / 2.0 } else { room };
        let scale = PxScale { x: height * narrowed, y: height };
        let outline = font.outline_glyph(id.with_scale_and_position(scale, point(start, BASE_LINE)))?;
        let bounds = outline.px_bounds();
        let mut rows = vec![vec![0; width]; LETTER[1]];
        outline.draw(|x, y, ink| {
            let (column, row) = (bounds.min.x + x as f32, bounds.min.y + y as f32);
            if column >= 0.0 && row >= 0.0 {
                let pixel = rows.get_mut(row as usize).and_then(|row| row.get_mut(column as usize));
                pixel.into_iter().for_each(|pixel| *pixel = (ink.clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        });
        Some(rows.into_iter().map(Cow::Owned).collect())
    }
}
