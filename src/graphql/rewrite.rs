//! Rewrites valid documents so that async-graphql executes them as the specification says.
//!
//! - A variable without a value counts as if the argument or input field that it stands for were left out (section 6.4.1),
//!   so that a default applies. async-graphql takes it for null.
//! - The field of a subscription may come through fragments (section 6.2.3). async-graphql sees only plain fields.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Positioned, Request};
use async_graphql_value::Value;

use super::document::selected_operation;

/// The type of subscriptions.
const SUBSCRIPTION: &str = "Subscription";

/// Rewrites the document of a request, if it needs it. Call this only for valid documents.
pub(super) fn rewrite(request: &mut Request) {
    let name = request.operation_name.clone();
    let given: HashSet<String> = request.variables.keys().map(ToString::to_string).collect();
    let Ok(document) = request.parsed_query() else {
        return;
    };
    let Some(operation) = selected_operation(document, name.as_deref()) else {
        return;
    };
    let omitted = omitted_variables(operation, &given);
    let is_spread = |selection: &Positioned<Selection>| !matches!(selection.node, Selection::Field(_));
    let has_spread_root =
        operation.ty == OperationType::Subscription && operation.selection_set.node.items.iter().any(is_spread);
    if omitted.is_empty() && !has_spread_root {
        return;
    }
    let mut document = document.clone();
    if !omitted.is_empty() {
        leave_out(&mut document, &omitted);
    }
    if has_spread_root {
        gather_roots(&mut document);
    }
    request.set_parsed_query(document);
}

/// The variables of an operation without a value. One that must have a value is an error, which its type tells.
fn omitted_variables(operation: &OperationDefinition, given: &HashSet<String>) -> HashSet<Name> {
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    let omitted = definitions.filter(|definition| {
        definition.var_type.node.nullable
            && definition.default_value.is_none()
            && !given.contains(definition.name.node.as_str())
    });
    omitted.map(|definition| definition.name.node.clone()).collect()
}

/// Other operations of the document are not executed, so it does not matter what is left out of them.
fn leave_out(document: &mut ExecutableDocument, omitted: &HashSet<Name>) {
    for operation in operations_mut(document) {
        operation
            .variable_definitions
            .retain(|definition| !omitted.contains(&definition.node.name.node));
        leave_out_of_selections(&mut operation.selection_set.node, omitted);
    }
    for fragment in document.fragments.values_mut() {
        leave_out_of_selections(&mut fragment.node.selection_set.node, omitted);
    }
}

fn leave_out_of_selections(selections: &mut SelectionSet, omitted: &HashSet<Name>) {
    for selection in &mut selections.items {
        match &mut selection.node {
            Selection::Field(field) => {
                let arguments = &mut field.node.arguments;
                arguments.retain(|(_, value)| !is_omitted(&value.node, omitted));
                arguments
                    .iter_mut()
                    .for_each(|(_, value)| leave_out_of_value(&mut value.node, omitted));
                leave_out_of_selections(&mut field.node.selection_set.node, omitted);
            }
            Selection::InlineFragment(inline) => {
                leave_out_of_selections(&mut inline.node.selection_set.node, omitted);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// An input field is left out; an entry of a list becomes null.
fn leave_out_of_value(value: &mut Value, omitted: &HashSet<Name>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !is_omitted(value, omitted));
            fields.values_mut().for_each(|value| leave_out_of_value(value, omitted));
        }
        Value::List(entries) => {
            for entry in entries {
                if is_omitted(entry, omitted) {
                    *entry = Value::Null;
                }
                leave_out_of_value(entry, omitted);
            }
        }
        _ => {}
    }
}

fn is_omitted(value: &Value, omitted: &HashSet<Name>) -> bool {
    matches!(value, Value::Variable(name) if omitted.contains(name))
}

/// Puts the fields of fragments in the place of the fragments. Validation allows no `@skip` and `@include` there.
fn gather_roots(document: &mut ExecutableDocument) {
    let fragments = document.fragments.clone();
    let subscriptions = operations_mut(document).filter(|operation| operation.ty == OperationType::Subscription);
    for operation in subscriptions {
        let items = std::mem::take(&mut operation.selection_set.node.items);
        gather(items, &fragments, &mut operation.selection_set.node.items);
    }
    // They could be spread nowhere else, and async-graphql refuses fragments that are not spread.
    let is_root = |fragment: &FragmentDefinition| fragment.type_condition.node.on.node == SUBSCRIPTION;
    document.fragments.retain(|_, fragment| !is_root(&fragment.node));
}

fn gather(
    items: Vec<Positioned<Selection>>,
    fragments: &HashMap<Name, Positioned<FragmentDefinition>>,
    fields: &mut Vec<Positioned<Selection>>,
) {
    for item in items {
        match item.node {
            Selection::Field(_) => fields.push(item),
            Selection::InlineFragment(inline) => gather(inline.node.selection_set.node.items, fragments, fields),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = fragments.get(&spread.node.fragment_name.node) {
                    gather(fragment.node.selection_set.node.items.clone(), fragments, fields);
                }
            }
        }
    }
}

fn operations_mut(document: &mut ExecutableDocument) -> impl Iterator<Item = &mut OperationDefinition> {
    let (single, multiple) = match &mut document.operations {
        DocumentOperations::Single(operation) => (Some(operation), None),
        DocumentOperations::Multiple(operations) => (None, Some(operations.values_mut())),
    };
    let operations = single.into_iter().chain(multiple.into_iter().flatten());
    operations.map(|operation| &mut operation.node)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::Variables;
    use serde_json::json;

    use super::*;

    /// The document of a request after it was rewritten.
    fn rewritten(document: &str, variables: serde_json::Value) -> ExecutableDocument {
        let mut request = Request::new(document).variables(Variables::from_json(variables));
        rewrite(&mut request);
        request.parsed_query().unwrap().clone()
    }

    fn arguments(document: &ExecutableDocument) -> Vec<String> {
        let (_, operation) = document.operations.iter().next().unwrap();
        let Selection::Field(field) = &operation.node.selection_set.node.items[0].node else {
            return Vec::new();
        };
        let arguments = field.node.arguments.iter();
        arguments
            .map(|(name, value)| format!("{}: {}", name.node, value.node))
            .collect()
    }

    #[test]
    fn an_argument_whose_variable_has_no_value_is_left_out() {
        let document = "query($a: Int, $b: Int = 1, $c: Int!, $d: [Int]) \
                        { x(a: $a, b: $b, c: $c, d: [$a, 2], e: { f: $a, g: { h: $d }, i: [{ j: $d }] }) }";
        let left = arguments(&rewritten(document, json!({})));
        assert_eq!(left, ["b: $b", "c: $c", "d: [null, 2]", "e: {g: {}, i: [{}]}"]);
        let given = arguments(&rewritten(document, json!({ "a": null, "d": [] })));
        assert_eq!(given[0], "a: $a");
        assert_eq!(given[4], "e: {f: $a, g: {h: $d}, i: [{j: $d}]}");
    }

    #[test]
    fn the_field_of_a_subscription_is_taken_out_of_its_fragments() {
        let document = rewritten(
            "subscription { ... { ...a } } fragment a on Subscription { ...b } fragment b on Subscription { x(y: 1) { ...c } }\
             fragment c on X { z }",
            json!({}),
        );
        assert_eq!(arguments(&document), ["y: 1"]);
        assert_eq!(document.fragments.keys().collect::<Vec<_>>(), ["c"]);
    }
}
