//! Files of a crate that need each other in a circle cannot be understood one at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// Crates whose files depend on each other in one direction only.
const CRATES: [&str; 1] = ["compute"];

#[test]
fn no_files_of_these_crates_need_each_other_in_a_circle() {
    for name in CRATES {
        let folder = format!("crates/{name}/src");
        let files: Vec<Source> = sources(&[&folder], &[".rs"])
            .into_iter()
            .filter(|source| !source.is_test())
            .collect();
        assert_eq!(
            circles(&graph(&folder, &files)),
            Vec::<Vec<String>>::new(),
            "in {folder}"
        );
    }
}

/// Which modules the modules of a crate use, by their paths below the crate, such as `onnx::lower`.
fn graph(folder: &str, files: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<String, &Source> = files
        .iter()
        .map(|source| (module(folder, &source.path), source))
        .collect();
    let used = |own: &String, source: &Source| {
        let paths = used_paths(&code_without_tests(source));
        let targets = paths.iter().filter_map(|path| resolve(own, path, &modules));
        // The crate's root only lists its modules.
        targets.filter(|target| target != own && !target.is_empty()).collect()
    };
    modules
        .iter()
        .map(|(own, source)| (own.clone(), used(own, source)))
        .collect()
}

/// `onnx::lower` of `crates/compute/src/onnx/lower/mod.rs`.
fn module(folder: &str, path: &str) -> String {
    let below = path
        .trim_start_matches(folder)
        .trim_start_matches('/')
        .trim_end_matches(".rs");
    let parts: Vec<&str> = below.split('/').filter(|part| !["mod", "lib"].contains(part)).collect();
    parts.join("::")
}

fn code_without_tests(source: &Source) -> String {
    let code: Vec<&str> = source.code().map(|(_, line)| line).collect();
    let code = code.join("\n");
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(end) => code[..end].to_owned(),
        None => code,
    }
}

/// Every path that a `use` of the code names, with its braces taken apart.
fn used_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let begins_statement = rest[..at]
            .rsplit(['\n', ';', '{', '}'])
            .next()
            .is_some_and(|before| before.trim().is_empty() || before.trim().starts_with("pub"));
        let statement = &rest[at + 4..];
        let end = statement.find(';').unwrap_or(statement.len());
        if begins_statement {
            let statement: String = statement[..end].split_whitespace().collect::<Vec<_>>().join(" ");
            expand("", &statement, &mut paths);
        }
        rest = &statement[end..];
    }
    paths
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        paths.push(format!("{prefix}{name}"));
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut begin) = (0, 0);
    for (at, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = inner[begin..at].trim();
                if !branch.is_empty() {
                    expand(&prefix, branch, paths);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// The deepest module that a path leads into.
fn resolve(own: &str, path: &str, modules: &BTreeMap<String, &Source>) -> Option<String> {
    let mut base: Vec<&str> = own.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts = path.split("::").peekable();
    match parts.peek()? {
        &"crate" => {
            parts.next();
            base.clear();
        }
        &"self" => {
            parts.next();
        }
        &"super" => {
            while parts.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
        // A child of this module, or another crate.
        first if modules.contains_key(&[base.join("::"), (*first).to_owned()].join("::")) => {}
        _ => return None,
    }
    let mut found = base.join("::");
    for part in parts {
        let deeper = if found.is_empty() {
            part.to_owned()
        } else {
            format!("{found}::{part}")
        };
        if !modules.contains_key(&deeper) {
            break;
        }
        found = deeper;
    }
    Some(found)
}

/// The strongly connected parts of more than one module.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|from| (from, reach(graph, from))).collect();
    let mut found = BTreeSet::new();
    for (from, reaches) in &reached {
        let circle: Vec<String> = reaches
            .iter()
            .filter(|to| reached[**to].contains(from))
            .map(|to| (*to).clone())
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn reach<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&String> = graph[from].iter().collect();
    while let Some(next) = waiting.pop() {
        if reached.insert(next) {
            waiting.extend(&graph[next]);
        }
    }
    reached
}

#[test]
fn a_circle_of_files_is_found() {
    let file = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let files = [
        file("src/lib.rs", "pub mod a;\npub mod b;\npub mod c;"),
        file("src/a.rs", "use crate::b::{B, inner::{C as D, E}};\nuse std::fmt;"),
        file("src/b.rs", "mod inner;\npub use inner::C;"),
        file("src/b/inner.rs", "use super::super::a;"),
        file(
            "src/c.rs",
            "use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}",
        ),
    ];
    let circle = ["a", "b", "b::inner"].map(str::to_owned).to_vec();
    assert_eq!(circles(&graph("src", &files)), [circle]);
}
