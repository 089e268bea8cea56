//! Matches tensors by their keys, also if levels of the keys tell nothing.

use std::collections::{HashMap, HashSet};

/// A key, and the same key without the levels that all keys under their parent share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The whole key.
    pub whole: String,
    /// What tells it from the others of its file or network.
    pub telling: String,
}

/// The keys of a file or of a network.
pub(super) fn keys<'a>(all: impl Iterator<Item = &'a str> + Clone) -> Vec<Key> {
    let telling = telling(all.clone(), |_| true);
    let whole = all.map(str::to_owned);
    whole
        .zip(telling)
        .map(|(whole, telling)| Key { whole, telling })
        .collect()
}

/// For each key of the network, the position of the file's key that is the same: but for a prefix of all, in what tells it
/// from others, or in its ending. `None` if there is not exactly one key of the file for every key.
pub(super) fn matched(network: &[&Key], file: &[&Key]) -> Option<Vec<usize>> {
    if network.len() != file.len() {
        return None;
    }
    let by_telling = || same(network, file, |key| &key.telling);
    by_prefix(network, file)
        .or_else(by_telling)
        .or_else(|| by_ending(network, file))
}

/// What every key of a file begins with before the keys of the network; `None` if the file lacks some of these.
pub(super) fn prefix(network: &[&Key], file: &[&Key]) -> Option<String> {
    let known: HashSet<&str> = file.iter().map(|key| key.whole.as_str()).collect();
    let first = network.first()?;
    let prefixes = file
        .iter()
        .filter_map(|key| key.whole.strip_suffix(first.whole.as_str()));
    let is_prefix = |prefix: &&str| {
        let is_level = prefix.is_empty() || prefix.ends_with('.');
        let has = |key: &&Key| known.contains(format!("{prefix}{}", key.whole).as_str());
        is_level && file.iter().all(|key| key.whole.starts_with(*prefix)) && network.iter().all(has)
    };
    prefixes.into_iter().find(is_prefix).map(str::to_owned)
}

/// The keys without the levels that all keys under their parent share and that `may_go` accepts. Wrappers of modules add such
/// levels.
/// No two become equal.
pub(super) fn telling<'a>(keys: impl Iterator<Item = &'a str> + Clone, may_go: impl Fn(&str) -> bool) -> Vec<String> {
    let mut choices: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (parent, level) in keys.clone().flat_map(levels) {
        choices.entry(parent).or_default().insert(level);
    }
    let is_kept = |&(parent, level): &(&str, &str)| {
        let is_module = level.ends_with('.');
        !is_module || choices[parent].len() > 1 || !may_go(level)
    };
    keys.map(|key| levels(key).filter(is_kept).map(|(_, level)| level).collect())
        .collect()
}

/// The levels of a key, each with what stands before it. Levels of modules end with their dot.
fn levels(key: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut start = 0;
    key.split_inclusive('.').map(move |level| {
        let parent = &key[..start];
        start += level.len();
        (parent, level)
    })
}

fn by_prefix(network: &[&Key], file: &[&Key]) -> Option<Vec<usize>> {
    let prefix = prefix(network, file)?;
    let whole = file.iter().enumerate();
    let positions: HashMap<&str, usize> = whole.map(|(index, key)| (key.whole.as_str(), index)).collect();
    let position = |key: &&Key| positions.get(format!("{prefix}{}", key.whole).as_str()).copied();
    network.iter().map(position).collect()
}

fn same(network: &[&Key], file: &[&Key], part: impl Fn(&Key) -> &str) -> Option<Vec<usize>> {
    let positions: HashMap<&str, usize> = file.iter().enumerate().map(|(index, key)| (part(key), index)).collect();
    network.iter().map(|key| positions.get(part(key)).copied()).collect()
}

/// Of each key, the only one that ends with it.
fn by_ending(network: &[&Key], file: &[&Key]) -> Option<Vec<usize>> {
    let mut endings: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, key) in file.iter().enumerate() {
        for (parent, _) in levels(&key.whole) {
            endings.entry(&key.whole[parent.len()..]).or_default().push(index);
        }
    }
    let only = |key: &&Key| match endings.get(key.whole.as_str()).map(Vec::as_slice) {
        Some(&[index]) => Some(index),
        _ => None,
    };
    let found: Vec<usize> = network.iter().map(only).collect::<Option<_>>()?;
    let distinct: HashSet<usize> = found.iter().copied().collect();
    (distinct.len() == found.len()).then_some(found)
}
