//! Reads a list of blocks from JSON.
//!
//! JSON with a syntax error has one error, with its line and column. Any other JSON is read as far as possible, so that
//! the errors of all blocks are reported together.

use serde_json::error::Category;
use serde_json::{Map, Value};

use super::Block;
use super::catalogue::{KindSpec, find_kind};
use super::check_block::{BlockOutcome, check_block};
use super::error::{BlockError, ErrorRule, Problem, format_value, truncated};
use super::network_rules::missing_main;
use super::parameter::ParameterType;
use super::syntax;
use crate::nearest::nearest;

/// All keys of blocks. `main` and `shortcut` contain blocks.
const KEYS: [&str; 4] = ["kind", "parameters", "main", "shortcut"];

/// The shortest list of blocks.
const EXAMPLE: &str = r#"[{"kind": "Flatten"}]"#;

/// Why a file is not a list of blocks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is not JSON, or it is JSON of something else: what was found and expected, and where.
    #[error("{0}")]
    Json(String),
    /// The errors of all blocks, in the order of the file.
    #[error("{}", .0.iter().map(BlockError::to_string).collect::<Vec<_>>().join("\n"))]
    Blocks(Vec<BlockError>),
}

/// Reads a list of blocks. Whether the blocks fit each other and a data set is left to [`lower`](super::lower()).
///
/// # Errors
/// The syntax error, or all errors of all blocks.
pub fn parse(json: &[u8]) -> Result<Vec<Block>, ParseError> {
    let text = syntax::text(json).map_err(ParseError::Json)?;
    let first = match serde_json::from_str(text) {
        Ok(blocks) => return Ok(blocks),
        Err(error) => error,
    };
    let syntax_error = |error: &serde_json::Error| ParseError::Json(syntax::describe(text, error));
    if first.classify() != Category::Data {
        return Err(syntax_error(&first));
    }
    let items = match serde_json::from_str::<Value>(text).map_err(|error| syntax_error(&error))? {
        Value::Array(items) => items,
        other => {
            let found = format_value(&other);
            return Err(ParseError::Json(format!(
                "it must be a list such as {EXAMPLE}; it is {found}"
            )));
        }
    };
    let mut errors = Vec::new();
    check_list(&items, None, &mut errors);
    if errors.is_empty() {
        // Such as a key that occurs twice, of which only the last value is left here.
        return Err(syntax_error(&first));
    }
    Err(ParseError::Blocks(errors))
}

/// A block by its path, and by the index of the outermost block that contains it.
struct Place {
    path: String,
    index: usize,
}

/// Collects the errors of a list. The parent is the block that contains it, with the key of the list there.
fn check_list(items: &[Value], parent: Option<(&Place, &str)>, errors: &mut Vec<BlockError>) {
    for (position, item) in items.iter().enumerate() {
        let place = match parent {
            None => Place {
                path: position.to_string(),
                index: position,
            },
            Some((parent, key)) => Place {
                path: format!("{}.{key}.{position}", parent.path),
                index: parent.index,
            },
        };
        match item {
            Value::Object(object) => check_object(object, &place, errors),
            other => {
                let found = format_value(other);
                let message = format!("A block must be an object such as {{\"kind\": \"Flatten\"}}; it is {found}.");
                let problem = Problem::new(ErrorRule::WrongType, message);
                errors.push(
                    problem
                        .expected("an object")
                        .actual(found)
                        .at(&place.path, place.index, ""),
                );
            }
        }
    }
}

/// Collects the errors of a block, and of the blocks inside it.
fn check_object(object: &Map<String, Value>, place: &Place, errors: &mut Vec<BlockError>) {
    let mut problems = Vec::new();
    let kind = object.get("kind").and_then(Value::as_str);
    let spec = kind.and_then(find_kind);
    match object.get("kind") {
        Some(Value::String(_)) => {}
        Some(other) => problems.push(wrong_type("kind", "a string such as \"Flatten\"", other)),
        None if object.keys().any(|key| nearest_key(spec, key) == Some("kind")) => {}
        None => problems.push(missing_kind()),
    }

    let mut block = Block {
        kind: kind.unwrap_or_default().to_owned(),
        ..Block::default()
    };
    // What is missing may be what a misspelt key was meant to be.
    let mut may_be_misspelt = false;
    match object.get("parameters") {
        None => {}
        Some(Value::Object(parameters)) => block.parameters.clone_from(parameters),
        Some(other) => {
            may_be_misspelt = true;
            problems.push(wrong_type("parameters", "an object such as {\"bias\": false}", other));
        }
    }
    for (key, value) in object.iter().filter(|(key, _)| !KEYS.contains(&key.as_str())) {
        problems.push(unknown_key(spec, key));
        if spec.is_some_and(|spec| spec.parameter(key).is_some()) {
            block.parameters.entry(key).or_insert_with(|| value.clone());
        } else {
            may_be_misspelt = true;
        }
    }
    let mut lists = Vec::new();
    for (key, branch) in [("main", &mut block.main), ("shortcut", &mut block.shortcut)] {
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                *branch = Some(Vec::new());
                lists.push((key, items));
            }
            Some(other) => {
                *branch = Some(Vec::new());
                problems.push(wrong_type(key, "a list of blocks", other));
            }
        }
    }

    if kind.is_some() {
        let checked = check_block(&block, None);
        problems.extend(
            checked
                .problems
                .into_iter()
                .filter(|p| !may_be_misspelt || !p.is_missing()),
        );
        let is_empty = lists.iter().any(|(key, items)| *key == "main" && items.is_empty());
        let is_missing = block.main.is_none() && !may_be_misspelt;
        if matches!(checked.outcome, BlockOutcome::Residual) && (is_empty || is_missing) {
            problems.push(missing_main(is_empty));
        }
    }
    let located = |problem: Problem| problem.at(&place.path, place.index, &block.kind);
    errors.extend(problems.into_iter().map(located));
    for (key, items) in lists {
        check_list(items, Some((place, key)), errors);
    }
}

/// The keys that a kind of block accepts; all keys for an unknown kind.
fn keys_of(kind: Option<&KindSpec>) -> &'static [&'static str] {
    let is_residual = |kind: &KindSpec| kind.parameters.iter().any(|spec| spec.value == ParameterType::Blocks);
    match kind {
        None => &KEYS,
        Some(kind) if is_residual(kind) => &["kind", "main", "shortcut"],
        Some(_) => &["kind", "parameters"],
    }
}

/// The key that an unknown key was probably meant to be.
fn nearest_key(kind: Option<&KindSpec>, key: &str) -> Option<&'static str> {
    nearest(key, keys_of(kind).iter().copied())
}

fn unknown_key(kind: Option<&KindSpec>, key: &str) -> Problem {
    let shown = truncated(key);
    let owner = kind.map_or("A block", |kind| kind.name);
    let keys = keys_of(kind)
        .iter()
        .map(|key| format!("`{key}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let parameters: Vec<&str> = kind
        .map(|kind| kind.plain_parameters().map(|spec| spec.name).collect())
        .unwrap_or_default();
    let mut message = if parameters.contains(&key) {
        format!("`{shown}` is a parameter of {owner}; write it in `parameters`. The keys of {owner} are {keys}")
    } else if let Some(nearest) = nearest_key(kind, key) {
        format!("{owner} has no key `{shown}`; did you mean `{nearest}`? Its keys are {keys}")
    } else if let Some(nearest) = nearest(key, parameters.iter().copied()) {
        format!(
            "{owner} has no key `{shown}`; did you mean `{nearest}`, which is written in `parameters`? Its keys are \
             {keys}"
        )
    } else {
        format!("{owner} has no key `{shown}`; its keys are {keys}")
    };
    if !parameters.is_empty() {
        message.push_str(&format!(", and its parameters are {}", parameters.join(", ")));
    }
    message.push('.');
    Problem::new(ErrorRule::UnknownParameter, message)
        .for_parameter(key)
        .expected(keys)
        .actual(shown)
}

fn wrong_type(key: &str, expected: &str, value: &Value) -> Problem {
    let found = format_value(value);
    let message = format!("`{key}` must be {expected}; it is {found}.");
    Problem::new(ErrorRule::WrongType, message)
        .for_parameter(key)
        .expected(expected)
        .actual(found)
}

fn missing_kind() -> Problem {
    let message = "The block has no `kind`; write it as in {\"kind\": \"Flatten\"}.";
    Problem::new(ErrorRule::MissingParameter, message)
        .for_parameter("kind")
        .expected("the kind of the block")
}
