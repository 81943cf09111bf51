//! The house's rules, held against the files: imports go downward and in no circle, only `src/gpu` knows a GPU, and every
//! operation has a twin, a shader and a test.

mod circles;
mod imports;
mod layers;
mod made_up;
mod syntax;

use std::path::Path;
use std::sync::LazyLock;

use circles::{circles, room};
use imports::{Files, Imports};
use layers::{module, upward};

/// The files below `folder` of the repository that end so, by their path below it, with their text.
pub fn files(folder: &str, extension: &str) -> Files {
    fn visit(folder: &Path, prefix: &str, extension: &str, files: &mut Files) {
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("it can be listed").path();
            let name = format!("{prefix}{}", path.file_name().expect("it has a name").to_string_lossy());
            if path.is_dir() {
                visit(&path, &format!("{name}/"), extension, files);
            } else if name.ends_with(extension) {
                files.insert(name, std::fs::read_to_string(&path).expect("it is text"));
            }
        }
    }
    let mut found = Files::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", extension, &mut found);
    assert!(!found.is_empty(), "{folder} has no {extension}");
    found
}

static SOURCE: LazyLock<Files> = LazyLock::new(|| files("src", ".rs"));
static IMPORTS: LazyLock<Imports> = LazyLock::new(|| Imports::of(&SOURCE));

#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_go_downward() {
    none(&IMPORTS.lost);
    none(&upward(&IMPORTS));
}

#[test]
fn imports_go_in_no_circle() {
    let circles = circles(&IMPORTS);
    let (files, edges) = (SOURCE.len(), IMPORTS.edges.len());
    println!("{files} files, {edges} imports by {} paths, {} circles", IMPORTS.paths, circles.len());
    none(&circles);
    assert!(edges > files, "{edges} imports between {files} files");
}

#[test]
fn only_src_gpu_names_wgpu_or_naga() {
    let mut named = 0;
    for (file, facts) in &IMPORTS.facts {
        for name in ["wgpu", "naga"].into_iter().filter(|name| facts.outside.contains(*name)) {
            assert_eq!(module(file), "gpu", "src/{file} names {name}");
            named += 1;
        }
    }
    assert!(named > 0, "nobody names wgpu");
}

#[test]
fn the_library_prints_nothing() {
    for (file, facts) in &IMPORTS.facts {
        for (name, line) in &facts.macros {
            let prints = ["print", "println", "eprint", "eprintln", "dbg"].contains(&name.as_str());
            assert!(!prints, "src/{file}:{line} prints by {name}!");
        }
    }
}

#[test]
fn every_operation_has_a_twin_a_shader_and_a_test() {
    let shaders = files("shaders", ".wgsl");
    let tests: Vec<String> =
        files("tests", ".rs").into_iter().filter(|(file, _)| room(file) != "host/tidy").map(|(_, text)| text).collect();
    let of = |of: &str, facts: &syntax::Facts| -> Vec<String> {
        facts.impls.iter().filter(|(name, _)| name == of).map(|(_, of)| of.clone()).collect()
    };
    let mut operations = 0;
    for (file, facts) in IMPORTS.facts.iter().filter(|(file, _)| module(file) == "ops") {
        let own = of("Operation", facts);
        if own.is_empty() {
            continue;
        }
        operations += own.len();
        let neighbours = || IMPORTS.facts.iter().filter(|(other, _)| room(other) == room(file));
        let twins: Vec<String> = neighbours().flat_map(|(_, facts)| of("Twin", facts)).collect();
        for operation in &own {
            assert!(twins.contains(operation), "src/{file}: {operation} has no twin in its room");
        }
        let mut named = neighbours().flat_map(|(_, facts)| &facts.shaders);
        assert!(named.any(|shader| shaders.contains_key(shader)), "src/{file} names no file of shaders/");
        let name = file.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_name = |word: &str| word == name || own.iter().any(|operation| operation == word);
        let tested = |text: &String| text.split(|c| !is_word(c)).any(is_name);
        assert!(tests.iter().any(tested), "no test names {name} of src/{file}");
    }
    assert!(operations >= 12, "{operations} operations");
}

#[test]
fn every_file_says_what_it_is() {
    for (file, text) in SOURCE.iter() {
        assert!(text.starts_with("//! "), "src/{file} does not start with a line of documentation");
    }
}

/// A name stands for one type: nobody has to say which `Conv2d` is meant.
#[test]
fn no_two_public_types_share_a_name() {
    let mut found: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
    for (file, text) in SOURCE.iter() {
        for line in text.lines() {
            let mut words =
                line.strip_prefix("pub ").unwrap_or_default().split(|c: char| !c.is_alphanumeric() && c != '_');
            if let (Some("struct" | "enum" | "trait" | "union"), Some(name)) = (words.next(), words.next()) {
                found.entry(name).or_default().push(file);
            }
        }
    }
    assert!(found.len() > 150, "{} types", found.len());
    found.retain(|_, files| files.len() > 1);
    assert!(found.is_empty(), "{found:?}");
}
