//! Loss and accuracy by epoch, training and validation, as SVG and PNG.
//!
//! Letters of the PNG come from a font that is compiled in, so that a machine needs none.

use std::error::Error;
use std::path::Path;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use tilegrad::files::write_whole;
use tilegrad::train::Epoch;

/// Where training is and where validation is, in colours that also differ in lightness.
const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const VALIDATION: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Pixels of one panel.
const PANEL: (u32, u32) = (480, 400);
/// Of one of several side by side.
const SMALL: (u32, u32) = (330, 270);

type Drawn = Result<(), Box<dyn Error>>;

/// Writes the curves of a run to `path` with the endings .svg and .png.
pub fn write(path: &Path, epochs: &[Epoch]) -> tilegrad::Result<()> {
    both(path, (2 * PANEL.0, PANEL.1), &One(epochs))
}

/// Writes several runs side by side, each under its name, losses above accuracies, all on the same scales.
pub fn write_several(path: &Path, runs: &[(&str, &[Epoch])]) -> tilegrad::Result<()> {
    both(path, (SMALL.0 * runs.len().max(1) as u32, 2 * SMALL.1), &Several(runs))
}

/// What can be drawn on an area of any kind.
trait Figure {
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>) -> Drawn
    where
        B::ErrorType: 'static;
}

fn both(path: &Path, size: (u32, u32), figure: &impl Figure) -> tilegrad::Result<()> {
    let failed = |error: Box<dyn Error>| tilegrad::Error::data(path, format!("cannot be drawn: {error}"));
    write_whole(&path.with_extension("svg"), svg(size, figure).map_err(failed)?.as_bytes())?;
    write_whole(&path.with_extension("png"), &png(size, figure).map_err(failed)?)
}

fn svg(size: (u32, u32), figure: &impl Figure) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&root, figure)?;
    }
    Ok(text)
}

/// As many pixels as the SVG says.
fn png((width, height): (u32, u32), figure: &impl Figure) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(&root, figure)?;
    }
    let image = image::RgbImage::from_raw(width, height, pixels).ok_or("the buffer is too small")?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

fn draw<B: DrawingBackend>(root: &DrawingArea<B, Shift>, figure: &impl Figure) -> Drawn
where
    B::ErrorType: 'static,
{
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // The SVG is measured by it, and names the family, which its viewer may have.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
    root.fill(&WHITE)?;
    figure.draw(root)?;
    root.present()?;
    Ok(())
}

/// One run: loss on the left, accuracy on the right.
struct One<'a>(&'a [Epoch]);

impl Figure for One<'_> {
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (left, right) = root.split_horizontally(PANEL.0);
        let range = |values: fn(&Epoch) -> (f64, f64)| range(&[self.0], values);
        panel(&left, "loss", 20, self.0, losses, range(losses), Some(true))?;
        panel(&right, "accuracy", 20, self.0, accuracies, range(accuracies), Some(false))
    }
}

/// Several runs: a column each.
struct Several<'a>(&'a [(&'a str, &'a [Epoch])]);

impl Figure for Several<'_> {
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let runs: Vec<&[Epoch]> = self.0.iter().map(|(_, epochs)| *epochs).collect();
        let areas = root.split_evenly((2, runs.len().max(1)));
        for (i, (name, epochs)) in self.0.iter().enumerate() {
            // One legend a row is enough.
            let legend = |upper| (i == 0).then_some(upper);
            panel(&areas[i], &format!("{name}: loss"), 16, epochs, losses, range(&runs, losses), legend(true))?;
            let below = &areas[runs.len() + i];
            panel(
                below,
                &format!("{name}: accuracy"),
                16,
                epochs,
                accuracies,
                range(&runs, accuracies),
                legend(false),
            )?;
        }
        Ok(())
    }
}

fn losses(epoch: &Epoch) -> (f64, f64) {
    (epoch.train_loss, epoch.validation_loss)
}

fn accuracies(epoch: &Epoch) -> (f64, f64) {
    (epoch.train_accuracy, epoch.validation_accuracy)
}

/// The least and largest value of some runs, with a margin.
fn range(runs: &[&[Epoch]], values: impl Fn(&Epoch) -> (f64, f64)) -> (f64, f64) {
    let epochs = || runs.iter().flat_map(|epochs| epochs.iter());
    let all = || epochs().map(&values).flat_map(|(a, b)| [a, b]).filter(|v| v.is_finite());
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        // There is no number to show.
        return (0.0, 1.0);
    }
    let margin = ((high - low) * 0.05).max(0.005);
    (low - margin, high + margin)
}

/// One pair of curves; a legend, if any, stands in the upper or the lower right corner.
fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    letters: u32,
    epochs: &[Epoch],
    values: fn(&Epoch) -> (f64, f64),
    (low, high): (f64, f64),
    legend: Option<bool>,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let first = epochs.first().map_or(1, |epoch| epoch.epoch) as f64;
    let last = epochs.last().map_or(2.0, |epoch| epoch.epoch as f64).max(first + 1.0);
    let text = ("sans-serif", 12).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", letters).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(50)
        .build_cartesian_2d(first..last, low..high)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_labels(epochs.len().clamp(2, 8))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .axis_style(INK.mix(0.5))
        .bold_line_style(INK.mix(0.12))
        .light_line_style(WHITE)
        .draw()?;
    let radius = if epochs.len() > 20 { 0 } else { 3 };
    for (name, colour, second) in [("training", TRAIN, false), ("validation", VALIDATION, true)] {
        let points = || {
            let points = epochs.iter().map(|epoch| {
                let (a, b) = values(epoch);
                (epoch.epoch as f64, if second { b } else { a })
            });
            points.filter(|(_, value)| value.is_finite())
        };
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        if radius > 0 {
            chart.draw_series(points().map(|point| Circle::new(point, radius, colour.filled())))?;
        }
    }
    if let Some(upper) = legend {
        let corner = if upper { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::LowerRight };
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
