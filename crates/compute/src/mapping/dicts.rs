//! Chooses among the dicts of tensors in a file.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::{Matched, Unfit, matched};
use crate::error::WeightError;
use crate::tensor_file::{Entry, Place, TensorDict};
use scv_domain::graph::Graph;
use scv_domain::weight_mapping::WeightOptions;

/// The keys under which programs keep the weights that they train. Averages of these have other names.
const TRAINED: [&str; 7] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
];

/// How many parts of dicts are tried.
const MAX_PARTS: usize = 64;

/// The dict to take, and the paths of others that fit: the one that the options name, else the only one that fits, else
/// the only one among these that programs keep trained weights under. Dicts that stand beside each other can fit together.
///
/// # Errors
/// The file has no dict with the path that the options name, none of its dicts fits, or several do.
pub(super) fn choose(
    dicts: &[TensorDict],
    graph: &Graph,
    options: &WeightOptions,
) -> Result<(TensorDict, Vec<String>), Unfit> {
    if let Some(path) = &options.dict {
        return Ok((chosen(dicts, path)?, Vec::new()));
    }
    let attempts = attempts(dicts, graph, options);
    let fitting = attempts
        .iter()
        .filter_map(|(dict, matched)| Some((*dict, matched.as_ref().ok()?)));
    let fitting = distinct(fitting);
    if let Some(path) = preferred(&fitting) {
        let others = fitting.into_iter().filter(|other| *other != path).collect();
        return Ok((chosen(dicts, &path)?, others));
    }
    if !fitting.is_empty() {
        return Err(Unfit::SeveralDicts(fitting));
    }
    let fits = |dict: &TensorDict| !has_fewer(dict, graph) && matched(graph, dict, &options.map).is_ok();
    let paths = inner_paths(dicts);
    if let Some(whole) = paths.iter().filter_map(|path| joined(dicts, path)).find(fits) {
        return Ok((whole, Vec::new()));
    }
    let fits = |path: &&String| dicts.iter().filter_map(|dict| part(dict, path)).any(|part| fits(&part));
    let parts: Vec<String> = paths.iter().filter(fits).cloned().collect();
    if !parts.is_empty() {
        return Err(Unfit::Parts(parts));
    }
    // What has the most weights has the most to say about what is wrong.
    let misfits = attempts
        .into_iter()
        .filter_map(|(dict, matched)| Some((dict, matched.err()?)));
    let closest = misfits.min_by_key(|(dict, errors)| (Reverse(count_weights(dict)), errors.len()));
    let closest = closest.map(|(dict, errors)| (dict.path.clone(), errors));
    let (path, errors) = closest.unwrap_or_default();
    Err(Unfit::Tensors { path, errors })
}

/// A dict with its pairs, or with what does not fit.
type Attempt<'a> = (&'a TensorDict, Result<Matched<'a>, Vec<WeightError>>);

/// The dicts that may fit, and the one with the most weights. A training state has a small dict for each tensor that it
/// optimises.
fn attempts<'a>(dicts: &'a [TensorDict], graph: &Graph, options: &WeightOptions) -> Vec<Attempt<'a>> {
    let fullest = dicts.iter().min_by_key(|dict| Reverse(count_weights(dict)));
    let is_fullest = |dict: &TensorDict| fullest.is_some_and(|fullest| fullest.path == dict.path);
    let tried = dicts.iter().filter(|dict| !has_fewer(dict, graph) || is_fullest(dict));
    tried.map(|dict| (dict, matched(graph, dict, &options.map))).collect()
}

/// Whether a dict has fewer tensors than a network.
fn has_fewer(dict: &TensorDict, graph: &Graph) -> bool {
    dict.entries.len() < graph.parameters().count()
}

fn chosen(dicts: &[TensorDict], path: &str) -> Result<TensorDict, Unfit> {
    let known = || dicts.iter().map(|dict| dict.path.clone());
    named(dicts, path).ok_or_else(|| Unfit::UnknownDict {
        path: path.to_owned(),
        known: known().filter(|path| !path.is_empty()).collect(),
    })
}

/// The dict with this path, or the tensors under it.
fn named(dicts: &[TensorDict], path: &str) -> Option<TensorDict> {
    let whole = dicts.iter().find(|dict| dict.path == path).cloned();
    whole
        .or_else(|| dicts.iter().find_map(|dict| part(dict, path)))
        .or_else(|| joined(dicts, path))
}

/// The paths of the dicts, without those that hold the same tensors as another.
fn distinct<'f, 'a: 'f>(fitting: impl Iterator<Item = (&'a TensorDict, &'f Matched<'a>)>) -> Vec<String> {
    let mut seen = HashSet::new();
    let different = fitting.filter(|(_, matched)| seen.insert(places(matched)));
    different.map(|(dict, _)| dict.path.clone()).collect()
}

fn places(matched: &Matched<'_>) -> Vec<(String, u64, u64)> {
    let place = |entry: &Entry| {
        let Place {
            storage, first, offset, ..
        } = &entry.place;
        (storage.clone(), *first, *offset)
    };
    matched.entries().map(place).collect()
}

fn preferred(fitting: &[String]) -> Option<String> {
    if let [only] = fitting {
        return Some(only.clone());
    }
    let is_trained = |path: &&String| path.is_empty() || path.split('.').all(|key| TRAINED.contains(&key));
    let mut trained = fitting.iter().filter(is_trained);
    let first = trained.next().cloned();
    first.filter(|_| trained.next().is_none())
}

fn count_weights(dict: &TensorDict) -> usize {
    let is_weight = |entry: &&Entry| entry.key == "weight" || entry.key.ends_with(".weight");
    dict.entries.iter().filter(is_weight).count()
}

/// The paths of modules in dicts, such as `ema_model`, and of what holds dicts.
fn inner_paths(dicts: &[TensorDict]) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut seen = HashSet::new();
    for dict in dicts {
        let outer = dict.path.match_indices('.').map(|(dot, _)| dict.path[..dot].to_owned());
        let modules = dict.entries.iter().flat_map(|entry| {
            let dots = entry.key.match_indices('.');
            dots.map(|(dot, _)| within(&dict.path, &entry.key[..dot]))
        });
        for path in outer.chain(modules) {
            if paths.len() == MAX_PARTS {
                return paths;
            }
            if seen.insert(path.clone()) {
                paths.push(path);
            }
        }
    }
    paths
}

fn within(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// The tensors of a dict whose keys begin with the rest of a path.
fn part(dict: &TensorDict, path: &str) -> Option<TensorDict> {
    let rest = match dict.path.as_str() {
        "" => path,
        outer => path.strip_prefix(outer)?.strip_prefix('.')?,
    };
    let is_part = |entry: &&Entry| entry.key.strip_prefix(rest).is_some_and(|key| key.starts_with('.'));
    let entries: Vec<Entry> = dict.entries.iter().filter(is_part).cloned().collect();
    (!entries.is_empty()).then(|| TensorDict {
        path: path.to_owned(),
        entries,
        is_ordered: dict.is_ordered,
    })
}

/// The dicts under a path as one, such as those of an encoder and a classifier.
fn joined(dicts: &[TensorDict], path: &str) -> Option<TensorDict> {
    let rest = |dict: &TensorDict| {
        let rest = match path {
            "" => Some(dict.path.as_str()),
            _ => dict.path.strip_prefix(path)?.strip_prefix('.'),
        };
        rest.map(str::to_owned)
    };
    let inner: Vec<(String, &TensorDict)> = dicts.iter().filter_map(|dict| Some((rest(dict)?, dict))).collect();
    let entries = inner.iter().flat_map(|(rest, dict)| {
        dict.entries.iter().map(move |entry| Entry {
            key: within(rest, &entry.key),
            ..entry.clone()
        })
    });
    (inner.len() > 1).then(|| TensorDict {
        path: path.to_owned(),
        entries: entries.collect(),
        is_ordered: true,
    })
}
