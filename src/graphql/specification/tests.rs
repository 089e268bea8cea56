#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::*;

/// A document for each validation rule of the specification, by the rule's name in the reference implementation: one that
/// violates it and one that comes close.
const RULES: [(&str, &str, &str); 28] = [
    (
        "ExecutableDefinitions",
        "{ __typename } type T { a: Int }",
        "{ __typename }",
    ),
    (
        "FieldsOnCorrectType",
        "{ models { nodes { nope } } }",
        "{ models { nodes { name ... on Node { id } } } }",
    ),
    (
        "FragmentsOnCompositeTypes",
        "{ models { nodes { ... on Int { name } } } }",
        "{ models { nodes { ... on Model { name } } } }",
    ),
    (
        "KnownArgumentNames",
        "{ models(nope: 1) { totalCount } }",
        "{ models(first: 1) { totalCount } }",
    ),
    (
        "KnownDirectives",
        "{ models @nope { totalCount } }",
        "{ models @include(if: true) { totalCount } }",
    ),
    (
        "KnownDirectives, their places",
        "query @skip(if: true) { models { totalCount } }",
        "{ ...f @skip(if: true) } fragment f on Query { models { totalCount } }",
    ),
    (
        "KnownFragmentNames",
        "{ ...nope }",
        "{ ...f } fragment f on Query { __typename }",
    ),
    (
        "KnownTypeNames",
        "query($a: Nope) { models(first: $a) { totalCount } }",
        "query($a: Int) { models(first: $a) { totalCount } }",
    ),
    (
        "LoneAnonymousOperation",
        "{ __typename } query a { __typename }",
        "query b { __typename } query a { __typename }",
    ),
    (
        "NoFragmentCycles",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
        "{ ...a ...b } fragment a on Query { ...b } fragment b on Query { __typename }",
    ),
    (
        "NoUndefinedVariables",
        "query a($first: Int) { ...f } query b { ...f } fragment f on Query { models(first: $first) { totalCount } }",
        "query a($first: Int) { ...f } query b($first: Int) { ...f } fragment f on Query { models(first: $first) { totalCount } }",
    ),
    (
        "NoUnusedFragments",
        "{ __typename } fragment f on Query { __typename }",
        "{ ...f } fragment f on Query { __typename }",
    ),
    (
        "NoUnusedVariables",
        "query($a: Int) { __typename }",
        "query($a: Boolean! = true) { __typename @skip(if: $a) }",
    ),
    (
        "OverlappingFieldsCanBeMerged, other fields",
        "{ x: models { totalCount } x: versions { totalCount } }",
        "{ x: models { totalCount } x: models { nodes { name } } }",
    ),
    (
        "OverlappingFieldsCanBeMerged, other arguments",
        "{ models(first: 1) { totalCount } ... on Query { models(first: 2) { totalCount } } }",
        "{ models(first: 1) { totalCount } ... on Query { models(first: 1) { totalCount } } }",
    ),
    (
        "OverlappingFieldsCanBeMerged, other types",
        "{ node(id: 1) { ... on Model { x: name } ... on Version { x: number } } }",
        "{ node(id: 1) { ... on Model { x: name } ... on Layer { x: name } } }",
    ),
    (
        "PossibleFragmentSpreads",
        "{ node(id: 1) { ... on Query { __typename } } }",
        "{ node(id: 1) { ... on Model { name } } }",
    ),
    (
        "ProvidedRequiredArguments",
        "{ layer { index } }",
        "{ models { totalCount } }",
    ),
    ("ScalarLeafs", "{ models }", "{ models { totalCount } }"),
    (
        "SingleFieldSubscriptions",
        "subscription { a: job(id: 1) { status } b: job(id: 2) { status } }",
        "subscription { ...f } fragment f on Subscription { job(id: 1) { status } }",
    ),
    (
        "SingleFieldSubscriptions, without conditions",
        "subscription($a: Boolean!) { job(id: 1) @skip(if: $a) { status } }",
        "subscription($a: Boolean! = true) { job(id: 1) { status @skip(if: $a) } }",
    ),
    (
        "UniqueArgumentNames",
        "{ models(first: 1, first: 1) { totalCount } }",
        "{ models(first: 1, after: null) { totalCount } }",
    ),
    (
        "UniqueDirectivesPerLocation",
        "{ models @skip(if: true) @skip(if: true) { totalCount } }",
        "{ models @skip(if: true) @include(if: true) { totalCount } }",
    ),
    (
        "UniqueInputFieldNames",
        "{ models(filter: { tags: [\"a\"], tags: [] }) { totalCount } }",
        "{ a: models(filter: { tags: [\"a\"] }) { totalCount } b: models(filter: { tags: [] }) { totalCount } }",
    ),
    (
        "UniqueOperationNames",
        "query a { __typename } query a { __typename }",
        "query a { __typename } query b { __typename }",
    ),
    (
        "UniqueVariableNames",
        "query($a: Int, $a: Int) { models(first: $a) { totalCount } }",
        "query($a: Int, $b: String) { models(first: $a, after: $b) { totalCount } }",
    ),
    (
        "VariablesAreInputTypes",
        "query($a: Model) { models(first: $a) { totalCount } }",
        "query($a: String) { models(filter: { owner: $a }) { totalCount } }",
    ),
    (
        "VariablesInAllowedPosition",
        "query($id: ID) { layer(id: $id) { index } }",
        "query($id: ID = 1) { layer(id: $id) { index } }",
    ),
];

/// Values that a literal of the type may not have, and ones that it may (rule ValuesOfCorrectType).
const VALUES: [(&str, &str); 12] = [
    (
        "{ models(first: \"1\") { totalCount } }",
        "{ models(first: 1) { totalCount } }",
    ),
    (
        "{ models(first: 1.0) { totalCount } }",
        "{ models(first: null) { totalCount } }",
    ),
    (
        "{ models(first: 3000000000) { totalCount } }",
        "{ models(first: -1) { totalCount } }",
    ),
    ("{ models(first: true) { totalCount } }", "{ models { totalCount } }"),
    (
        "{ models(first: [1]) { totalCount } }",
        "{ models(filter: { tags: \"one\" }) { totalCount } }",
    ),
    (
        "{ models(orderBy: { field: \"NAME\" }) { totalCount } }",
        "{ models(orderBy: { field: NAME }) { totalCount } }",
    ),
    (
        "{ models(orderBy: { field: NOPE }) { totalCount } }",
        "{ models(orderBy: { field: ACCURACY }) { totalCount } }",
    ),
    ("{ layer(id: null) { index } }", "{ layer(id: 1) { index } }"),
    ("{ layer(id: 1.5) { index } }", "{ layer(id: \"1\") { index } }"),
    (
        "{ models(filter: { nope: 1 }) { totalCount } }",
        "{ models(filter: {}) { totalCount } }",
    ),
    (
        "{ models(filter: { tags: [null] }) { totalCount } }",
        "{ models(filter: { tags: [] }) { totalCount } }",
    ),
    (
        "query($a: Int = \"x\") { models(first: $a) { totalCount } }",
        "query($a: Int = null) { models(first: $a) { totalCount } }",
    ),
];

fn violations(document: &str, variables: serde_json::Value) -> Vec<ServerError> {
    let request = Request::new(document).variables(Variables::from_json(variables));
    check(&request, true).err().unwrap_or_default()
}

fn messages(document: &str) -> Vec<String> {
    violations(document, json!({}))
        .into_iter()
        .map(|error| error.message)
        .collect()
}

#[test]
fn the_published_schema_is_valid() {
    assert_eq!(SCHEMA.as_ref().err(), None);
}

#[test]
fn each_rule_of_the_specification_is_checked() {
    for (rule, wrong, right) in RULES {
        assert_ne!(messages(wrong), Vec::<String>::new(), "{rule}: {wrong}");
        assert_eq!(messages(right), Vec::<String>::new(), "{rule}: {right}");
    }
}

#[test]
fn literals_have_the_types_of_their_places() {
    for (wrong, right) in VALUES {
        assert_ne!(messages(wrong), Vec::<String>::new(), "{wrong}");
        assert_eq!(messages(right), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn an_input_field_that_is_given_twice_is_found_wherever_it_is() {
    for document in [
        "query($a: ModelFilter = { tags: [], tags: [] }) { models(filter: $a) { totalCount } }",
        "{ ...f } fragment f on Query { ... { models(filter: { tags: [], tags: [] }) { totalCount } } }",
        "mutation { createModel(input: { name: \"a\", name: \"b\" }) { model { id } } }",
    ] {
        let found = messages(document);
        assert!(
            found.iter().any(|message| message.contains("is given twice")),
            "{document}: {found:?}"
        );
    }
    let document = "{\n  models(filter: { tags: [], tags: [] }) { totalCount }\n}";
    assert_eq!(
        violations(document, json!({}))[0].locations,
        [Pos { line: 2, column: 30 }]
    );
}

#[test]
fn a_misspelt_name_gets_a_suggestion_unless_the_schema_is_hidden() {
    for (document, variables, end) in [
        ("{ serverInf { version } }", json!({}), "Did you mean \"serverInfo\"?"),
        (
            "{ models(firt: 1) { totalCount } }",
            json!({}),
            "Did you mean \"first\"?",
        ),
        (
            "{ models @inclde(if: true) { totalCount } }",
            json!({}),
            "Did you mean \"include\"?",
        ),
        (
            "{ models @include(iff: true) { totalCount } }",
            json!({}),
            "Did you mean \"if\"?",
        ),
        (
            "{ models(filter: { tag: [] }) { totalCount } }",
            json!({}),
            "Did you mean \"tags\"?",
        ),
        (
            "{ models(orderBy: { field: NAM }) { totalCount } }",
            json!({}),
            "Did you mean \"NAME\"?",
        ),
        (
            "{ models(orderBy: { colour: 1 }) { totalCount } }",
            json!({}),
            "There are direction, field",
        ),
        (
            "query($a: Strin) { models(after: $a) { totalCount } }",
            json!({}),
            "Did you mean \"String\"?",
        ),
        (
            "{ node(id: 1) { ... on Modl { name } } }",
            json!({}),
            "Did you mean \"Model\"?",
        ),
        (
            "query($a: ModelFilter) { models(filter: $a) { totalCount } }",
            json!({ "a": { "tag": [] } }),
            "Did you mean \"tags\"?",
        ),
        (
            "query($a: ModelOrder) { models(orderBy: $a) { totalCount } }",
            json!({ "a": { "field": "NAM" } }),
            "Did you mean \"NAME\"?",
        ),
    ] {
        let found = violations(document, variables.clone());
        assert!(
            found.iter().any(|error| error.message.ends_with(end)),
            "{document}: {found:?}"
        );
        let request = Request::new(document).variables(Variables::from_json(variables));
        let hidden = check(&request, false).unwrap_err();
        let is_silent =
            |error: &ServerError| !error.message.contains("Did you mean") && !error.message.contains("There are");
        assert!(hidden.iter().all(is_silent), "{document}: {hidden:?}");
    }
}

#[test]
fn a_variable_of_another_type_is_found_at_its_definition() {
    let document = "query(\n  $a: Int\n  $b: ID!\n) { models(first: $a) { totalCount } model(id: $b) { name } }";
    let found = violations(document, json!({ "a": "x".repeat(1_000) }));
    let places: Vec<_> = found.iter().map(|error| error.locations[0].line).collect();
    assert_eq!(places, [2, 3], "{found:?}");
    assert!(
        found.iter().all(|error| error.message.chars().count() < 450),
        "{found:?}"
    );
}
