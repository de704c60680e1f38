//! No two files of `src` import each other, directly or through others: a scan of their `use` declarations and paths.
//!
//! It reads text and knows no macros. A module that a folder's `mod.rs` only declares is no import.

use std::collections::{BTreeMap, BTreeSet};

use super::files;

/// A module by its path below the crate, and those that it imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The module of a file: `io::decode` for `io/decode/mod.rs`.
fn module_of(file: &str) -> String {
    let path = file.trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
}

/// The code without comments, without the tests at its end, and without paths that say who may see an item.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap()).collect();
    code.join("\n").replace("pub(in crate::", "pub(")
}

/// The paths that a tree of `use` names: `a::{b, c::{d, e}}` names three.
fn expand(prefix: &str, tree: &str, into: &mut Vec<String>) {
    let (mut depth, mut start) = (0_usize, 0);
    let mut branch = |branch: &str| {
        let branch = branch.trim();
        match branch.split_once('{') {
            Some((head, rest)) => expand(&format!("{prefix}{head}"), rest.rsplit_once('}').unwrap().0, into),
            None if branch.is_empty() => {}
            None => into.push(format!("{prefix}{}", branch.split(" as ").next().unwrap())),
        }
    };
    for (at, letter) in tree.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branch(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branch(&tree[start..]);
}

/// All paths that a file names: those of its `use` declarations, and those that begin with `crate::` elsewhere.
fn paths(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap().trim();
        if before.is_empty() || before.starts_with("pub") {
            let tree = code[at + 4..].split(';').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            // Texts of messages have lines that begin with this word, too.
            if tree.chars().all(|letter| letter.is_alphanumeric() || "_:{},* ".contains(letter)) {
                expand("", &tree, &mut all);
            }
        }
    }
    for (at, _) in code.match_indices("crate::") {
        let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        all.push(code[at..].split(|letter| !is_path(letter)).next().unwrap().to_string());
    }
    all
}

/// The module of the crate that a path leads to, as seen from `module`.
fn resolve(module: &str, path: &str, known: &BTreeSet<String>) -> Option<String> {
    let mut here: Vec<&str> = module.split("::").collect();
    let mut parts: Vec<&str> = path.split("::").map(str::trim).filter(|part| !part.is_empty()).collect();
    match *parts.first()? {
        "crate" => here.clear(),
        "self" => {}
        "super" => {}
        // A child, or another crate.
        child if known.contains(&format!("{module}::{child}")) => {}
        _ => return None,
    }
    while let Some(first) = parts.first()
        && ["crate", "self", "super"].contains(first)
    {
        if *first == "super" {
            here.pop();
        }
        parts.remove(0);
    }
    here.extend(parts);
    (1..=here.len()).rev().map(|length| here[..length].join("::")).find(|name| known.contains(name))
}

fn graph(files: &[(String, String)]) -> Graph {
    let known: BTreeSet<String> = files.iter().map(|(file, _)| module_of(file)).collect();
    let imports = |(file, text): &(String, String)| {
        let module = module_of(file);
        let mut named: BTreeSet<String> =
            paths(&code_of(text)).iter().filter_map(|path| resolve(&module, path, &known)).collect();
        named.remove(&module);
        (module, named)
    };
    files.iter().map(imports).collect()
}

/// Modules that import each other in a ring, if there are any.
fn ring(graph: &Graph) -> Option<Vec<String>> {
    fn visit(graph: &Graph, module: &str, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
        if let Some(at) = way.iter().position(|earlier| earlier == module) {
            return Some(way[at..].to_vec());
        }
        if done.contains(module) {
            return None;
        }
        way.push(module.to_string());
        let found = graph[module].iter().find_map(|next| visit(graph, next, way, done));
        way.pop();
        done.insert(module.to_string());
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|module| visit(graph, module, &mut Vec::new(), &mut done))
}

#[test]
fn no_files_import_each_other() {
    let files: Vec<(String, String)> = files().into_iter().map(|(name, _, _, text)| (name, text)).collect();
    let graph = graph(&files);
    let imports: usize = graph.values().map(BTreeSet::len).sum();
    assert!(imports > 500, "{imports} imports were found");
    assert_eq!(ring(&graph), None, "these files import each other: move what the lower one needs into a file of its own");
}

#[test]
fn the_scan_finds_rings() {
    let ring_of = |files: &[(&str, &str)]| {
        let files: Vec<(String, String)> = files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        ring(&graph(&files))
    };
    let ring = |modules: &[&str]| Some(modules.iter().map(|module| module.to_string()).collect());
    assert_eq!(ring_of(&[("a/mod.rs", "pub mod b;\n"), ("a/b.rs", "use crate::a::X;\n")]), None);
    assert_eq!(ring_of(&[("a/mod.rs", "pub use b::Y;\n"), ("a/b.rs", "use super::X;\n")]), ring(&["a", "a::b"]));
    let three = [
        ("a.rs", "use std::fmt;\nuse crate::{b::{self, C}, d as e};\n"),
        ("b.rs", "fn f() { crate::d::g() }"),
        ("d.rs", "// use crate::b;\npub(crate) use crate::a::X;\n"),
    ];
    assert_eq!(ring_of(&three), ring(&["a", "b", "d"]));
    assert_eq!(ring_of(&three[..2]), None);
    let only_visible = [("a/mod.rs", "use crate::a::b::C;\n"), ("a/b.rs", "pub(in crate::a) struct C;\n")];
    assert_eq!(ring_of(&only_visible), None);
    let in_tests = [("a.rs", "use crate::b::C;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"), ("b.rs", "fn f() {}\n")];
    assert_eq!(ring_of(&in_tests), None);
}
