//! The house's rules, held against the files: imports go downward, only `src/gpu` knows a GPU, and every operation has a
//! twin, a shader and a test.

use std::collections::BTreeMap;
use std::path::Path;

/// The folders and files of src/ from the bottom: what stands on one line may use its own line and those above it.
const LAYERS: [&[&str]; 7] = [
    &["error", "files", "shape", "tensor", "rng"],
    &["twin"],
    // One line yet: a lowering still asks the tape.
    &["kernel", "graph", "ops"],
    &["plan", "reference"],
    &["gpu"],
    &["nn", "optim", "data", "train"],
    &["report"],
];

/// The files below `folder` of the repository that end so, by their path below it, with their text.
fn files(folder: &str, extension: &str) -> BTreeMap<String, String> {
    fn visit(folder: &Path, prefix: &str, extension: &str, files: &mut BTreeMap<String, String>) {
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
    let mut found = BTreeMap::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", extension, &mut found);
    assert!(!found.is_empty(), "{folder} has no {extension}");
    found
}

/// The code of a Rust file without comments and without its tests, which stand at the end.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    // An address in a string is no comment, but nobody imports from one either.
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words that follow `prefix` wherever it stands as a path's beginning, those of a list in braces each.
fn following(code: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| is_word(c) || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let word = |text: &str| text.trim_start().chars().take_while(|&c| is_word(c)).collect::<String>();
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        // The items of the outermost braces; what stands in inner ones belongs to the item before them.
        let (mut depth, mut item) = (0, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(word(&std::mem::take(&mut item))),
                _ if depth == 0 => item.push(c),
                _ => {}
            }
        }
        found.push(word(&item));
    }
    found.retain(|word| !word.is_empty());
    found
}

/// The layer of a module of the crate's root; what lib.rs re-exports at the root comes from `error`.
fn layer(module: &str) -> Option<usize> {
    match module {
        "Error" | "Result" => Some(0),
        // The macro, which stands at the root as all that are exported do.
        "params" => layer("kernel"),
        _ => LAYERS.iter().position(|layer| layer.contains(&module)),
    }
}

/// The module of the crate's root that a file of src/ belongs to.
fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn imports_go_downward() {
    for (file, text) in files("src", ".rs") {
        if file == "lib.rs" {
            continue;
        }
        let own = layer(module(&file)).unwrap_or_else(|| panic!("src/{file} belongs to no layer"));
        for used in [following(&code(&text), "crate::"), following(&code(&text), "$crate::")].concat() {
            let below = layer(&used).unwrap_or_else(|| panic!("src/{file}: crate::{used} belongs to no layer"));
            assert!(below <= own, "src/{file} must not know crate::{used}");
        }
    }
}

#[test]
fn an_import_is_found_in_every_form() {
    let code = "use crate::gpu::Device;\nuse crate::{\n    nn::{self, models}, plan::Plan,\n    Error,\n};\nfn f(x: crate::data::X) {}\nmycrate::no; super::crate::no";
    assert_eq!(following(code, "crate::"), ["gpu", "nn", "plan", "Error", "data"]);
    assert_eq!(layer("plan"), layer("reference"));
    assert!(layer("gpu") > layer("plan") && layer("plan") > layer("ops") && layer("ops") > layer("shape"));
}

#[test]
fn only_src_gpu_names_wgpu_or_naga() {
    for (file, text) in files("src", ".rs").into_iter().filter(|(file, _)| module(file) != "gpu") {
        for name in ["wgpu::", "naga::"] {
            assert!(following(&code(&text), name).is_empty(), "src/{file} names {name}");
        }
    }
}

/// `nn` builds tapes and never sees a buffer; `gpu` executes plans and does not know what a convolution is for.
#[test]
fn nn_sees_no_buffer_and_gpu_no_operation() {
    let files = files("src", ".rs");
    for (file, text) in files.iter().filter(|(file, _)| module(file) == "nn") {
        for used in following(&code(text), "crate::") {
            assert!(!["gpu", "plan"].contains(&used.as_str()), "src/{file} must not know crate::{used}");
        }
    }
    let operations: Vec<&str> = files
        .keys()
        .filter_map(|file| file.strip_prefix("ops/")?.strip_suffix(".rs"))
        .filter(|name| *name != "mod")
        .collect();
    for (file, text) in files.iter().filter(|(file, _)| module(file) == "gpu") {
        for used in following(&code(text), "crate::ops::") {
            assert!(!operations.contains(&used.as_str()), "src/{file} must not know crate::ops::{used}");
        }
    }
}

#[test]
fn the_library_prints_nothing() {
    for (file, text) in files("src", ".rs") {
        for line in code(&text).lines() {
            for print in ["println!", "print!", "dbg!"] {
                assert!(!line.contains(print), "src/{file} prints: {}", line.trim());
            }
        }
    }
}

#[test]
fn every_operation_has_a_twin_a_shader_and_a_test() {
    let (source, shaders) = (files("src", ".rs"), files("shaders", ".wgsl"));
    let tests: Vec<String> =
        files("tests", ".rs").into_iter().filter(|(file, _)| file != "host/tidy.rs").map(|(_, text)| text).collect();
    let mut operations = 0;
    for (file, text) in &source {
        if !file.starts_with("ops/") || !code(text).contains("impl Operation for") {
            continue;
        }
        let name = file.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap_or_default();
        operations += 1;
        let twins = source.get(&file.replace("mod.rs", "twin.rs")).filter(|_| file.ends_with("mod.rs"));
        let twin =
            [Some(text), twins].into_iter().flatten().map(|text| text.matches("impl Twin for").count()).sum::<usize>();
        let rules = code(text).matches("impl Operation for").count();
        assert_eq!(twin, rules, "src/{file}: operations, and twins beside them");
        let room = file.rsplit_once('/').map_or("", |(room, _)| room);
        let of_room: Vec<&String> =
            source.iter().filter(|(other, _)| other.starts_with(room)).map(|(_, text)| text).collect();
        let named = |shader: &String| of_room.iter().any(|text| text.contains(&format!("source!(\"{shader}\")")));
        assert!(shaders.keys().any(named), "src/{file} names no file of shaders/");
        let tested = |text: &String| text.split(|c| !is_word(c)).any(|word| word == name);
        assert!(tests.iter().any(tested), "no test names {name}");
    }
    assert!(operations >= 12, "{operations} operations");
}

#[test]
fn every_file_says_what_it_is() {
    for (file, text) in files("src", ".rs") {
        assert!(text.starts_with("//! "), "src/{file} does not start with a line of documentation");
    }
}
