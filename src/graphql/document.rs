//! Finds the operation of a document that a request selects, and all its fields.

use async_graphql::Positioned;
use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};

/// The operation with the given name, or the document's only operation if no name is given. `None` if the choice is
/// unknown or ambiguous; such a request is not executed.
pub(super) fn selected_operation<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Option<&'d OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(own, _)| own.is_some_and(|own| own.as_str() == name)),
        None => operations.next().filter(|_| document.operations.iter().count() == 1),
    };
    found.map(|(_, operation)| &operation.node)
}

/// All fields of a document, each once.
pub(super) fn fields(document: &ExecutableDocument) -> Vec<&Positioned<Field>> {
    let operations = document
        .operations
        .iter()
        .map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document
        .fragments
        .values()
        .map(|fragment| &fragment.node.selection_set.node);
    let mut found = Vec::new();
    operations
        .chain(fragments)
        .for_each(|selections| collect(selections, &mut found));
    found
}

fn collect<'d>(selections: &'d SelectionSet, found: &mut Vec<&'d Positioned<Field>>) {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => {
                found.push(field);
                collect(&field.node.selection_set.node, found);
            }
            Selection::InlineFragment(inline) => collect(&inline.node.selection_set.node, found),
            Selection::FragmentSpread(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::OperationType;

    #[test]
    fn an_operation_is_selected_by_its_name_or_by_being_the_only_one() {
        let selected = |document: &str, name| {
            super::selected_operation(&parse_query(document).unwrap(), name).map(|operation| operation.ty)
        };
        let both = "query a { x } mutation b { y }";
        assert_eq!(selected(both, Some("b")), Some(OperationType::Mutation));
        assert_eq!(selected(both, Some("a")), Some(OperationType::Query));
        assert_eq!(selected("mutation { y }", None), Some(OperationType::Mutation));
        assert_eq!(selected("mutation b { y }", None), Some(OperationType::Mutation));
        assert_eq!(
            [
                selected(both, None),
                selected(both, Some("c")),
                selected("{ x }", Some("a"))
            ],
            [None; 3]
        );
    }
}
