//! The mutations of a request, for the audit log: each change has an entry, and all mutations that failed have one together.

use std::convert::Infallible;
use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{Directive, ExecutableDocument, Field, OperationType, Selection, SelectionSet};
use async_graphql::{Name, PathSegment, Positioned, Response, Value as ConstValue, Variables};
use indexmap::IndexMap;
use serde_json::Value;

use super::document::selected_operation;
use super::execute::Caller;
use super::placeholder::PLACEHOLDER;
use scv_api::READ_MUTATIONS;
use scv_api::error::code_of;
use scv_domain::access::NewAuditEntry;
use scv_service::CurrentChange;

/// The longest text that the log keeps, in characters.
const MAX_TEXT_LENGTH: usize = 200;

/// One mutation of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its name.
    pub mutation: String,
    /// Its key in the response.
    key: String,
    /// The scalar members of its input.
    pub input: Value,
}

impl Change {
    /// The code of its error: one of this mutation, or one of the whole request. The response must have all its codes;
    /// see [`add_missing_codes`](super::error::add_missing_codes).
    pub fn code<'a>(&self, response: &'a Response) -> Option<&'a str> {
        let concerns_this = |path: &[PathSegment]| match path.first() {
            None => true,
            Some(PathSegment::Field(key)) => *key == self.key,
            Some(PathSegment::Index(_)) => false,
        };
        response
            .errors
            .iter()
            .find(|error| concerns_this(&error.path))
            .and_then(code_of)
    }
}

/// The changes of a request, one of which is made at a time.
#[derive(Debug, Clone)]
pub(super) struct AuditTrail {
    caller: Caller,
    changes: Arc<[Change]>,
    current: CurrentChange,
}

impl AuditTrail {
    /// The changes that a caller requests.
    pub(super) fn new(caller: Caller, changes: Vec<Change>) -> Self {
        Self {
            caller,
            changes: changes.into(),
            current: CurrentChange::default(),
        }
    }

    /// What transactions look at.
    pub(super) fn current(&self) -> CurrentChange {
        self.current.clone()
    }

    /// The mutation with a key in the response begins.
    pub(super) fn begin(&self, key: &str) {
        let change = self.changes.iter().find(|change| change.key == key);
        self.current.begin(change.map(|change| self.entry(change)));
    }

    /// Whether a token that allows only to read allows all of it.
    pub(super) fn only_reads(&self) -> bool {
        self.changes
            .iter()
            .all(|change| READ_MUTATIONS.contains(&change.mutation.as_str()))
    }

    /// The entry of all mutations that failed, if any did.
    pub(super) fn failure(&self, response: &Response) -> Option<NewAuditEntry> {
        let mut failed = self
            .changes
            .iter()
            .filter_map(|change| Some((change, change.code(response)?)));
        let (first, code) = failed.next()?;
        Some(NewAuditEntry {
            code: Some(code.to_owned()),
            further_failures: failed.count() as u32,
            ..self.entry(first)
        })
    }

    fn entry(&self, change: &Change) -> NewAuditEntry {
        NewAuditEntry {
            access: self.caller.access,
            address: self.caller.address.map(|address| address.to_string()),
            mutation: change.mutation.clone(),
            input: change.input.clone(),
            code: None,
            further_failures: 0,
        }
    }
}

/// Whether the request of a response was executed. An invalid document is not executed, so the errors of its response
/// have no path.
pub fn is_executed(response: &Response) -> bool {
    response.is_ok() || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The mutations of an executed document, in their order; empty for a query.
pub fn changes(document: &str, name: Option<&str>, variables: &Variables) -> Vec<Change> {
    let Ok(document) = parse_query(document) else {
        return Vec::new();
    };
    let operation = selected_operation(&document, name).filter(|operation| operation.ty == OperationType::Mutation);
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
            Selection::Field(field) if is_skipped(&field.node.directives, variables) => {}
            Selection::InlineFragment(inline) if is_skipped(&inline.node.directives, variables) => {}
            Selection::FragmentSpread(spread) if is_skipped(&spread.node.directives, variables) => {}
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

/// A text as the log keeps it: cut off after [`MAX_TEXT_LENGTH`], without NUL, which PostgreSQL cannot store.
fn loggable(text: &str) -> String {
    let characters = text.chars().take(MAX_TEXT_LENGTH);
    characters
        .map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Whether `@skip` or `@include` excludes a selection.
fn is_skipped(directives: &[Positioned<Directive>], variables: &Variables) -> bool {
    directives.iter().any(|directive| {
        let condition = directive.node.get_argument("if");
        let known = condition.and_then(|condition| condition.node.clone().into_const_with(resolve(variables)).ok());
        match directive.node.name.node.as_str() {
            "skip" => known == Some(ConstValue::Boolean(true)),
            "include" => known == Some(ConstValue::Boolean(false)),
            _ => false,
        }
    })
}

/// Resolves variables; one without a value is null.
fn resolve(variables: &Variables) -> impl Fn(Name) -> Result<ConstValue, Infallible> {
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
    let scalars = members
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), scalar(value)?)));
    Change {
        mutation: field.name.node.to_string(),
        key: field.response_key().node.to_string(),
        input: Value::Object(scalars.collect()),
    }
}

/// A value without the contents of its lists and objects. The log omits those, and they may be megabytes.
fn shallow(value: &ConstValue) -> ConstValue {
    let flat = |value: &ConstValue| match value {
        ConstValue::List(_) | ConstValue::Object(_) => ConstValue::Null,
        scalar => scalar.clone(),
    };
    match value {
        ConstValue::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), flat(value)));
            ConstValue::Object(members.collect())
        }
        other => flat(other),
    }
}

/// A scalar in the form that the log keeps; `None` for null, lists, objects and files.
fn scalar(value: &ConstValue) -> Option<Value> {
    match value {
        // A placeholder for a file.
        ConstValue::String(text) if text.starts_with(PLACEHOLDER) => None,
        ConstValue::String(text) => Some(loggable(text).into()),
        ConstValue::Enum(name) => Some(loggable(name).into()),
        ConstValue::Boolean(is) => Some((*is).into()),
        ConstValue::Number(number) => Some(Value::Number(number.clone())),
        ConstValue::Null | ConstValue::Binary(_) | ConstValue::List(_) | ConstValue::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;
    use crate::graphql::execute::error_response;
    use scv_api::error::code;
    use scv_domain::access::Access;

    #[test]
    fn each_mutation_is_logged_with_the_scalar_members_of_its_input() {
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

    #[test]
    fn mutations_that_fail_together_have_one_entry() {
        let document = "mutation { a: createModel(input: { name: \"1\" }) { x } b: deleteModel(input: {}) { x } c: createModel { x } }";
        let caller = Caller {
            access: Access::FULL,
            address: None,
        };
        let trail = AuditTrail::new(caller, changes(document, None, &Variables::default()));
        assert_eq!(trail.failure(&Response::default()), None);
        let entry = trail.failure(&error_response(code::TIMEOUT, "too long")).unwrap();
        assert_eq!(
            (entry.mutation.as_str(), entry.code.as_deref(), entry.further_failures),
            ("createModel", Some(code::TIMEOUT), 2)
        );
    }
}
