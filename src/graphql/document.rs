//! Which operation of a document a request means.

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition};

/// The operation of a name, or the only one; none where nothing will be executed because it cannot be told which is meant.
pub(super) fn meant<'d>(document: &'d ExecutableDocument, name: Option<&str>) -> Option<&'d OperationDefinition> {
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
    fn an_operation_is_meant_by_its_name_or_for_being_the_only_one() {
        let meant = |document: &str, name| super::meant(&parse_query(document).unwrap(), name).map(|found| found.ty);
        let both = "query a { x } mutation b { y }";
        assert_eq!(meant(both, Some("b")), Some(OperationType::Mutation));
        assert_eq!(meant(both, Some("a")), Some(OperationType::Query));
        assert_eq!(meant("mutation { y }", None), Some(OperationType::Mutation));
        assert_eq!(meant("mutation b { y }", None), Some(OperationType::Mutation));
        assert_eq!(
            [meant(both, None), meant(both, Some("c")), meant("{ x }", Some("a"))],
            [None; 3]
        );
    }
}
