//! Curves of runs: a panel for each thing that there is to show, none for what there is not.

use tilegrad::report::curves;
use tilegrad::train::{Epoch, Measured};

fn epochs(count: usize, accuracy: f64, metrics: &[&str]) -> Vec<Epoch> {
    let epoch = |epoch: usize| Epoch {
        epoch,
        train_loss: 1e-3 / epoch as f64,
        train_accuracy: accuracy,
        validation_loss: if epoch == 2 { f64::INFINITY } else { 2e-3 / epoch as f64 },
        validation_accuracy: accuracy,
        lr: 1e-5 * epoch as f64,
        seconds: 1.0,
        images_per_second: 1.0,
        metrics: metrics.iter().map(|name| Measured { name: name.to_string(), train: 0.5, validation: 0.5 }).collect(),
    };
    (1..=count).map(epoch).collect()
}

/// Pixels of a PNG, which must be those that the SVG says, and the SVG.
fn drawn(epochs: &[Epoch]) -> ([u32; 2], String) {
    let (png, svg) = (curves::png(epochs).unwrap(), curves::svg(epochs).unwrap());
    let image = image::load_from_memory(&png).unwrap();
    let size = [image.width(), image.height()];
    assert!(svg.contains(&format!("width=\"{}\" height=\"{}\"", size[0], size[1])), "{}", &svg[..200]);
    (size, svg)
}

#[test]
fn there_is_a_panel_for_each_thing_that_is_known() {
    let (size, svg) = drawn(&epochs(3, 0.9, &[]));
    assert_eq!(size, [3 * 480, 400]);
    assert!(["loss", "accuracy", "learning rate"].iter().all(|title| svg.contains(title)));
    // Small numbers are told apart on their axes.
    assert!(svg.contains("0.001") && svg.contains("e-5"), "{svg}");

    let (size, svg) = drawn(&epochs(3, f64::NAN, &["top-5 error", "distance"]));
    assert_eq!(size, [3 * 480, 2 * 400], "four panels in two rows");
    assert!(["loss", "top-5 error", "distance", "learning rate"].iter().all(|title| svg.contains(title)));
    assert!(!svg.contains("accuracy"));

    // Nothing, one epoch and a run without a finite number are drawn too.
    for epochs in [epochs(0, 1.0, &[]), epochs(1, 1.0, &[]), epochs(40, f64::INFINITY, &["a"])] {
        drawn(&epochs);
    }
}

#[test]
fn several_runs_are_columns_and_too_many_are_refused() {
    let path = std::env::temp_dir().join(format!("tilegrad-curves-several-{}", std::process::id()));
    let (first, second) = (epochs(3, 0.5, &["distance"]), epochs(5, 0.75, &[]));
    curves::write_several(&path, &[("plain", &first), ("other", &second)]).unwrap();
    let svg = std::fs::read_to_string(path.with_extension("svg")).unwrap();
    for title in ["plain: loss", "other: loss", "plain: accuracy", "other: accuracy", "plain: distance"] {
        assert!(svg.contains(title), "{title}");
    }
    assert!(!svg.contains("learning rate") && svg.contains("width=\"660\" height=\"810\""));
    for ending in ["svg", "png"] {
        std::fs::remove_file(path.with_extension(ending)).unwrap();
    }
    let error = curves::write_several(&path, &vec![("run", &first[..]); 50]).unwrap_err().to_string();
    assert!(error.contains("50 runs are too many"), "{error}");
    let error = curves::write(&path.join("nowhere/curves"), &first).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn names_in_any_script_and_with_line_breaks_are_told() {
    let path = std::env::temp_dir().join(format!("tilegrad-curves-names-{}", std::process::id()));
    let epochs = epochs(3, 0.5, &[]);
    // Letters that no font has, where a row of boxes would stand: the runs are still told apart.
    let [first, second] = ["\u{e000}\u{e001}", "\u{e000}\u{e002}"].map(|name| {
        curves::write_several(&path, &[("plain", &epochs), (name, &epochs)]).unwrap();
        std::fs::read(path.with_extension("png")).unwrap()
    });
    assert_eq!(first, second, "a number");
    curves::write_several(&path, &[("plain", &epochs), ("two\nlines", &epochs)]).unwrap();
    assert_ne!(std::fs::read(path.with_extension("png")).unwrap(), first);
    let svg = std::fs::read_to_string(path.with_extension("svg")).unwrap();
    assert!(svg.contains("two\\nlines: loss"), "{svg}");
    for ending in ["svg", "png"] {
        std::fs::remove_file(path.with_extension(ending)).unwrap();
    }
}
