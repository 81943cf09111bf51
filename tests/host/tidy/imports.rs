//! Which files of a crate import which: its module tree and every path of its code, followed through re-exports to the
//! file that defines what the path names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::syntax::{Declarations, Facts, Leaf, Reference, declarations};

/// Files by their path below src/, with their text.
pub type Files = BTreeMap<String, String>;

/// What the files of a crate import from each other.
#[derive(Default)]
pub struct Imports {
    /// (importing file, imported file), with the first line where it does.
    pub edges: BTreeMap<(String, String), usize>,
    /// How many paths lead from one file to another.
    pub paths: usize,
    /// Paths from `crate`, `super` or `self` that lead nowhere, and files that belong to no module: the graph would lack
    /// their imports.
    pub lost: Vec<String>,
    /// What each file says besides.
    pub facts: BTreeMap<String, Facts>,
}

impl Imports {
    /// The imports of a crate whose root is `lib.rs`.
    pub fn of(files: &Files) -> Self {
        let tree = Tree::of(files);
        let mut imports = Imports::default();
        for module in &tree.modules {
            let own = imports.facts.entry(module.file.clone()).or_default();
            own.absorb(&module.facts);
        }
        for (at, module) in tree.modules.iter().enumerate() {
            for reference in &module.references {
                imports.follow(&tree, at, reference);
            }
        }
        let reached: BTreeSet<&str> = tree.modules.iter().map(|module| module.file.as_str()).collect();
        let unreached = files.keys().filter(|file| !reached.contains(file.as_str()));
        imports.lost.extend(unreached.map(|file| format!("src/{file} belongs to no module")));
        imports
    }

    fn follow(&mut self, tree: &Tree, at: usize, reference: &Reference) {
        let module = &tree.modules[at];
        let Reference { path, line, reexported, .. } = reference;
        match tree.resolve(at, path) {
            Found::Outside(name) if !reference.is_name() => {
                self.facts.entry(module.file.clone()).or_default().outside.insert(name);
            }
            Found::Outside(_) => {}
            Found::Nothing if reference.is_anchored() => {
                self.lost.push(format!("src/{}:{line}: {} leads nowhere", module.file, path.join("::")));
            }
            Found::Nothing => {}
            // A word alone is a module only in a `use`.
            Found::Module(_) if reference.is_name() => {}
            // A module that shows what is below it does not use it; who does, says so by another path.
            Found::Module(to) | Found::Item(to) if *reexported && tree.is_below(to, at) => {}
            Found::Module(to) | Found::Item(to) => {
                let (from, to) = (&module.file, &tree.modules[to].file);
                if from != to {
                    self.paths += 1;
                    let first = self.edges.entry((from.clone(), to.clone())).or_insert(*line);
                    *first = (*first).min(*line);
                }
            }
        }
    }
}

/// A module: of a file, or of braces in a file.
struct Module {
    file: String,
    parent: Option<usize>,
    children: HashMap<String, usize>,
    items: HashSet<String>,
    /// Names brought in, each with the path that it stands for.
    names: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    references: Vec<Reference>,
    facts: Facts,
}

/// What a path names: a module, an item of a module, something of another crate, or nothing.
enum Found {
    Module(usize),
    Item(usize),
    Outside(String),
    Nothing,
}

struct Tree {
    modules: Vec<Module>,
    /// The macros that stand at the root, with the modules that define them.
    exported: HashMap<String, usize>,
    /// The names that are being looked up, so that re-exports in a circle come to an end.
    pending: RefCell<HashSet<(usize, String)>>,
}

impl Tree {
    fn of(files: &Files) -> Self {
        let mut tree = Tree { modules: Vec::new(), exported: HashMap::new(), pending: RefCell::default() };
        let root = files.get("lib.rs").expect("src/lib.rs is the crate's root");
        tree.add("lib.rs", "", None, declarations("lib.rs", root), files);
        tree
    }

    /// Adds a module and those below it. `folder` holds the files of its children.
    fn add(&mut self, file: &str, folder: &str, parent: Option<usize>, declared: Declarations, files: &Files) -> usize {
        let at = self.modules.len();
        let mut module = Module {
            file: file.to_string(),
            parent,
            children: HashMap::new(),
            items: declared.items,
            names: HashMap::new(),
            globs: Vec::new(),
            references: declared.references,
            facts: declared.facts,
        };
        for Leaf { path, name } in declared.uses {
            match name {
                Some(name) => drop(module.names.entry(name).or_insert(path)),
                None => module.globs.push(path),
            }
        }
        self.modules.push(module);
        self.exported.extend(declared.exported.into_iter().map(|name| (name, at)));
        for (name, inner) in declared.modules {
            let below = format!("{folder}{name}/");
            let child = match inner {
                Some(inner) => self.add(file, &below, Some(at), inner, files),
                None => {
                    let found = [format!("{folder}{name}.rs"), format!("{below}mod.rs")];
                    let path = found.iter().find(|path| files.contains_key(*path));
                    let path = path.unwrap_or_else(|| panic!("src/{file}: module {name} has no file"));
                    self.add(path, &below, Some(at), declarations(path, &files[path]), files)
                }
            };
            self.modules[at].children.insert(name, child);
        }
        at
    }

    fn is_below(&self, mut at: usize, above: usize) -> bool {
        while let Some(parent) = self.modules[at].parent {
            if parent == above {
                return true;
            }
            at = parent;
        }
        false
    }

    /// What `path` names in module `at`.
    fn resolve(&self, at: usize, path: &[String]) -> Found {
        let mut module = at;
        let mut rest = path;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "crate" | "$crate" => module = 0,
                "self" => {}
                "super" => match self.modules[module].parent {
                    Some(parent) => module = parent,
                    None => return Found::Nothing,
                },
                _ => break,
            }
            rest = tail;
        }
        let anchored = rest.len() < path.len();
        let mut found = Found::Module(module);
        for (i, name) in rest.iter().enumerate() {
            let Found::Module(module) = found else { break };
            found = self.look_up(module, name, i + 1 < rest.len());
            if matches!(found, Found::Nothing) && i == 0 && !anchored {
                return Found::Outside(name.clone());
            }
        }
        found
    }

    /// What `name` is in a module; `more` where the path goes on, so that only what has something inside can be meant.
    fn look_up(&self, at: usize, name: &str, more: bool) -> Found {
        let module = &self.modules[at];
        let child = module.children.get(name).map(|&child| Found::Module(child));
        let item = module.items.contains(name).then_some(Found::Item(at));
        let exported = self.exported.get(name).filter(|_| at == 0 && !more).map(|&module| Found::Item(module));
        let item = item.or(exported);
        if let Some(found) = if more { child.or(item) } else { item.or(child) } {
            return found;
        }
        if !self.pending.borrow_mut().insert((at, name.to_string())) {
            return Found::Nothing;
        }
        let found = match module.names.get(name) {
            Some(path) => self.resolve(at, path),
            None => module.globs.iter().map(|path| self.look_into(at, path, name, more)).fold(
                Found::Nothing,
                |found, next| match found {
                    Found::Nothing => next,
                    found => found,
                },
            ),
        };
        self.pending.borrow_mut().remove(&(at, name.to_string()));
        found
    }

    /// What `name` is among all that `path` holds.
    fn look_into(&self, at: usize, path: &[String], name: &str, more: bool) -> Found {
        match self.resolve(at, path) {
            Found::Module(module) => self.look_up(module, name, more),
            // The variants of an enum, or another crate's names, which are not known here.
            Found::Item(_) | Found::Outside(_) | Found::Nothing => Found::Nothing,
        }
    }
}
