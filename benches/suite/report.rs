//! What is printed, what goes to the file, and how much time is left.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tilegrad::Result;
use tilegrad::files::write_whole;
use tilegrad::gpu::{Device, Peak};

use crate::options::Options;

/// Seconds after which `--quick` begins nothing new: what is running then still ends within three minutes.
const QUICK: f64 = 130.0;

/// The results so far.
pub struct Report {
    header: Value,
    results: Vec<Value>,
    skipped: Vec<Value>,
    section: &'static str,
    widths: Vec<i32>,
    began: Instant,
    /// The seconds after which nothing new is begun.
    limit: f64,
    /// The file of the results, written anew after each, so that a run that is ended leaves those that it had.
    path: Option<PathBuf>,
    /// When the section should be over, in seconds after the beginning.
    until: f64,
}

impl Report {
    pub fn new(device: &Device, peak: &Peak, options: &Options) -> Self {
        let quick = options.quick;
        let header = json!({
            "tilegrad": env!("CARGO_PKG_VERSION"),
            "device": device.name(),
            "adapter": device.facts(),
            "clock": device.clock().name(),
            "quick": quick,
            "peak_gflops": peak.gflops(),
            "peak_gigabytes": peak.gigabytes(),
        });
        Report {
            header,
            results: Vec::new(),
            skipped: Vec::new(),
            section: "",
            widths: Vec::new(),
            began: Instant::now(),
            limit: options.seconds.unwrap_or(if quick { QUICK } else { f64::INFINITY }),
            path: options.json.clone(),
            until: f64::INFINITY,
        }
    }

    /// Begins a section, which has this share of the time that is left.
    pub fn begin(&mut self, section: &'static str, share: f64) {
        self.section = section;
        if self.limit.is_finite() {
            let now = self.began.elapsed().as_secs_f64();
            self.until = now + (self.limit - now).max(0.0) * if share.is_finite() { share } else { 1.0 };
        }
    }

    /// Seconds until the section should be over.
    pub fn seconds_left(&self) -> f64 {
        self.until - self.began.elapsed().as_secs_f64()
    }

    /// Prints a title and the head of a table. A column's width is that of its numbers, which stand at its right; a
    /// negative one is that of words, which stand at its left.
    pub fn table(&mut self, title: &str, columns: &[(&str, i32)]) {
        println!("\n{title}");
        self.widths = columns.iter().map(|(_, width)| *width).collect();
        let names: Vec<String> = columns.iter().map(|(name, _)| name.to_string()).collect();
        if names.iter().any(|name| !name.is_empty()) {
            self.print(&names);
        }
    }

    /// Prints a row, and keeps `record` for the file.
    pub fn row(&mut self, cells: &[String], record: Value) {
        self.print(cells);
        self.keep(record);
    }

    /// Keeps a record for the file only.
    pub fn keep(&mut self, record: Value) {
        let mut whole = Map::new();
        whole.insert("section".into(), self.section.into());
        if let Value::Object(fields) = record {
            whole.extend(fields);
        }
        self.results.push(Value::Object(whole));
        self.write();
    }

    /// Writes what there is so far.
    fn write(&self) {
        if let Some(path) = &self.path
            && let Err(error) = write_whole(path, self.text(false).as_bytes())
        {
            println!("  {}: {error}", path.display());
        }
    }

    fn text(&self, finished: bool) -> String {
        let mut whole = self.header.clone();
        whole["finished"] = finished.into();
        whole["seconds"] = self.began.elapsed().as_secs_f64().into();
        whole["results"] = self.results.clone().into();
        whole["skipped"] = self.skipped.clone().into();
        format!("{whole:#}\n")
    }

    /// Prints a row only.
    pub fn print(&self, cells: &[String]) {
        let mut line = String::from(" ");
        for (cell, &width) in cells.iter().zip(&self.widths) {
            let places = width.unsigned_abs() as usize;
            line += &if width < 0 { format!(" {cell:places$}") } else { format!(" {cell:>places$}") };
        }
        println!("{}", line.trim_end());
    }

    /// Says that something is not measured, and why.
    pub fn skip(&mut self, what: &str, why: &str) {
        println!("  {what}: skipped, {why}");
        self.skipped.push(json!({"section": self.section, "what": what, "why": why}));
    }

    /// The last line, and the file.
    pub fn end(self) -> Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        println!("\n{} results, {} skipped, {seconds:.0} s", self.results.len(), self.skipped.len());
        let Some(path) = &self.path else { return Ok(()) };
        write_whole(path, self.text(true).as_bytes())?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// Milliseconds with three digits that count.
pub fn ms(ms: f64) -> String {
    match ms {
        ..1.0 => format!("{ms:.4}"),
        ..10.0 => format!("{ms:.3}"),
        ..100.0 => format!("{ms:.2}"),
        ..1000.0 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// A rate with three digits that count.
pub fn rate(rate: f64) -> String {
    match rate {
        ..10.0 => format!("{rate:.2}"),
        ..100.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    if share < 0.0995 { format!("{:.1}%", 100.0 * share) } else { format!("{:.0}%", 100.0 * share) }
}
