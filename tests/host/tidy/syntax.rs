//! What one file of Rust declares and names, its tests left out.

use std::collections::{BTreeSet, HashSet};

use proc_macro2::{Ident, Spacing, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMacro, ItemUse, Meta, TraitItem, UseTree, Visibility};

/// A path that a module's code names.
pub struct Reference {
    pub path: Vec<String>,
    pub line: usize,
    /// Whether it is a `use` that others see.
    pub reexported: bool,
    /// Whether it is the path of a `use`, where a word alone may be a module.
    pub used: bool,
}

impl Reference {
    /// Whether it begins in the crate itself.
    pub fn is_anchored(&self) -> bool {
        ["crate", "$crate", "super", "self"].contains(&self.path[0].as_str()) && self.path.len() > 1
    }

    /// Whether it is a word alone, which may as well be a variable.
    pub fn is_name(&self) -> bool {
        self.path.len() == 1 && !self.used
    }
}

/// A name that a `use` brings in; none for `*`.
#[derive(Clone)]
pub struct Leaf {
    pub path: Vec<String>,
    pub name: Option<String>,
}

/// What a file says besides its imports.
#[derive(Default)]
pub struct Facts {
    /// The names of other crates that it uses.
    pub outside: BTreeSet<String>,
    /// The macros that it calls, with their lines.
    pub macros: BTreeSet<(String, usize)>,
    /// (trait, type) of its `impl`s.
    pub impls: BTreeSet<(String, String)>,
    /// The first text in each call of `source!`.
    pub shaders: BTreeSet<String>,
}

impl Facts {
    pub fn absorb(&mut self, other: &Facts) {
        self.outside.extend(other.outside.iter().cloned());
        self.macros.extend(other.macros.iter().cloned());
        self.impls.extend(other.impls.iter().cloned());
        self.shaders.extend(other.shaders.iter().cloned());
    }

    fn called(&mut self, name: &str, line: usize, arguments: TokenStream) {
        if name == "source"
            && let Ok(file) = syn::parse2::<syn::LitStr>(arguments)
        {
            self.shaders.insert(file.value());
        }
        self.macros.insert((name.to_string(), line));
    }
}

/// What a module declares and names.
#[derive(Default)]
pub struct Declarations {
    /// Names of its items, modules left out.
    pub items: HashSet<String>,
    /// Its macros that stand at the crate's root.
    pub exported: Vec<String>,
    /// Its modules; what is in them, where it stands in the same file.
    pub modules: Vec<(String, Option<Declarations>)>,
    pub uses: Vec<Leaf>,
    pub references: Vec<Reference>,
    pub facts: Facts,
}

/// What the file with this text declares and names.
pub fn declarations(file: &str, text: &str) -> Declarations {
    let parsed = syn::parse_file(text).unwrap_or_else(|error| {
        panic!("src/{file}:{}: {error}", error.span().start().line);
    });
    of_items(&parsed.items)
}

fn of_items(items: &[Item]) -> Declarations {
    let mut declared = Declarations::default();
    for item in items {
        match item {
            Item::Macro(ItemMacro { ident: Some(name), attrs, .. }) if is_exported(attrs) => {
                declared.exported.push(name.to_string());
            }
            // What a macro declares is named in its arguments.
            Item::Macro(call) if call.ident.is_none() => declared.items.extend(declared_in(&call.mac.tokens)),
            _ => declared.items.extend(name_of(item).map(Ident::to_string)),
        }
    }
    items.iter().for_each(|item| declared.visit_item(item));
    declared
}

fn name_of(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::TraitAlias(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

fn is_exported(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("macro_export"))
}

/// The names that follow the words for an item.
fn declared_in(tokens: &TokenStream) -> Vec<String> {
    let tokens: Vec<String> = tokens.clone().into_iter().map(|token| token.to_string()).collect();
    let begins = |word: &str| ["struct", "enum", "fn", "const", "static", "type", "trait"].contains(&word);
    tokens.windows(2).filter(|pair| begins(&pair[0])).map(|pair| pair[1].clone()).collect()
}

/// Whether it stands under `#[cfg(test)]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let words: Vec<String> = list.tokens.clone().into_iter().map(|token| token.to_string()).collect();
            words == ["test"] || words.first().is_some_and(|word| word == "all") && words[1].contains("test")
        }
        _ => false,
    })
}

fn leaves(tree: &UseTree, mut path: Vec<String>, found: &mut Vec<(Leaf, usize)>) {
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            leaves(&tree.tree, path, found);
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, path.clone(), found)),
        UseTree::Glob(glob) => found.push((Leaf { path, name: None }, glob.span().start().line)),
        UseTree::Name(name) => {
            if name.ident != "self" || path.is_empty() {
                path.push(name.ident.to_string());
            }
            let own = path.last().cloned();
            found.push((Leaf { path, name: own }, name.span().start().line));
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" || path.is_empty() {
                path.push(rename.ident.to_string());
            }
            found.push((Leaf { path, name: Some(rename.rename.to_string()) }, rename.span().start().line));
        }
    }
}

impl Declarations {
    fn refer(&mut self, path: Vec<String>, line: usize) {
        self.references.push(Reference { path, line, reexported: false, used: false });
    }

    /// The paths in a macro's tokens that have more than one word, and the macros that it calls itself.
    fn visit_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
        let joined =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.spacing() == Spacing::Joint);
        let colons = |at: usize| is(at, ':') && joined(at) && is(at + 1, ':');
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.visit_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let line = first.span().start().line;
                    let variable = at > 0 && is(at - 1, '$');
                    // A field, a method, a lifetime, or the rest of a path whose beginning is none.
                    let inside =
                        at > 0 && (is(at - 1, '.') || is(at - 1, '\'') || is(at - 1, ':') && at > 1 && colons(at - 2));
                    let mut path = vec![if variable { format!("${first}") } else { first.to_string() }];
                    while colons(at + 1)
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if is(at + 1, '!')
                        && let Some(TokenTree::Group(group)) = tokens.get(at + 2)
                    {
                        self.facts.called(&path[path.len() - 1], line, group.stream());
                    }
                    if path.len() > 1 && !inside && (!variable || path[0] == "$crate") {
                        self.refer(path, line);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Declarations {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if is_test(attributes) {
            return;
        }
        match item {
            Item::Mod(module) => {
                let inner = module.content.as_ref().map(|(_, items)| of_items(items));
                self.modules.push((module.ident.to_string(), inner));
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Const(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !matches!(item, TraitItem::Fn(item) if is_test(&item.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (Some((path, _)), syn::Type::Path(of)) = (&item.trait_, &*item.self_ty)
            && let (Some(name), Some(of)) = (path.segments.last(), of.path.segments.last())
        {
            self.facts.impls.insert((name.ident.to_string(), of.ident.to_string()));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, Vec::new(), &mut found);
        let reexported = !matches!(item.vis, Visibility::Inherited);
        for (leaf, line) in found {
            self.references.push(Reference { path: leaf.path.clone(), line, reexported, used: true });
            self.uses.push(leaf);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.refer(words, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        self.facts.called(&name, call.path.span().start().line, call.tokens.clone());
        self.visit_tokens(call.tokens.clone());
    }

    /// `pub(in crate::a)` says who may see it, and uses nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    /// Attributes name no file of the crate.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
