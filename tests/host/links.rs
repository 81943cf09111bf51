//! The line of each shader file that says what it is linked with and which names of the generated header it uses, held against
//! the kernels of the zoo.

use std::collections::{BTreeMap, BTreeSet};

use tilegrad::kernel::{HeaderConstant, Kernel};

use crate::shaders::{BINDINGS, code, files, kernels};

/// How the line begins.
const LINE: &str = "// Linked with: ";
/// From so many files on that may define a name, the name itself is said in their place.
const MANY: usize = 5;

/// The words of a text with what stands before and after each.
fn words(code: &str) -> Vec<(char, &str, char)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = code;
    let mut before = ' ';
    while let Some(start) = rest.find(is_word) {
        before = rest[..start].chars().rev().find(|c| !c.is_whitespace()).unwrap_or(before);
        let word = &rest[start..];
        let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
        let after = word[end..].trim_start().chars().next().unwrap_or(' ');
        found.push((before, &word[..end], after));
        before = ' ';
        rest = &word[end..];
    }
    found
}

/// What a file of shaders/ defines and what it uses.
struct File {
    /// Functions, types, constants and variables of the module's scope.
    defines: BTreeSet<String>,
    /// Whether it has the entry point.
    is_entry: bool,
    /// Functions that it calls.
    calls: BTreeSet<String>,
    /// Other names, without those of its own variables, parameters and fields.
    names: BTreeSet<String>,
}

impl File {
    fn of(text: &str) -> Self {
        let code = code(text);
        let words = words(&code);
        let (mut defines, mut locals) = (BTreeSet::new(), BTreeSet::new());
        let mut depth = 0;
        for line in code.lines() {
            let declared = line.trim_start();
            for keyword in ["fn ", "const ", "struct ", "alias ", "let ", "var "] {
                let Some(rest) = declared.strip_prefix(keyword) else { continue };
                let name: String = rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
                if depth == 0 {
                    defines.insert(name)
                } else {
                    locals.insert(name)
                };
            }
            if let Some((_, rest)) = line.split_once("var<").filter(|_| depth == 0) {
                let rest = rest.split_once("> ").map_or("", |(_, rest)| rest);
                defines.insert(rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect());
            }
            depth += line.matches('{').count();
            depth -= line.matches('}').count().min(depth);
        }
        // Parameters, fields and counters of loops.
        locals.extend(words.iter().filter(|(.., after)| *after == ':').map(|(_, word, _)| word.to_string()));
        locals.extend(words.windows(2).filter(|pair| pair[0].1 == "var").map(|pair| pair[1].1.to_string()));
        let calls =
            |(before, word, after): &(char, &str, char)| (*after == '(' && *before != '.').then(|| word.to_string());
        let names = |(before, word, _): &(char, &str, char)| {
            (*before != '.' && !locals.contains(*word)).then(|| word.to_string())
        };
        let (calls, names) = (words.iter().filter_map(calls).collect(), words.iter().filter_map(names).collect());
        File { defines, is_entry: code.contains("@compute"), calls, names }
    }

    /// Whether it uses `name` of another file.
    fn uses(&self, name: &str) -> bool {
        !self.defines.contains(name) && (self.names.contains(name) || self.calls.contains(name))
    }
}

/// The names of a kernel's header.
fn header(kernel: &Kernel) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["T", "ACC", "params"].map(str::to_string).into();
    for (name, constant) in &kernel.constants {
        let endings: &[&str] = match constant {
            HeaderConstant::U32(_) | HeaderConstant::Bool(_) => &[""],
            HeaderConstant::Elements(_) => &["", "U", "BOOL", "ACC", "_LEN"],
            HeaderConstant::Parts(_) => &["", "U", "BOOL", "ACC", "_LEN", "_four", "_parts"],
        };
        names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    names
}

/// The line that each file should have.
fn lines() -> BTreeMap<String, String> {
    let files = files();
    let parsed: BTreeMap<&str, File> = files.iter().map(|(name, text)| (name.as_str(), File::of(text))).collect();
    // Of each file the names that it uses of others, with the files that may define them, and those of the header.
    let mut linked: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    let mut headers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for kernel in kernels().iter().map(|linked| &linked.kernel) {
        let names = header(kernel);
        let sources: Vec<(&str, &File)> =
            kernel.sources.iter().filter_map(|source| Some((source.file, parsed.get(source.file)?))).collect();
        for &(file, of_file) in &sources {
            let used = names.iter().filter(|name| of_file.uses(name)).cloned();
            headers.entry(file).or_default().extend(used);
            for &(other, of_other) in sources.iter().filter(|(other, _)| *other != file) {
                let used = of_other.defines.iter().filter(|name| of_file.uses(name));
                // What a shared entry point calls is linked with it too.
                let is_shared = of_other.is_entry && other.starts_with("lib/") && !file.starts_with("lib/");
                let called = of_file.defines.iter().filter(|name| is_shared && of_other.uses(name));
                for name in used.chain(called) {
                    linked.entry(file).or_default().entry(name).or_default().insert(other);
                }
            }
        }
    }
    let line = |file: &str| {
        let mut groups: BTreeMap<&BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
        let of_file = linked.get(file);
        of_file.into_iter().flatten().for_each(|(name, defining)| groups.entry(defining).or_default().push(name));
        let group = |(defining, names): (&&BTreeSet<&str>, &Vec<&str>)| match defining.len() {
            ..MANY => defining.iter().copied().collect::<Vec<_>>().join(" or "),
            _ => format!("a file with {}", names.join(" and ")),
        };
        // Where one of several files is named, what is one of fewer of them need not be.
        let part = |defining: &BTreeSet<&str>| groups.keys().any(|&of| of != defining && of.is_superset(defining));
        let with: Vec<String> = groups.iter().filter(|(defining, _)| !part(defining)).map(group).collect();
        let with = if with.is_empty() { "nothing".to_string() } else { with.join(", ") };
        let header: Vec<String> = headers.get(file).into_iter().flatten().cloned().collect();
        let header = if header.is_empty() { "nothing".to_string() } else { header.join(", ") };
        format!("{LINE}{with}. Header: {header}.")
    };
    files.keys().filter(|file| *file != BINDINGS).map(|file| (file.clone(), line(file))).collect()
}

#[test]
fn every_file_says_what_it_is_linked_with() {
    let files = files();
    let wrong = lines().into_iter().filter(|(file, line)| {
        let head = files[file].lines().take_while(|line| line.starts_with("//"));
        head.last() != Some(line) || files[file].matches(LINE).count() != 1
    });
    let wrong: Vec<String> =
        wrong.map(|(file, line)| format!("shaders/{file} must say, last of its head:\n{line}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn comments_name_files_that_there_are() {
    let files = files();
    let is_path = |c: char| c.is_alphanumeric() || ['_', '/', '.'].contains(&c);
    let sources = crate::tidy::files("src", ".rs").into_iter().map(|(file, text)| (format!("src/{file}"), text));
    let shaders = files.iter().map(|(file, text)| (format!("shaders/{file}"), text.clone()));
    for (file, text) in shaders.chain(sources) {
        for named in text
            .split(|c| !is_path(c))
            .map(|word| word.trim_end_matches('.'))
            .filter(|word| word.ends_with(".wgsl") && !word.starts_with('.'))
        {
            // Rust has fields of that name.
            if file.starts_with("src/") && !named.contains('/') {
                continue;
            }
            let there = files.contains_key(named.strip_prefix("shaders/").unwrap_or(named));
            assert!(there, "{file} names {named}, which is no file of shaders/");
        }
    }
}

#[test]
fn names_of_a_file_are_told_from_its_own_variables() {
    let text = "// count(i) is a comment\nconst WIDE: u32 = WG * 2;\n@group(0) @binding(A) var<storage, read> a: array<E>;\n\
                struct Row { count: u32 }\nfn each(i: u32) {\n    let place = a[i];\n    for (var k = 0u; k < count(); k++) { f(place, row.k); }\n}\n";
    let file = File::of(text);
    assert_eq!(file.defines, ["Row", "WIDE", "a", "each"].map(str::to_string).into());
    for used in ["WG", "E", "count", "f", "A"] {
        assert!(file.uses(used), "{used}");
    }
    for own in ["place", "k", "i", "a", "each", "WIDE"] {
        assert!(!file.uses(own), "{own}");
    }
}
