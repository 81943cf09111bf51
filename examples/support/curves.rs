//! Loss and accuracy by epoch, training and validation, as an SVG.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use tilegrad::train::Epoch;

/// Where training is and where validation is, in colours that also differ in lightness.
const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const VALIDATION: RGBColor = RGBColor(0xd9, 0x5f, 0x02);

/// The drawing.
pub fn svg(epochs: &[Epoch]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (960, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(480);
        panel(&left, "loss", epochs, |e| (e.train_loss, e.validation_loss))?;
        panel(&right, "accuracy", epochs, |e| (e.train_accuracy, e.validation_accuracy))?;
        root.present()?;
    }
    Ok(text)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    epochs: &[Epoch],
    values: impl Fn(&Epoch) -> (f64, f64),
) -> Result<(), Box<dyn Error>> {
    let all = || epochs.iter().map(&values).flat_map(|(a, b)| [a, b]).filter(|v| v.is_finite());
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let margin = ((high - low) * 0.05).max(0.005);
    let last = epochs.len().max(2) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(1.0..last, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_labels(epochs.len().clamp(2, 10))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.3}"))
        .light_line_style(WHITE)
        .draw()?;
    for (name, colour, second) in [("training", TRAIN, false), ("validation", VALIDATION, true)] {
        let points = || {
            epochs.iter().map(|e| {
                let (a, b) = values(e);
                (e.epoch as f64, if second { b } else { a })
            })
        };
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    let corner = if title == "loss" { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::LowerRight };
    chart.configure_series_labels().position(corner).border_style(BLACK.mix(0.3)).background_style(WHITE).draw()?;
    Ok(())
}
