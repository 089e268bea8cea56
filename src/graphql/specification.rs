//! Validates requests as the specification requires. async-graphql's own validation leaves out some of its rules and refuses
//! values that it allows.

use std::collections::HashSet;
use std::sync::LazyLock;

use apollo_compiler::ast::{Argument, Definition, DirectiveList, Document, Selection, Value};
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::{Parser, SourceMap};
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::{GraphQLError, JsonMap};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Name, Node, Schema};
use async_graphql::{Pos, Request, ServerError, Variables};

use super::MAX_DOCUMENT_DEPTH;
use scv_api::error::{code, with_code};
use suggestion::suggestion;

mod suggestion;

/// The published schema. A test shows that it is valid.
static SCHEMA: LazyLock<Result<Valid<Schema>, String>> = LazyLock::new(|| {
    Schema::parse_and_validate(scv_api::sdl(), "schema.graphql").map_err(|invalid| invalid.errors.to_string())
});

/// How deep the parser goes. It counts the levels of values and types as well as those of fields, so the documents that
/// async-graphql's parser takes are within this limit.
const MAX_PARSED_DEPTH: usize = 4 * MAX_DOCUMENT_DEPTH;

/// The longest message about the value of a variable, in characters.
const MAX_MESSAGE_LENGTH: usize = 400;

/// Checks the document of a request, and its variables against the operation that it selects. Call this only for documents
/// that are within the limits.
///
/// # Errors
/// Everything that the document or a variable violates; with the nearest names in the schema if `has_suggestions`.
pub(super) fn check(request: &Request, has_suggestions: bool) -> Result<(), Vec<ServerError>> {
    let Ok(schema) = &*SCHEMA else {
        return Ok(());
    };
    check_against(schema, request).map_err(|errors| with_suggestions(schema, errors, has_suggestions))
}

/// Checks the document of a request alone: its variables may not be there yet.
///
/// # Errors
/// As for [`check`].
pub(super) fn check_document(request: &Request, has_suggestions: bool) -> Result<(), Vec<ServerError>> {
    let Ok(schema) = &*SCHEMA else {
        return Ok(());
    };
    let valid = valid_document(schema, &request.query).map(drop);
    valid.map_err(|errors| with_suggestions(schema, errors, has_suggestions))
}

fn with_suggestions(schema: &Valid<Schema>, errors: Vec<ServerError>, has_suggestions: bool) -> Vec<ServerError> {
    let suggest = |error: ServerError| match suggestion(schema, &error.message) {
        Some(suggestion) if has_suggestions => ServerError {
            message: format!("{}. {suggestion}", error.message),
            ..error
        },
        _ => error,
    };
    errors.into_iter().map(suggest).collect()
}

fn check_against(schema: &Valid<Schema>, request: &Request) -> Result<(), Vec<ServerError>> {
    let document = valid_document(schema, &request.query)?;
    match document.operations.get(request.operation_name.as_deref()) {
        Ok(operation) => check_variables(schema, operation, &document.sources, &request.variables),
        // async-graphql says which operations there are.
        Err(_) => Ok(()),
    }
}

fn valid_document(schema: &Valid<Schema>, document: &str) -> Result<Valid<ExecutableDocument>, Vec<ServerError>> {
    let parsed = Parser::new()
        .recursion_limit(MAX_PARSED_DEPTH)
        .parse_ast(document, "document")
        .map_err(|invalid| errors(&invalid.errors))?;
    let valid = parsed
        .to_executable_validate(schema)
        .map_err(|invalid| errors(&invalid.errors))?;
    let twice = fields_given_twice(&parsed);
    if twice.is_empty() { Ok(valid) } else { Err(twice) }
}

fn errors(diagnostics: &DiagnosticList) -> Vec<ServerError> {
    diagnostics
        .iter()
        .map(|diagnostic| violation(diagnostic.to_json()))
        .collect()
}

fn violation(error: GraphQLError) -> ServerError {
    let place = error.locations.first().map(|at| Pos {
        line: at.line,
        column: at.column,
    });
    with_code(ServerError::new(error.message, place), code::BAD_USER_INPUT)
}

/// Checks that each variable of an operation has a value of its type (section 6.1.2).
fn check_variables(
    schema: &Valid<Schema>,
    operation: &Operation,
    sources: &SourceMap,
    variables: &Variables,
) -> Result<(), Vec<ServerError>> {
    if operation.variables.is_empty() {
        return Ok(());
    }
    let values = serde_json::to_value(variables).and_then(serde_json::from_value::<JsonMap>);
    let values = values.map_err(|error| {
        let message = format!("the variables cannot be read: {error}");
        vec![violation(GraphQLError::new(message, None, sources))]
    })?;
    if coerce_variable_values(schema, operation, &values).is_ok() {
        return Ok(());
    }
    // The library stops at the first error and does not always say where it is, so each variable is checked by itself.
    let errors = operation.variables.iter().filter_map(|variable| {
        let alone = Operation {
            variables: vec![variable.clone()],
            ..operation.clone()
        };
        let error = coerce_variable_values(schema, &alone, &values).err()?;
        let message = format!(
            "variable `${}`: {}",
            variable.name,
            shortened(error.message().to_string())
        );
        Some(violation(GraphQLError::new(message, variable.location(), sources)))
    });
    Err(errors.collect())
}

/// A message that may repeat a whole value.
fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_LENGTH) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The fields that an input object has twice (section 5.6.3), the one rule that the library lacks.
fn fields_given_twice(document: &Document) -> Vec<ServerError> {
    let mut names = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => {
                let defaults = operation
                    .variables
                    .iter()
                    .filter_map(|variable| variable.default_value.as_ref());
                defaults.for_each(|value| names_given_twice(value, &mut names));
                in_directives(&operation.directives, &mut names);
                in_selections(&operation.selection_set, &mut names);
            }
            Definition::FragmentDefinition(fragment) => {
                in_directives(&fragment.directives, &mut names);
                in_selections(&fragment.selection_set, &mut names);
            }
            _ => {}
        }
    }
    let errors = names.into_iter().map(|name| {
        let message = format!("the input field `{name}` is given twice: give it once");
        violation(GraphQLError::new(message, name.location(), &document.sources))
    });
    errors.collect()
}

fn in_selections<'d>(selections: &'d [Selection], names: &mut Vec<&'d Name>) {
    for selection in selections {
        match selection {
            Selection::Field(field) => {
                in_arguments(&field.arguments, names);
                in_directives(&field.directives, names);
                in_selections(&field.selection_set, names);
            }
            Selection::InlineFragment(inline) => {
                in_directives(&inline.directives, names);
                in_selections(&inline.selection_set, names);
            }
            Selection::FragmentSpread(spread) => in_directives(&spread.directives, names),
        }
    }
}

fn in_directives<'d>(directives: &'d DirectiveList, names: &mut Vec<&'d Name>) {
    directives
        .iter()
        .for_each(|directive| in_arguments(&directive.arguments, names));
}

fn in_arguments<'d>(arguments: &'d [Node<Argument>], names: &mut Vec<&'d Name>) {
    arguments
        .iter()
        .for_each(|argument| names_given_twice(&argument.value, names));
}

fn names_given_twice<'d>(value: &'d Value, names: &mut Vec<&'d Name>) {
    match value {
        Value::List(entries) => entries.iter().for_each(|entry| names_given_twice(entry, names)),
        Value::Object(fields) => {
            let mut given = HashSet::new();
            names.extend(
                fields
                    .iter()
                    .map(|(name, _)| name)
                    .filter(|name| !given.insert(name.as_str())),
            );
            fields.iter().for_each(|(_, value)| names_given_twice(value, names));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
