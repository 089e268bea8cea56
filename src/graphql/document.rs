//! Finds the operation of a document that a request selects.

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};

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
