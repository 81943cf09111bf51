//! One report out of the files that the items of `scripts/gpu_report.sh` have left: tables for a person, JSON for a program.
//!
//! The folder holds `items.tsv` (an item a line: file name, title, exit code, seconds, command), and for each item a log, and where
//! it wrote one a JSON file.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use tilegrad::Result;
use tilegrad::error::Error;
use tilegrad::files::write_whole;

use crate::report::{ms, percent, rate};

/// Kernels and layers of a profile that are shown; the file of JSON has all.
const SHOWN: usize = 25;
/// The columns that say what a row is about stand before all others, in this order, and those that a reader looks for next.
const FIRST: [&str; 22] = [
    "network",
    "batch",
    "images",
    "size",
    "form",
    "kernel",
    "layer",
    "input",
    "part",
    "convolution",
    "direction",
    "what",
    "value",
    "unit",
    "median_ms",
    "device_ms",
    "ms",
    "wall_ms",
    "images_per_second",
    "gflops",
    "gigabytes",
    "share",
];
/// The exit codes of `timeout` where it ended a command.
const ENDED: [i64; 2] = [124, 137];

/// What one command of the report came to.
struct Item {
    name: String,
    title: String,
    code: i64,
    seconds: f64,
    command: String,
    log: String,
    json: Value,
}

/// Writes `report.md` and `report.json` into `folder`, from what lies there.
pub fn run(folder: &Path) -> Result<()> {
    let items = items(folder)?;
    write_whole(&folder.join("report.md"), markdown(&items, folder).as_bytes())?;
    let whole = json!({ "items": items.iter().map(Item::record).collect::<Vec<_>>() });
    write_whole(&folder.join("report.json"), format!("{whole:#}\n").as_bytes())
}

fn items(folder: &Path) -> Result<Vec<Item>> {
    let list = folder.join("items.tsv");
    let text = std::fs::read_to_string(&list).map_err(|source| Error::io(&list, source))?;
    let read =
        |name: String| std::fs::read(folder.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let item = |line: &str| {
        let mut fields = line.split('\t').map(str::to_string);
        let mut next = || fields.next().unwrap_or_default();
        let (name, title, code, seconds, command) = (next(), next(), next(), next(), next());
        let log = read(format!("{name}.log")).unwrap_or_default();
        let json = read(format!("{name}.json")).ok().and_then(|text| serde_json::from_str(&text).ok());
        let (code, seconds) = (code.parse().unwrap_or(-1), seconds.parse().unwrap_or(0.0));
        Item { name, title, code, seconds, command, log, json: json.unwrap_or_default() }
    };
    Ok(text.lines().filter(|line| !line.is_empty()).map(item).collect())
}

impl Item {
    fn record(&self) -> Value {
        json!({
            "name": self.name, "title": self.title, "exit_code": self.code, "seconds": self.seconds, "command": self.command,
            "ended_by_its_limit": ENDED.contains(&self.code), "tests": self.tests(), "lines": self.lines(), "result": self.json,
        })
    }

    /// The objects that it printed, one a line.
    fn lines(&self) -> Vec<Value> {
        let json = |line: &str| serde_json::from_str(line).ok().filter(Value::is_object);
        self.log.lines().filter_map(json).collect()
    }

    /// Passed, failed, and the names of those that failed, where it ran tests.
    fn tests(&self) -> Option<Value> {
        let of = |end: &str| {
            let test = |line: &str| line.strip_prefix("test ")?.strip_suffix(end).map(|name| name.trim().to_string());
            self.log.lines().filter_map(test).collect::<Vec<_>>()
        };
        let (passed, failed) = (of("... ok"), of("... FAILED"));
        (!passed.is_empty() || !failed.is_empty())
            .then(|| json!({"passed": passed.len(), "failed": failed.len(), "names_of_failed": failed}))
    }

    /// How it ended, in words.
    fn end(&self) -> String {
        match self.code {
            0 => format!("{:.0} s", self.seconds),
            code if ENDED.contains(&code) => {
                format!("ended by its limit after {:.0} s; what it had is here", self.seconds)
            }
            code => format!("exit code {code} after {:.0} s", self.seconds),
        }
    }
}

fn markdown(items: &[Item], folder: &Path) -> String {
    let mut text = String::new();
    let adapter = items.iter().map(|item| &item.json["adapter"]).find(|adapter| adapter.is_object());
    let device = items.iter().find_map(|item| item.json["device"].as_str()).unwrap_or("unknown device");
    let _ = writeln!(text, "# {device}\n");
    for file in ["about.txt", "clocks.txt"] {
        if let Ok(about) = std::fs::read_to_string(folder.join(file)) {
            about.lines().for_each(|line| {
                let _ = writeln!(text, "    {}", line.trim_end());
            });
            text.push('\n');
        }
    }
    if let Some(Value::Object(facts)) = adapter {
        table(&mut text, &["adapter", ""], facts.iter().map(|(name, fact)| vec![name.clone(), plain(fact)]));
    }
    for item in items {
        let _ = match item.seconds == 0.0 && ENDED.contains(&item.code) {
            true => writeln!(text, "## {}\n\n{}\n", item.title, item.command),
            false => writeln!(text, "## {}\n\n`{}`: {}\n", item.title, item.command, item.end()),
        };
        if let Some(tests) = item.tests() {
            let _ = writeln!(
                text,
                "{} tests passed, {} failed {}\n",
                tests["passed"],
                tests["failed"],
                plain(&tests["names_of_failed"])
            );
        }
        let lines = item.lines();
        if !lines.is_empty() {
            peers(&mut text, &lines, items);
        } else if item.json.is_null() {
            // What else it said last: why it failed, or that two runs agree.
            let said = item.log.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("test "));
            let said: Vec<&str> = said.collect();
            for line in &said[said.len().saturating_sub(6)..] {
                let short: String = line.chars().take(200).collect();
                let _ = writeln!(text, "    {short}");
            }
            text.push('\n');
        }
        sections(&mut text, &item.json);
    }
    text
}

/// A table for each section of a suite's results, and what it has left out.
fn sections(text: &mut String, json: &Value) {
    let results = json["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<&str> = results.iter().filter_map(|result| result["section"].as_str()).collect();
    names.dedup();
    for name in names {
        let rows: Vec<&Value> = results.iter().filter(|result| result["section"] == name).collect();
        match name {
            "convolutions" => convolutions(text, &rows),
            "profile" => rows.iter().for_each(|row| profile(text, row)),
            _ => flat(text, &rows),
        }
    }
    let skipped = json["skipped"].as_array().map(Vec::as_slice).unwrap_or_default();
    for skip in skipped {
        let _ = writeln!(text, "- not measured: {}: {}", plain(&skip["what"]), plain(&skip["why"]));
    }
    if !skipped.is_empty() {
        text.push('\n');
    }
}

/// Rows whose fields are the columns, those that only programs want apart.
fn flat(text: &mut String, rows: &[&Value]) {
    let mut columns: Vec<&String> = Vec::new();
    for (name, value) in rows.iter().filter_map(|row| row.as_object()).flatten() {
        let shown = name != "section" && name != "profile" && !value.is_object();
        if shown && !columns.contains(&name) && rows.iter().any(|row| !row[name].is_null()) {
            columns.push(name);
        }
    }
    // A stable sort: the others stay in their order behind these.
    columns.sort_by_key(|&column| FIRST.iter().position(|first| first == column).unwrap_or(FIRST.len()));
    let nested = rows.iter().any(|row| row["relative_error"].is_object());
    let mut head: Vec<&str> = columns.iter().map(|column| column.as_str()).collect();
    if nested {
        head.push("relative error");
    }
    let cells = |row: &&Value| {
        let mut cells: Vec<String> = columns.iter().map(|column| cell(column, &row[column.as_str()])).collect();
        if nested {
            cells.push(plain(&row["relative_error"]));
        }
        cells
    };
    table(text, &head, rows.iter().map(cells));
    for row in rows.iter().filter(|row| row["profile"].is_object()) {
        profile(text, &named(&row["profile"], row));
    }
}

/// A profile with the network and batch of the row that it belongs to.
fn named(profile: &Value, row: &Value) -> Value {
    let mut whole = profile.clone();
    (whole["network"], whole["batch"]) = (row["network"].clone(), row["batch"].clone());
    whole
}

fn convolutions(text: &mut String, rows: &[&Value]) {
    let mut head = vec!["network", "batch", "convolution"];
    head.extend([
        "forward ms",
        "GFLOP/s",
        "of peak",
        "grad input ms",
        "GFLOP/s",
        "of peak",
        "grad weight ms",
        "GFLOP/s",
        "of peak",
    ]);
    let cells = |row: &&Value| {
        let mut cells: Vec<String> = ["network", "batch", "convolution"].iter().map(|name| plain(&row[name])).collect();
        for direction in ["forward", "grad_input", "grad_weight"] {
            cells.extend(["ms", "gflops", "share"].map(|name| cell(name, &row[direction][name])));
        }
        cells
    };
    table(text, &head, rows.iter().map(cells));
}

/// A step by kernel and by layer.
fn profile(text: &mut String, row: &Value) {
    let of = |name: &str| row[name].as_f64().unwrap_or(0.0);
    let _ = writeln!(
        text,
        "{} batch {}: a step {} ms on the device, its dispatches {} ({:.1}%), {} by the wall; clock: {}\n",
        plain(&row["network"]),
        plain(&row["batch"]),
        ms(of("device_ms")),
        ms(of("dispatches_ms")),
        100.0 * of("dispatches_ms") / of("device_ms").max(1e-9),
        ms(of("wall_ms")),
        plain(&row["clock"]),
    );
    for (kind, groups) in [("kernel", &row["kernels"]), ("layer", &row["layers"])] {
        let groups = groups.as_array().map(Vec::as_slice).unwrap_or_default();
        let cells = |group: &Value| {
            let of_peak = |i: usize| cell("share", &group["of_peak"][i]);
            let mut cells = vec![plain(&group["name"]), plain(&group["dispatches"])];
            cells.extend(["ms", "share", "gflops"].map(|name| cell(name, &group[name])));
            cells.extend([of_peak(0), cell("gigabytes", &group["gigabytes"]), of_peak(1)]);
            cells
        };
        let head = [kind, "dispatches", "ms", "share", "GFLOP/s", "of peak", "GB/s", "of copy"];
        table(text, &head, groups.iter().take(SHOWN).map(cells));
        if groups.len() > SHOWN {
            let _ = writeln!(text, "and {} more in report.json\n", groups.len() - SHOWN);
        }
    }
}

/// Steps of another engine, beside the same steps of tilegrad's where they were measured.
fn peers(text: &mut String, lines: &[Value], items: &[Item]) {
    let own = |line: &Value| {
        let results = items.iter().filter_map(|item| item.json["results"].as_array()).flatten();
        let same = |row: &&Value| {
            row["section"] == "steps"
                && row["tuned"] != true
                && row["network"] == line["network"]
                && row["batch"] == line["batch"]
        };
        results.filter(same).find_map(|row| row["median_ms"].as_f64())
    };
    let cells = |line: &Value| {
        let theirs = line["median_ms"].as_f64().unwrap_or(f64::NAN);
        let mut cells: Vec<String> = ["engine", "network", "batch"].iter().map(|name| plain(&line[name])).collect();
        cells.extend(["first_ms", "median_ms"].map(|name| cell(name, &line[name])));
        cells.extend(own(line).map_or(["-".into(), "-".into()], |own| [ms(own), format!("{:.2}", own / theirs)]));
        cells
    };
    let head = ["engine", "network", "batch", "first ms", "median ms", "tilegrad ms", "tilegrad to it"];
    table(text, &head, lines.iter().map(cells));
}

fn table(text: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut row = |cells: Vec<String>| {
        let _ =
            writeln!(text, "| {} |", cells.iter().map(|cell| cell.replace('|', "/")).collect::<Vec<_>>().join(" | "));
    };
    row(head.iter().map(ToString::to_string).collect());
    row(vec!["---".into(); head.len()]);
    rows.for_each(&mut row);
    text.push('\n');
}

/// A value as its column's name wants it.
fn cell(name: &str, value: &Value) -> String {
    match (name, value.as_f64()) {
        (_, None) => plain(value),
        (name, Some(number)) if name == "ms" || name.ends_with("_ms") => ms(number),
        ("gflops" | "gigabytes" | "images_per_second" | "value", Some(number)) => rate(number),
        ("share" | "accuracy" | "of_copy", Some(number)) => percent(number),
        (_, Some(number)) if value.is_f64() => format!("{number:.4}"),
        _ => plain(value),
    }
}

/// A value in a line.
fn plain(value: &Value) -> String {
    let pair = |(name, value): (&String, &Value)| format!("{name} {}", plain(value));
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields.iter().map(pair).collect::<Vec<_>>().join(", "),
        Value::Number(number) if number.is_f64() => format!("{:.3e}", number.as_f64().unwrap_or(0.0)),
        other => other.to_string(),
    }
}
