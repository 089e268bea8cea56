//! What a request is about to change, for the record of changes.

use std::convert::Infallible;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{Directive, ExecutableDocument, Field, OperationType, Selection, SelectionSet};
use async_graphql::{Name, PathSegment, Positioned, Response, Value as ConstValue, Variables};
use indexmap::IndexMap;
use serde_json::Value;

use super::document::meant;
use super::error::code_of;
use super::upload::PLACEHOLDER;

/// Characters of a text that are written down.
const MAX_TEXT_LENGTH: usize = 200;

/// One mutation of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its name.
    pub mutation: String,
    /// Its name in the answer.
    key: String,
    /// The plain members of its input.
    pub input: Value,
}

impl Change {
    /// The code of its error in a complete response, if it has one there or nothing was executed at all.
    pub fn code<'a>(&self, response: &'a Response) -> Option<&'a str> {
        let of_this = |path: &[PathSegment]| match path.first() {
            None => true,
            Some(PathSegment::Field(key)) => *key == self.key,
            Some(PathSegment::Index(_)) => false,
        };
        response
            .errors
            .iter()
            .find(|error| of_this(&error.path))
            .and_then(code_of)
    }
}

/// Whether a response is that to a request which was executed. One that is against the rules of GraphQL is not: its errors lie
/// at no place of the answer.
pub fn is_executed(response: &Response) -> bool {
    response.is_ok() || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The mutations of a document that has been executed, in their order; none of a query.
pub fn changes(document: &str, name: Option<&str>, variables: &Variables) -> Vec<Change> {
    let Ok(document) = parse_query(document) else {
        return Vec::new();
    };
    let operation = meant(&document, name).filter(|operation| operation.ty == OperationType::Mutation);
    let Some(operation) = operation else {
        return Vec::new();
    };
    let mut found = Vec::new();
    collect(&document, &operation.selection_set.node, variables, &mut found);
    found
}

fn collect(document: &ExecutableDocument, selections: &SelectionSet, variables: &Variables, found: &mut Vec<Change>) {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) if field.node.name.node.starts_with("__") => {}
            Selection::Field(field) if is_left_out(&field.node.directives, variables) => {}
            Selection::InlineFragment(inline) if is_left_out(&inline.node.directives, variables) => {}
            Selection::FragmentSpread(spread) if is_left_out(&spread.node.directives, variables) => {}
            Selection::Field(field) => found.push(change(&field.node, variables)),
            Selection::InlineFragment(inline) => collect(document, &inline.node.selection_set.node, variables, found),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    collect(document, &fragment.node.selection_set.node, variables, found);
                }
            }
        }
    }
}

/// As much of a text as is written down, without the one character that PostgreSQL cannot keep.
fn kept(text: &str) -> String {
    let characters = text.chars().take(MAX_TEXT_LENGTH);
    characters
        .map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Whether `@skip` or `@include` say so.
fn is_left_out(directives: &[Positioned<Directive>], variables: &Variables) -> bool {
    directives.iter().any(|directive| {
        let condition = directive.node.get_argument("if");
        let known = condition.and_then(|condition| condition.node.clone().into_const_with(given(variables)).ok());
        match directive.node.name.node.as_str() {
            "skip" => known == Some(ConstValue::Boolean(true)),
            "include" => known == Some(ConstValue::Boolean(false)),
            _ => false,
        }
    })
}

/// What a variable stands for: null if nothing is given.
fn given(variables: &Variables) -> impl Fn(Name) -> Result<ConstValue, Infallible> {
    |name| Ok(variables.get(&name).cloned().unwrap_or_default())
}

fn change(field: &Field, variables: &Variables) -> Change {
    let without_lists = |name: Name| Ok::<_, Infallible>(variables.get(&name).map(shallow).unwrap_or_default());
    let input = field.get_argument("input");
    let input = input.and_then(|input| input.node.clone().into_const_with(without_lists).ok());
    let members = match input {
        Some(ConstValue::Object(members)) => members,
        _ => IndexMap::new(),
    };
    let written = members
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), plain(value)?)));
    Change {
        mutation: field.name.node.to_string(),
        key: field.response_key().node.to_string(),
        input: Value::Object(written.collect()),
    }
}

/// A value without what is in its lists and objects, which may be megabytes that are not written down.
fn shallow(value: &ConstValue) -> ConstValue {
    let flat = |value: &ConstValue| match value {
        ConstValue::List(_) | ConstValue::Object(_) => ConstValue::Null,
        plain => plain.clone(),
    };
    match value {
        ConstValue::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), flat(value)));
            ConstValue::Object(members.collect())
        }
        other => flat(other),
    }
}

/// What is neither a list nor an object, a long text cut off.
fn plain(value: &ConstValue) -> Option<Value> {
    match value {
        // What stands for a file.
        ConstValue::String(text) if text.starts_with(PLACEHOLDER) => None,
        ConstValue::String(text) => Some(kept(text).into()),
        ConstValue::Enum(name) => Some(kept(name).into()),
        ConstValue::Boolean(is) => Some((*is).into()),
        ConstValue::Number(number) => Some(Value::Number(number.clone())),
        ConstValue::Null | ConstValue::Binary(_) | ConstValue::List(_) | ConstValue::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_mutation_is_found_with_the_plain_members_of_its_input() {
        let document = "mutation($input: I!, $name: String!) { a: createModel(input: $input) { model { id } } ...rest }
            fragment rest on Mutation { b: createModel(input: {}) @skip(if: true) { __typename } deleteModel(input: { id: $name, list: [1], deep: { x: 1 } }) { __typename } }";
        let variables = json!({ "input": { "name": "x".repeat(300), "tags": ["t"], "count": 3 }, "name": "n\u{0}" });
        let found: Vec<_> = changes(document, None, &Variables::from_json(variables))
            .into_iter()
            .map(|change| (change.mutation, change.key, change.input))
            .collect();
        let expected = [
            (
                "createModel".to_owned(),
                "a".to_owned(),
                json!({ "name": "x".repeat(MAX_TEXT_LENGTH), "count": 3 }),
            ),
            (
                "deleteModel".to_owned(),
                "deleteModel".to_owned(),
                json!({ "id": "n\u{fffd}" }),
            ),
        ];
        assert_eq!(found, expected);
        assert_eq!(changes("{ createModel }", None, &Variables::default()), []);
    }
}
