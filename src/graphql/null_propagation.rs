//! Propagates nulls from failed fields.
//!
//! When a non-nullable field fails, its parent object becomes null, and so on outwards to the first nullable place
//! (GraphQL specification, October 2021, section 6.4.4). async-graphql 7 instead omits the field from its object, so
//! that a list of non-nullable objects may hold null.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationType, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::parser::{parse_query, parse_schema};
use async_graphql::{Name, PathSegment, Response, Value};

use super::document::selected_operation;

/// The type of each field, by the name of its object and its own name.
static FIELDS: LazyLock<HashMap<Name, HashMap<Name, Type>>> = LazyLock::new(|| fields_of(&scv_api::sdl()));

fn fields_of(schema: &str) -> HashMap<Name, HashMap<Name, Type>> {
    let definitions = parse_schema(schema)
        .map(|document| document.definitions)
        .unwrap_or_default();
    let types = definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(found) => Some(found.node),
        TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
    });
    let fields = types.filter_map(|found| {
        let fields = match found.kind {
            TypeKind::Object(object) => object.fields,
            TypeKind::Interface(interface) => interface.fields,
            _ => return None,
        };
        let fields = fields
            .into_iter()
            .map(|field| (field.node.name.node, field.node.ty.node));
        Some((found.name.node, fields.collect()))
    });
    fields.collect()
}

/// Sets null wherever the errors of a response require it; `document` and `operation` are those that were executed.
pub fn propagate(response: &mut Response, document: &str, operation: Option<&str>) {
    let paths: Vec<_> = response.errors.iter().map(|error| error.path.clone()).collect();
    if paths.iter().all(Vec::is_empty) {
        return;
    }
    let Ok(document) = parse_query(document) else { return };
    let mut nulled = Nulled::default();
    for path in paths.iter().filter(|path| !path.is_empty()) {
        // An earlier error has set an enclosing value to null already.
        if nulled.encloses(path) {
            continue;
        }
        let prefix = nullable_prefix(&document, operation, path, &response.data);
        set_null(&mut response.data, prefix);
        nulled.add(prefix);
    }
}

/// The values that have been set to null, as a tree of the segments of their paths.
#[derive(Default)]
struct Nulled<'p> {
    is_null: bool,
    fields: HashMap<&'p str, Self>,
    entries: HashMap<usize, Self>,
}

impl<'p> Nulled<'p> {
    /// Whether a value or one that encloses it has been set to null.
    fn encloses(&self, path: &[PathSegment]) -> bool {
        let mut at = self;
        for segment in path {
            let inner = match segment {
                PathSegment::Field(key) => at.fields.get(key.as_str()),
                PathSegment::Index(index) => at.entries.get(index),
            };
            match inner {
                _ if at.is_null => return true,
                Some(inner) => at = inner,
                None => return false,
            }
        }
        at.is_null
    }

    fn add(&mut self, path: &'p [PathSegment]) {
        let last = path.iter().fold(self, |at, segment| match segment {
            PathSegment::Field(key) => at.fields.entry(key).or_default(),
            PathSegment::Index(index) => at.entries.entry(*index).or_default(),
        });
        last.is_null = true;
    }
}

/// The longest prefix of a path that leads to a nullable value.
fn nullable_prefix<'p>(
    document: &ExecutableDocument,
    operation: Option<&str>,
    path: &'p [PathSegment],
    data: &Value,
) -> &'p [PathSegment] {
    let Some(operation) = selected_operation(document, operation) else {
        return &[];
    };
    let root = match operation.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let mut kind = Type {
        base: BaseType::Named(Name::new(root)),
        nullable: true,
    };
    let mut selections = vec![&operation.selection_set.node];
    let (mut value, mut last) = (Some(data), 0);
    for (index, segment) in path.iter().enumerate() {
        let inner = match (segment, &kind.base) {
            (PathSegment::Index(position), BaseType::List(inner)) => {
                value = value.and_then(|value| match value {
                    Value::List(entries) => entries.get(*position),
                    _ => None,
                });
                Type::clone(inner)
            }
            (PathSegment::Field(key), BaseType::Named(name)) => {
                let members = value.and_then(|value| match value {
                    Value::Object(members) => Some(members),
                    _ => None,
                });
                // The concrete type of an interface is known only if `__typename` was requested.
                let concrete = members.and_then(|members| match members.get("__typename") {
                    Some(Value::String(name)) => Some(Name::new(name)),
                    _ => None,
                });
                let mut found = Vec::new();
                for selection in &selections {
                    find_fields(document, selection, concrete.as_ref().unwrap_or(name), key, &mut found);
                }
                let field = found.iter().find_map(|(of, name, _)| FIELDS.get(of)?.get(name));
                let Some(field) = field else { return &path[..last] };
                selections = found.iter().map(|(.., inner)| *inner).collect();
                value = members.and_then(|members| members.get(key.as_str()));
                field.clone()
            }
            _ => return &path[..last],
        };
        if inner.nullable {
            last = index + 1;
        }
        kind = inner;
    }
    &path[..last]
}

/// Finds the fields of a selection with a response key: the type that each belongs to, its name in that type, and its
/// own selection.
fn find_fields<'d>(
    document: &'d ExecutableDocument,
    selections: &'d SelectionSet,
    kind: &Name,
    key: &str,
    found: &mut Vec<(Name, Name, &'d SelectionSet)>,
) {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) if field.node.response_key().node == key => {
                let inner = &field.node.selection_set.node;
                found.push((kind.clone(), field.node.name.node.clone(), inner));
            }
            Selection::Field(_) => {}
            Selection::InlineFragment(inline) => {
                let condition = inline
                    .node
                    .type_condition
                    .as_ref()
                    .map(|condition| &condition.node.on.node);
                let inner = &inline.node.selection_set.node;
                find_fields(document, inner, condition.unwrap_or(kind), key, found);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let condition = &fragment.node.type_condition.node.on.node;
                    find_fields(document, &fragment.node.selection_set.node, condition, key, found);
                }
            }
        }
    }
}

/// Sets the value at a path to null.
fn set_null(data: &mut Value, path: &[PathSegment]) {
    let Some((first, rest)) = path.split_first() else {
        *data = Value::Null;
        return;
    };
    match (first, data) {
        (PathSegment::Index(index), Value::List(entries)) => {
            if let Some(entry) = entries.get_mut(*index) {
                set_null(entry, rest);
            }
        }
        (PathSegment::Field(key), Value::Object(members)) => {
            set_null(members.entry(Name::new(key)).or_insert(Value::Null), rest);
        }
        // An object whose fields were all omitted.
        (PathSegment::Field(key), data @ Value::Null) if rest.is_empty() => {
            *data = Value::Object([(Name::new(key), Value::Null)].into_iter().collect());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::{Pos, ServerError, value};

    use super::*;

    fn with_error(path: Vec<PathSegment>, data: Value, document: &str) -> serde_json::Value {
        with_errors(&[path], data, document)
    }

    fn with_errors(paths: &[Vec<PathSegment>], data: Value, document: &str) -> serde_json::Value {
        let mut response = Response::new(data);
        for path in paths {
            let mut error = ServerError::new("no", Some(Pos::default()));
            error.path.clone_from(path);
            response.errors.push(error);
        }
        propagate(&mut response, document, None);
        response.data.into_json().unwrap()
    }

    fn path(segments: &[&str]) -> Vec<PathSegment> {
        let segment = |segment: &&str| match segment.parse() {
            Ok(index) => PathSegment::Index(index),
            Err(_) => PathSegment::Field((*segment).to_owned()),
        };
        segments.iter().map(segment).collect()
    }

    #[test]
    fn a_failed_non_nullable_field_makes_its_nearest_nullable_parent_null() {
        let document = "{ layer(id: 1) { other: similar { ...edges } } }
            fragment edges on LayerMatchConnection { edges { significance { pValue } } }";
        let data = value!({ "layer": { "other": { "edges": [null, { "significance": { "pValue": 1 } }] } } });
        let at = path(&["layer", "other", "edges", "0", "significance"]);
        assert_eq!(with_error(at, data, document), serde_json::json!({ "layer": null }));
    }

    #[test]
    fn a_failed_nullable_field_alone_becomes_null() {
        let document = "{ node(id: 1) { __typename ... on Version { number accuracy } } serverInfo { version } }";
        let data = value!({ "node": { "__typename": "Version", "number": 1 }, "serverInfo": { "version": "1" } });
        let expected = serde_json::json!({
            "node": { "__typename": "Version", "number": 1, "accuracy": null }, "serverInfo": { "version": "1" }
        });
        assert_eq!(with_error(path(&["node", "accuracy"]), data, document), expected);
    }

    #[test]
    fn a_parent_that_is_null_stays_null_in_any_order_of_errors() {
        let document = "{ version(id: 1) { diff(with: 2) { sameCount } evaluation { loss } } }";
        let errors = [path(&["version", "diff"]), path(&["version", "evaluation"])];
        let [one, other] = errors.clone();
        for errors in [errors, [other, one]] {
            let data = value!({ "version": null });
            assert_eq!(
                with_errors(&errors, data, document),
                serde_json::json!({ "version": null })
            );
        }
    }

    #[test]
    fn each_failed_entry_of_a_list_becomes_null_by_itself() {
        let document = "{ nodes(ids: []) { ... on Version { accuracy number } } }";
        let entry = value!({ "accuracy": 1, "number": 1 });
        let data = Value::Object(
            [(Name::new("nodes"), Value::List(vec![entry; 3]))]
                .into_iter()
                .collect(),
        );
        let errors = [
            path(&["nodes", "1", "number"]),
            path(&["nodes", "1", "accuracy"]),
            path(&["nodes", "2", "accuracy"]),
        ];
        let found = with_errors(&errors, data, document);
        assert_eq!(found["nodes"][0], serde_json::json!({ "accuracy": 1, "number": 1 }));
        assert_eq!(found["nodes"][1], serde_json::Value::Null);
        assert_eq!(found["nodes"][2], serde_json::json!({ "accuracy": null, "number": 1 }));
    }

    #[test]
    fn without_a_nullable_parent_the_data_is_null() {
        let data = value!({ "models": {} });
        let at = path(&["models", "totalCount"]);
        assert_eq!(
            with_error(at, data, "{ models { totalCount } }"),
            serde_json::Value::Null
        );
    }

    #[test]
    fn field_types_come_from_the_schema() {
        assert!(FIELDS["Layer"]["similar"].base != BaseType::Named(Name::new("Layer")));
        assert!(!FIELDS["LayerMatchEdge"]["significance"].nullable && FIELDS["Query"]["layer"].nullable);
    }
}
