//! Which operation of a document a request means.

use async_graphql::Name;
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};

/// The operation of a name, or the only one. Where it cannot be told, the first: what is executed then is an error, whose
/// place it is to say so.
pub(super) fn meant<'d>(document: &'d ExecutableDocument, name: Option<&str>) -> Option<&'d OperationDefinition> {
    let operations = || {
        let operations = document.operations.iter();
        operations.map(|(own, operation)| (own.map(Name::as_str), &operation.node))
    };
    let named = operations().find(|(own, _)| name.is_some() && *own == name);
    named.or_else(|| operations().next()).map(|(_, operation)| operation)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::OperationType;

    #[test]
    fn an_operation_is_meant_by_its_name_or_for_being_the_only_one() {
        let meant = |document: &str, name| super::meant(&parse_query(document).unwrap(), name).unwrap().ty;
        let both = "query a { x } mutation b { y }";
        assert_eq!(meant(both, Some("b")), OperationType::Mutation);
        assert_eq!(meant(both, Some("a")), OperationType::Query);
        assert_eq!(meant("mutation { y }", None), OperationType::Mutation);
        assert_eq!(meant("mutation b { y }", None), OperationType::Mutation);
    }
}
