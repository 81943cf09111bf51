//! Circles of imports: files that know each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Imports;

type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The folder of src/ that holds a file.
pub fn room(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The circles, each told by its shortest way round: those of files in different rooms, and those inside one room that do
/// not pass its mod.rs.
pub fn circles(imports: &Imports) -> Vec<String> {
    let edges: Vec<(&str, &str)> = imports.edges.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let between = shortest_of(&graph(edges.iter().copied()), |from, to| room(from) != room(to));
    let inner = edges
        .iter()
        .copied()
        .filter(|(from, to)| room(from) == room(to) && !from.ends_with("mod.rs") && !to.ends_with("mod.rs"));
    let inside = shortest_of(&graph(inner), |_, _| true);
    between.into_iter().chain(inside).map(|circle| told(imports, &circle)).collect()
}

fn graph<'a>(edges: impl Iterator<Item = (&'a str, &'a str)>) -> Graph<'a> {
    let mut graph = Graph::new();
    for (from, to) in edges {
        graph.entry(from).or_default().insert(to);
    }
    graph
}

/// For every strongly connected part of the graph that has an edge as `closing` wants it, the shortest circle that such an
/// edge closes: the files in order, each of which imports the next, and the last the first.
fn shortest_of<'a>(graph: &Graph<'a>, closing: impl Fn(&str, &str) -> bool) -> Vec<Vec<&'a str>> {
    let mut found: BTreeMap<BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (&from, targets) in graph {
        for &to in targets.iter().filter(|to| closing(from, to)) {
            let Some(circle) = way(graph, to, from) else { continue };
            let shortest = found.entry(part(graph, from)).or_insert_with(|| circle.clone());
            if circle.len() < shortest.len() {
                *shortest = circle;
            }
        }
    }
    found.into_values().collect()
}

/// The shortest way along the edges, both ends included.
fn way<'a>(graph: &Graph<'a>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut before = BTreeMap::from([(from, from)]);
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut way = vec![at];
            while way[way.len() - 1] != from {
                way.push(before[way[way.len() - 1]]);
            }
            way.reverse();
            return Some(way);
        }
        for &next in graph.get(at).into_iter().flatten() {
            before.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    None
}

/// The files that import `file` and are imported by it, directly or through others, itself included.
fn part<'a>(graph: &Graph<'a>, file: &'a str) -> BTreeSet<&'a str> {
    let below = reached(graph, file);
    let mut part: BTreeSet<&str> = below.into_iter().filter(|other| reached(graph, other).contains(file)).collect();
    part.insert(file);
    part
}

fn reached<'a>(graph: &Graph<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph.get(from).into_iter().flatten().copied().collect();
    while let Some(at) = next.pop() {
        if reached.insert(at) {
            next.extend(graph.get(at).into_iter().flatten());
        }
    }
    reached
}

/// The files of a circle in order, and the import that closes it.
fn told(imports: &Imports, circle: &[&str]) -> String {
    let (first, last) = (circle[0], circle[circle.len() - 1]);
    let line = imports.edges[&(last.to_string(), first.to_string())];
    let files: Vec<String> = circle.iter().map(|file| format!("src/{file}")).collect();
    format!("a circle of imports: {} -> src/{first} (closed by src/{last}:{line})", files.join(" -> "))
}
