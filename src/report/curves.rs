//! Curves of a run by epoch, as SVG and PNG: loss, accuracy, further metrics of the loss, and the learning rate.
//!
//! The PNG's font is compiled in, so no installed font is needed. Names of runs and metrics in a script that it lacks are
//! written by the fonts of the system, or become numbers where none has them.

use std::error::Error as Any;
use std::path::Path;
use std::sync::Once;

use ab_glyph::{Font, FontRef};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::Picture;
use super::fonts::{Fonts, LETTER};
use super::picture::text_width;
use crate::error::{Error, Result, printable};
use crate::files::write_whole;
use crate::train::Epoch;

/// Colours of training and validation, which also differ in lightness.
const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const VALIDATION: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Size of one panel in pixels.
const PANEL: [usize; 2] = [480, 400];
/// Size in pixels of a panel among several side by side.
const SMALL: [usize; 2] = [330, 270];
/// Pixels around a panel.
const MARGIN: u32 = 12;
/// Number of panels of one run side by side.
const ACROSS: usize = 3;
/// Largest width of a figure in pixels.
const WIDEST: usize = 16_384;

type Drawn<T = ()> = std::result::Result<T, Box<dyn Any>>;

/// Writes the curves of a run to `path` with the extensions .svg and .png, each completely or not at all.
///
/// There is a panel for the loss, one for the accuracy if the loss has classes, one for each of [`Epoch::metrics`], and
/// one for the learning rate. Non-finite values are omitted. [`Error::Io`] names a path that can't be written.
///
/// ```
/// use tilegrad::report::curves;
/// use tilegrad::train::{Epoch, Measured};
///
/// // A regression, without accuracy.
/// let epoch = |epoch: usize| Epoch {
///     epoch,
///     train_loss: 1.0 / epoch as f64,
///     train_accuracy: f64::NAN,
///     validation_loss: 1.2 / epoch as f64,
///     validation_accuracy: f64::NAN,
///     lr: 0.1,
///     seconds: 1.0,
///     images_per_second: 100.0,
///     metrics: vec![Measured { name: "error".into(), train: 0.2, validation: 0.3 }],
/// };
/// let epochs: Vec<Epoch> = (1..=5).map(epoch).collect();
/// let svg = curves::svg(&epochs)?;
/// assert!(svg.contains("error") && svg.contains("learning rate") && !svg.contains("accuracy"));
///
/// let path = std::env::temp_dir().join(format!("tilegrad-curves-{}", std::process::id()));
/// curves::write(&path, &epochs)?;
/// # for ending in ["svg", "png"] {
/// #     let file = path.with_extension(ending);
/// #     std::fs::remove_file(&file).map_err(|error| tilegrad::Error::io(&file, error))?;
/// # }
/// # Ok::<(), tilegrad::Error>(())
/// ```
pub fn write(path: &Path, epochs: &[Epoch]) -> Result<()> {
    both(path, &Figure::one(epochs))
}

/// Writes the curves of several runs side by side, each under its name, to `path` with the extensions .svg and .png.
/// Each quantity that all runs have forms one row on a common scale, except the learning rate.
///
/// [`Error::Config`] if the figure would be too wide for so many runs. [`Error::Io`] names a path that can't be
/// written.
pub fn write_several(path: &Path, runs: &[(&str, &[Epoch])]) -> Result<()> {
    let wide = runs.len().saturating_mul(SMALL[0]);
    if wide > WIDEST {
        let message = format!("of {} runs are too many for one figure, which holds {}", runs.len(), WIDEST / SMALL[0]);
        return Err(Error::config("curves", message).between(WIDEST / SMALL[0], runs.len()));
    }
    both(path, &Figure::several(runs))
}

/// Returns the text of the SVG file that [`write()`] writes.
pub fn svg(epochs: &[Epoch]) -> Result<String> {
    Figure::one(epochs).svg().map_err(failed)
}

/// Returns the bytes of the PNG file that [`write()`] writes.
pub fn png(epochs: &[Epoch]) -> Result<Vec<u8>> {
    Figure::one(epochs).png().map_err(failed)
}

fn failed(error: Box<dyn Any>) -> Error {
    Error::config("curves", format!("cannot be drawn: {error}"))
}

fn both(path: &Path, figure: &Figure<'_>) -> Result<()> {
    let failed = |error: Box<dyn Any>| Error::data(path, format!("cannot be drawn: {error}"));
    write_whole(&path.with_extension("svg"), figure.svg().map_err(failed)?.as_bytes())?;
    write_whole(&path.with_extension("png"), &figure.png().map_err(failed)?)
}

/// The quantity that a panel shows.
#[derive(Clone, Copy, PartialEq)]
enum Quantity<'a> {
    Loss,
    Accuracy,
    Metric(&'a str),
    LearningRate,
}

impl<'a> Quantity<'a> {
    /// The quantities of these epochs.
    fn of(epochs: &'a [Epoch]) -> Vec<Self> {
        let accuracy =
            epochs.iter().any(|epoch| epoch.train_accuracy.is_finite() || epoch.validation_accuracy.is_finite());
        let metrics = epochs.first().map_or(&[][..], |epoch| &epoch.metrics);
        let metrics = metrics.iter().map(|metric| Quantity::Metric(&metric.name));
        let accuracy = accuracy.then_some(Quantity::Accuracy);
        std::iter::once(Quantity::Loss).chain(accuracy).chain(metrics).chain([Quantity::LearningRate]).collect()
    }

    fn title(self) -> &'a str {
        match self {
            Quantity::Loss => "loss",
            Quantity::Accuracy => "accuracy",
            Quantity::Metric(name) => name,
            Quantity::LearningRate => "learning rate",
        }
    }

    /// The title of quantity `i` without a name.
    fn plain(self, i: usize) -> String {
        match self {
            Quantity::Metric(_) => format!("quantity {}", i + 1),
            other => other.title().to_string(),
        }
    }

    /// The values in training and in validation. A quantity with a single value uses the first.
    fn values(self, epoch: &Epoch) -> [Option<f64>; 2] {
        let values = match self {
            Quantity::Loss => [Some(epoch.train_loss), Some(epoch.validation_loss)],
            Quantity::Accuracy => [Some(epoch.train_accuracy), Some(epoch.validation_accuracy)],
            Quantity::Metric(name) => {
                let metric = epoch.metrics.iter().find(|metric| metric.name == name);
                [metric.map(|metric| metric.train), metric.map(|metric| metric.validation)]
            }
            Quantity::LearningRate => [Some(epoch.lr), None],
        };
        values.map(|value| value.filter(|value| value.is_finite()))
    }

    /// The smallest and largest value of some runs, with a margin.
    fn range(self, runs: &[&[Epoch]]) -> [f64; 2] {
        let all = || runs.iter().flat_map(|epochs| epochs.iter()).flat_map(|epoch| self.values(epoch)).flatten();
        // A rate is seen against 0: a constant one has no scale of its own.
        let least = if matches!(self, Quantity::LearningRate) { 0.0 } else { f64::INFINITY };
        let (low, high) = (all().fold(least, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        if low > high {
            // There is no number to show.
            return [0.0, 1.0];
        }
        // Nearly constant curves should look flat, however small their numbers are.
        let margin = ((high - low) * 0.05).max(high.abs().max(low.abs()) * 0.005).max(f64::MIN_POSITIVE);
        [low - margin, high + margin]
    }
}

/// Panels in rows, and their contents.
struct Figure<'a> {
    columns: usize,
    size: [usize; 2],
    letters: usize,
    panels: Vec<Panel<'a>>,
}

struct Panel<'a> {
    title: String,
    /// The title without names, for a picture that can't show them.
    plain: String,
    quantity: Quantity<'a>,
    epochs: &'a [Epoch],
    range: [f64; 2],
    legend: bool,
}

impl<'a> Figure<'a> {
    fn one(epochs: &'a [Epoch]) -> Self {
        let panel = |(i, quantity): (usize, Quantity<'a>)| Panel {
            title: printable(quantity.title()),
            plain: quantity.plain(i),
            quantity,
            epochs,
            range: quantity.range(&[epochs]),
            legend: quantity != Quantity::LearningRate,
        };
        let panels: Vec<Panel<'_>> = Quantity::of(epochs).into_iter().enumerate().map(panel).collect();
        Figure { columns: panels.len().min(ACROSS), size: PANEL, letters: 20, panels }
    }

    /// A figure with a column for each run.
    fn several(runs: &'a [(&'a str, &'a [Epoch])]) -> Self {
        let all: Vec<&[Epoch]> = runs.iter().map(|(_, epochs)| *epochs).collect();
        let mut quantities: Vec<Quantity<'_>> = Vec::new();
        for quantity in all.iter().flat_map(|epochs| Quantity::of(epochs)) {
            if quantity != Quantity::LearningRate && !quantities.contains(&quantity) {
                quantities.push(quantity);
            }
        }
        let mut panels = Vec::new();
        for (row, quantity) in quantities.into_iter().enumerate() {
            let range = quantity.range(&all);
            for (i, (name, epochs)) in runs.iter().enumerate() {
                let title = printable(format!("{name}: {}", quantity.title()));
                let plain = format!("run {}: {}", i + 1, quantity.plain(row));
                // One legend per row is enough.
                panels.push(Panel { title, plain, quantity, epochs, range, legend: i == 0 });
            }
        }
        Figure { columns: runs.len().max(1), size: SMALL, letters: 16, panels }
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(self.columns).max(1)
    }

    fn pixels(&self) -> (u32, u32) {
        ((self.columns * self.size[0]) as u32, (self.rows() * self.size[1]) as u32)
    }

    fn svg(&self) -> Drawn<String> {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, self.pixels()).into_drawing_area();
            self.draw(&root, |panel| Some(panel.title.as_str()))?;
        }
        Ok(text)
    }

    /// The PNG in the SVG's size in pixels.
    fn png(&self) -> Drawn<Vec<u8>> {
        let ((width, height), fonts) = (self.pixels(), Fonts::system());
        let mut pixels = vec![0; width as usize * height as usize * 3];
        {
            let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
            self.draw(&root, |panel| panel.compiled_in(fonts))?;
        }
        let mut picture = Picture::of(width as usize, height as usize, pixels)?;
        for (i, panel) in self.panels.iter().enumerate().filter(|(_, panel)| panel.compiled_in(fonts).is_none()) {
            let [x, y] = [i % self.columns * self.size[0], i / self.columns * self.size[1]];
            let indent = self.size[0].saturating_sub(text_width(&panel.title)) / 2;
            let middle = MARGIN as usize + self.letters.saturating_sub(LETTER[1]) / 2;
            picture.text([x + indent, y + middle], &panel.title, [INK.0, INK.1, INK.2], fonts);
        }
        Ok(picture.png()?)
    }

    /// Draws all panels. Those to which `title` gives none have its place left free.
    fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        title: impl for<'p, 'q> Fn(&'p Panel<'q>) -> Option<&'p str>,
    ) -> Drawn
    where
        B::ErrorType: 'static,
    {
        static FONT: Once = Once::new();
        FONT.call_once(|| {
            // The SVG is laid out with this font, and names only its family, which its viewer may have.
            let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
        });
        root.fill(&WHITE)?;
        let areas = root.split_evenly((self.rows(), self.columns));
        self.panels
            .iter()
            .zip(&areas)
            .try_for_each(|(panel, area)| panel.draw(area, title(panel).unwrap_or(" "), self.letters as u32))?;
        root.present()?;
        Ok(())
    }
}

impl Panel<'_> {
    /// The title that the compiled-in font writes. `None` if the fonts of the system write it.
    fn compiled_in(&self, fonts: &Fonts) -> Option<&str> {
        let font = FontRef::try_from_slice(dejavu::sans::regular()).ok();
        let written = |text: &str| font.as_ref().is_some_and(|font| text.chars().all(|c| font.glyph_id(c).0 != 0));
        match () {
            () if written(&self.title) => Some(&self.title),
            () if fonts.write(&self.title) => None,
            () => Some(&self.plain),
        }
    }

    /// Draws one curve or a pair.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, title: &str, letters: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (epochs, [low, high]) = (self.epochs, self.range);
        let first = epochs.first().map_or(1, |epoch| epoch.epoch) as f64;
        let last = epochs.last().map_or(2.0, |epoch| epoch.epoch as f64).max(first + 1.0);
        let text = ("sans-serif", 12).into_font().color(&INK);
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", letters).into_font().color(&INK))
            .margin(MARGIN)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(first..last, low..high)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .x_labels(epochs.len().clamp(2, 8))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| number(*y, high - low))
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .axis_style(INK.mix(0.5))
            .bold_line_style(INK.mix(0.12))
            .light_line_style(WHITE)
            .draw()?;
        let radius = if epochs.len() > 20 { 0 } else { 3 };
        for (name, colour, which) in [("training", TRAIN, 0), ("validation", VALIDATION, 1)] {
            let points = || {
                let point = |epoch: &Epoch| Some((epoch.epoch as f64, self.quantity.values(epoch)[which]?));
                epochs.iter().filter_map(point)
            };
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            if radius > 0 {
                chart.draw_series(points().map(|point| Circle::new(point, radius, colour.filled())))?;
            }
        }
        if self.legend {
            // Losses fall and leave the upper right corner free, accuracies the lower one.
            let corner = match self.quantity {
                Quantity::Accuracy => SeriesLabelPosition::LowerRight,
                _ => SeriesLabelPosition::UpperRight,
            };
            chart
                .configure_series_labels()
                .position(corner)
                .label_font(text)
                .border_style(INK.mix(0.3))
                .background_style(WHITE)
                .draw()?;
        }
        Ok(())
    }
}

/// Formats a number of an axis of this length, with enough digits to distinguish its tick labels.
fn number(value: f64, length: f64) -> String {
    let largest = value.abs().max(length);
    if !(1e-4..1e5).contains(&largest) {
        return format!("{value:.1e}");
    }
    // An axis has about eight ticks.
    let digits = (-(length / 8.0).log10().floor()).clamp(2.0, 6.0) as usize;
    format!("{value:.digits$}")
}
