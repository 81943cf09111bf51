//! The tuner's cache file: winners and verdicts on a device, by shape and shaders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::judge::Verdict;
use crate::error::{Error, Result};
use crate::files::write_whole;
use crate::gpu::Device;
use crate::kernel::{Choice, Key};
use crate::rng::fnv1a;

/// The version of wgpu that translates kernels, as required in Cargo.toml.
const WGPU: &str = "30";

const FORMAT: &str = "tilegrad tuning 2";
/// The previous format, whose keys were written in another form.
const OLD_FORMAT: &str = "tilegrad tuning 1";

/// The measurement for one key.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::gpu) struct Winner {
    pub choice: Choice,
    /// Milliseconds of the winner, and of the default.
    pub milliseconds: [f64; 2],
    /// Hash of the candidates' names and shaders.
    pub shaders: u64,
}

/// The winners on one device, and the file that stores them.
pub(in crate::gpu) struct Winners {
    path: Option<PathBuf>,
    identity: Vec<(&'static str, String)>,
    by_key: BTreeMap<String, Winner>,
    /// Verdicts by key and candidate.
    verdicts: BTreeMap<(String, String), Judged>,
}

/// The verdict on a candidate, and the hash of the shaders that were judged.
#[derive(Clone, Debug, PartialEq)]
struct Judged {
    shaders: u64,
    verdict: Verdict,
}

/// Name of a device's file in the cache directory.
pub(in crate::gpu) fn file_name(device: &Device) -> String {
    let info = device.info();
    format!("tuning-{:?}-{:04x}-{:04x}.json", info.backend, info.vendor, info.device).to_lowercase()
}

/// Properties other than the kernels on which measurements depend. Measurements with any other value are invalid.
fn identity(device: &Device) -> Vec<(&'static str, String)> {
    let info = device.info();
    vec![
        ("tilegrad", env!("CARGO_PKG_VERSION").into()),
        ("wgpu", WGPU.into()),
        ("backend", format!("{:?}", info.backend)),
        ("vendor", format!("{:#06x}", info.vendor)),
        ("device", format!("{:#06x}", info.device)),
        ("name", info.name.clone()),
        ("driver", format!("{} {}", info.driver, info.driver_info)),
        // Limits determine the set of candidates.
        ("limits", format!("{:?}", device.caps())),
    ]
}

/// FNV-1a hash of texts, the same in every run and on every machine.
pub(in crate::gpu) fn hash(texts: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
    let bytes: Vec<u8> =
        texts.into_iter().flat_map(|text| text.as_ref().bytes().chain([0]).collect::<Vec<_>>()).collect();
    fnv1a(&bytes)
}

impl Winners {
    /// Reads the winners in the file at `path`. A damaged or foreign file gives none, and a line in the log.
    pub fn read(device: &Device, path: Option<PathBuf>) -> Self {
        Self::of(identity(device), path)
    }

    fn of(identity: Vec<(&'static str, String)>, path: Option<PathBuf>) -> Self {
        let (mut by_key, mut verdicts) = (BTreeMap::new(), BTreeMap::new());
        if let Some(path) = &path {
            match std::fs::read_to_string(path) {
                Ok(text) => match parse(&text, &identity) {
                    Ok(read) => (by_key, verdicts) = read,
                    Err(reason) => log::warn!("{}: {reason}; measuring anew", path.display()),
                },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => log::warn!("{}: {error}; measuring anew", path.display()),
            }
        }
        Winners { path, identity, by_key, verdicts }
    }

    /// The winner for `key` among candidates with these shaders.
    pub fn get(&self, key: &Key, shaders: u64) -> Option<&Winner> {
        self.by_key.get(key.as_str()).filter(|winner| winner.shaders == shaders)
    }

    pub fn insert(&mut self, key: &Key, winner: Winner) {
        self.by_key.insert(key.as_str().into(), winner);
    }

    /// The verdict on the candidate with these shaders.
    pub fn verdict(&self, key: &Key, choice: &Choice, shaders: u64) -> Option<Verdict> {
        let judged = self.verdicts.get(&(key.to_string(), choice.to_string()));
        judged.filter(|judged| judged.shaders == shaders).map(|judged| judged.verdict.clone())
    }

    pub fn judged(&mut self, key: &Key, choice: &Choice, shaders: u64, verdict: Verdict) {
        self.verdicts.insert((key.to_string(), choice.to_string()), Judged { shaders, verdict });
    }

    /// Writes the file atomically, and creates its folder.
    pub fn write(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let winner = |winner: &Winner| {
            json!({
                "choice": winner.choice.to_string(),
                "milliseconds": winner.milliseconds[0],
                "milliseconds_without": winner.milliseconds[1],
                "shaders": format!("{:016x}", winner.shaders),
            })
        };
        let winners: BTreeMap<&String, Value> = self.by_key.iter().map(|(key, won)| (key, winner(won))).collect();
        let made_on: BTreeMap<&str, &String> = self.identity.iter().map(|(name, value)| (*name, value)).collect();
        let mut verdicts: BTreeMap<&String, BTreeMap<&String, Value>> = BTreeMap::new();
        for ((key, choice), Judged { shaders, verdict }) in &self.verdicts {
            let fault = if let Verdict::Wrong(fault) = verdict { Some(fault) } else { None };
            let judged = json!({ "shaders": format!("{shaders:016x}"), "fault": fault });
            verdicts.entry(key).or_default().insert(choice, judged);
        }
        let json = json!({ "format": FORMAT, "made_on": made_on, "winners": winners, "verdicts": verdicts });
        write_whole(path, format!("{json:#}\n").as_bytes())
    }
}

/// Parses a file's text into winners, or returns the reason why it holds none for this identity.
fn parse(text: &str, identity: &[(&'static str, String)]) -> Result<Known, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| format!("is damaged: {error}"))?;
    if json["format"] == OLD_FORMAT {
        return Err(format!("was made by an older version of tilegrad (\"{OLD_FORMAT}\")"));
    }
    if json["format"] != FORMAT {
        return Err(format!("is no file of \"{FORMAT}\""));
    }
    for (name, value) in identity {
        let found = &json["made_on"][name];
        if found != value {
            return Err(format!("was made with {name} {found}, this is \"{value}\""));
        }
    }
    let winners = json["winners"].as_object().ok_or("is damaged: \"winners\" is missing")?;
    let winner = |value: &Value| {
        Some(Winner {
            choice: value["choice"].as_str()?.into(),
            milliseconds: [value["milliseconds"].as_f64()?, value["milliseconds_without"].as_f64()?],
            shaders: u64::from_str_radix(value["shaders"].as_str()?, 16).ok()?,
        })
    };
    let entry = |(key, value): (&String, &Value)| match winner(value) {
        Some(winner) => Ok((key.clone(), winner)),
        None => Err(format!("is damaged: \"{key}\" is {value}")),
    };
    let winners = winners.iter().map(entry).collect::<Result<_, _>>()?;
    let mut verdicts = BTreeMap::new();
    for (key, of_key) in json["verdicts"].as_object().ok_or("is damaged: \"verdicts\" is missing")? {
        for (choice, value) in of_key.as_object().into_iter().flatten() {
            let shaders = value["shaders"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
            let shaders =
                shaders.ok_or_else(|| format!("is damaged: the verdict on \"{choice}\" of \"{key}\" is {value}"))?;
            let fault = value["fault"].as_str().map(str::to_string);
            let verdict = fault.map_or(Verdict::Right, Verdict::Wrong);
            verdicts.insert((key.clone(), choice.clone()), Judged { shaders, verdict });
        }
    }
    Ok((winners, verdicts))
}

/// Winners by key, and verdicts by key and candidate.
type Known = (BTreeMap<String, Winner>, BTreeMap<(String, String), Judged>);

#[cfg(test)]
mod tests {
    use super::*;

    fn made_by(driver: &str) -> Vec<(&'static str, String)> {
        vec![("backend", "Vulkan".into()), ("driver", driver.into())]
    }

    #[test]
    fn winners_survive_a_file_and_nothing_else_is_believed() {
        let folder = std::env::temp_dir().join(format!("tilegrad-winners-{}", std::process::id()));
        let path = folder.join("deeper/tuning.json");
        let read = |driver| Winners::of(made_by(driver), Some(path.clone()));
        let (key, winner) = (
            Key::from("conv2d [1,2]"),
            Winner { choice: "subgroup8:32x8".into(), milliseconds: [1.5, 2.25], shaders: u64::MAX - 1 },
        );
        let mut winners = read("1.0");
        assert!(winners.get(&key, winner.shaders).is_none());
        winners.insert(&key, winner.clone());
        let (right, wrong) = (Choice::from("direct"), Choice::from("workgroup:64x64x16"));
        let fault = Verdict::Wrong("at [0]".into());
        winners.judged(&key, &right, 1, Verdict::Right);
        winners.judged(&key, &wrong, 2, fault.clone());
        winners.write().unwrap();
        assert_eq!(read("1.0").get(&key, winner.shaders), Some(&winner));
        assert_eq!(read("1.0").verdict(&key, &right, 1), Some(Verdict::Right));
        assert_eq!(read("1.0").verdict(&key, &wrong, 2), Some(fault));
        assert_eq!(read("1.0").verdict(&key, &wrong, 3), None, "the shaders have changed");
        assert_eq!(read("1.1").verdict(&key, &right, 1), None, "the driver has changed");
        assert_eq!(read("1.0").get(&key, 7), None, "the shaders have changed");
        assert_eq!(read("1.1").get(&key, winner.shaders), None, "the driver has changed");
        assert_eq!(std::fs::read_dir(folder.join("deeper")).unwrap().count(), 1, "no temporary file stays");

        let whole = std::fs::read_to_string(&path).unwrap();
        let reason = |text: &str| parse(text, &made_by("1.0")).unwrap_err();
        assert!(reason(&whole[..whole.len() / 2]).contains("is damaged"));
        assert!(
            reason(&whole.replace("subgroup8:32x8\"", "subgroup8\", \"choice\": 3"))
                .contains("is damaged: \"conv2d [1,2]\"")
        );
        assert!(reason("{}").contains("is no file of"));
        assert!(reason(&whole.replace(FORMAT, OLD_FORMAT)).contains("by an older version"));
        assert!(reason(&whole.replace("1.0", "0.9")).contains("was made with driver \"0.9\", this is \"1.0\""));
        std::fs::write(&path, &whole[1..]).unwrap();
        let mut damaged = read("1.0");
        assert!(damaged.by_key.is_empty());
        damaged.insert(&key, winner.clone());
        damaged.write().unwrap();
        assert_eq!(read("1.0").get(&key, winner.shaders), Some(&winner), "a damaged file is replaced");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_hash_is_that_of_fnv() {
        // The published value for "a", then the result of hashing one more byte.
        let of_a = 0xaf63_dc4c_8601_ec8c_u64;
        assert_eq!(hash(["a"]), of_a.wrapping_mul(0x0100_0000_01b3));
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
    }

    #[test]
    fn the_version_of_wgpu_is_that_of_cargo_toml() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains(&format!("wgpu = {{ version = \"{WGPU}\"")));
    }
}
