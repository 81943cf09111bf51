//! `--config FILE.toml`: the options of the command line, by name. The command line takes precedence.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use tilegrad::{Error, Result};

/// Options that control a run without defining it. A config that repeats the run omits them.
const NOT_OF_THE_RUN: [&str; 8] = ["config", "out", "resume", "plan", "help", "version", "quiet", "show_batch"];

/// The options of a program, and the same as TOML.
pub struct Parsed<A> {
    /// The options.
    pub arguments: A,
    /// Text of config.toml.
    pub toml: String,
}

/// Parses the command line, completed by the files of `--config` and `--resume`. `--help` and wrong options end the
/// program, as with clap.
pub fn parse<A: CommandFactory + FromArgMatches>() -> Result<Parsed<A>> {
    let command = A::command().args_override_self(true);
    let own: Vec<OsString> = std::env::args_os().collect();
    let first = command.clone().get_matches_from(&own);
    // A resumed run has its options in its folder.
    let path = |name: &str| first.try_get_one::<std::path::PathBuf>(name).ok().flatten();
    let file = match (path("config"), path("resume")) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(dir)) => Some(dir.join("config.toml")),
        (None, None) => None,
    };
    let Some(file) = file else { return finish(&command, first) };
    let text = std::fs::read_to_string(&file).map_err(|source| Error::io(&file, source))?;
    let mut all = own[..1].to_vec();
    all.extend(arguments(&command, &file, &text)?);
    all.extend(own[1..].iter().cloned());
    let matches = command.clone().try_get_matches_from(all).unwrap_or_else(|error| {
        // The file or the command line may be at fault; only clap's message tells.
        eprintln!("error: with the options of {}:", file.display());
        error.exit()
    });
    finish(&command, matches)
}

fn finish<A: FromArgMatches>(command: &Command, matches: ArgMatches) -> Result<Parsed<A>> {
    let arguments = A::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok(Parsed { arguments, toml: toml(command, &matches) })
}

/// Converts the file's options to command line arguments.
fn arguments(command: &Command, file: &Path, text: &str) -> Result<Vec<OsString>> {
    let table: toml::Table = text.parse().map_err(|error| Error::data(file, format!("is no TOML: {error}")))?;
    let mut all = Vec::new();
    for (name, value) in table {
        let known = command.get_arguments().find(|arg| arg.get_long() == Some(&name));
        let Some(arg) = known.filter(|arg| !NOT_OF_THE_RUN.contains(&arg.get_id().as_str())) else {
            let names: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            return Err(Error::data(file, format!("\"{name}\" is no option; there are {}", names.join(", "))));
        };
        let flag = matches!(arg.get_action(), ArgAction::SetTrue);
        match value {
            toml::Value::Boolean(true) if flag => all.push(format!("--{name}").into()),
            toml::Value::Boolean(false) if flag => {}
            _ if flag => return Err(Error::data(file, format!("\"{name}\" must be true or false, it is {value}"))),
            toml::Value::String(text) => all.push(format!("--{name}={text}").into()),
            toml::Value::Integer(_) | toml::Value::Float(_) => all.push(format!("--{name}={value}").into()),
            other => return Err(Error::data(file, format!("\"{name}\" can't be {other}"))),
        }
    }
    Ok(all)
}

/// Formats all options that have a value as TOML, numbers as numbers.
fn toml(command: &Command, matches: &ArgMatches) -> String {
    let mut table = toml::Table::new();
    for arg in command.get_arguments() {
        let (id, Some(name)) = (arg.get_id().as_str(), arg.get_long()) else { continue };
        if NOT_OF_THE_RUN.contains(&id) {
            continue;
        }
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            if matches.get_flag(id) {
                table.insert(name.into(), toml::Value::Boolean(true));
            }
            continue;
        }
        let raw = matches.get_raw(id).and_then(|mut values| values.next());
        let Some(text) = raw.map(|text| text.to_string_lossy().into_owned()) else { continue };
        let value = match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => toml::Value::Integer(number),
            _ => toml::Value::String(text),
        };
        table.insert(name.into(), value);
    }
    format!("# The options of this run; --config with this file repeats it.\n{table}")
}
