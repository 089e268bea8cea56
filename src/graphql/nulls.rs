//! Null where an error has to show.
//!
//! A field that fails and must not be null makes the object null that it lies in, and so on outwards to the first place that may
//! be null (section 6.4.4 of the GraphQL specification, October 2021). async-graphql 7 leaves the field out of its object, so
//! that a list of objects that cannot be null may hold null.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationType, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::parser::{parse_query, parse_schema};
use async_graphql::{Name, PathSegment, Response, Value};

use super::document::meant;

/// The types of all fields, by the names of their objects and their own.
static FIELDS: LazyLock<HashMap<Name, HashMap<Name, Type>>> = LazyLock::new(|| fields_of(&super::sdl()));

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

/// Puts null where the errors of a response ask for it; `document` and `operation` are what was executed.
pub fn propagate(response: &mut Response, document: &str, operation: Option<&str>) {
    let paths: Vec<_> = response.errors.iter().map(|error| error.path.clone()).collect();
    if paths.iter().all(Vec::is_empty) {
        return;
    }
    let Ok(document) = parse_query(document) else { return };
    let mut nulled: Vec<&[PathSegment]> = Vec::new();
    for path in paths.iter().filter(|path| !path.is_empty()) {
        // Where something further out is null already, it stays so.
        if nulled.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let place = nullable(&document, operation, path, &response.data);
        put_null(&mut response.data, place);
        nulled.push(place);
    }
}

/// The part of a path, from its beginning, to the last place on it that may be null.
fn nullable<'p>(
    document: &ExecutableDocument,
    operation: Option<&str>,
    path: &'p [PathSegment],
    data: &Value,
) -> &'p [PathSegment] {
    let Some(meant) = meant(document, operation) else {
        return &[];
    };
    let root = match meant.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let mut kind = Type {
        base: BaseType::Named(Name::new(root)),
        nullable: true,
    };
    let mut selections = vec![&meant.selection_set.node];
    let (mut value, mut last) = (Some(data), 0);
    for (index, segment) in path.iter().enumerate() {
        let inner = match (segment, &kind.base) {
            (PathSegment::Index(place), BaseType::List(inner)) => {
                value = value.and_then(|value| match value {
                    Value::List(entries) => entries.get(*place),
                    _ => None,
                });
                Type::clone(inner)
            }
            (PathSegment::Field(key), BaseType::Named(name)) => {
                let own = value.and_then(|value| match value {
                    Value::Object(members) => Some(members),
                    _ => None,
                });
                // What an interface stands for is not always said.
                let said = own.and_then(|members| match members.get("__typename") {
                    Some(Value::String(said)) => Some(Name::new(said)),
                    _ => None,
                });
                let mut found = Vec::new();
                for selection in &selections {
                    find(document, selection, said.as_ref().unwrap_or(name), key, &mut found);
                }
                let field = found.iter().find_map(|(of, name, _)| FIELDS.get(of)?.get(name));
                let Some(field) = field else { return &path[..last] };
                selections = found.iter().map(|(.., inner)| *inner).collect();
                value = own.and_then(|members| members.get(key.as_str()));
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

/// The fields of a selection under a name: the type they are of, what they are called there, and what is selected of them.
fn find<'d>(
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
                find(document, inner, condition.unwrap_or(kind), key, found);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let condition = &fragment.node.type_condition.node.on.node;
                    find(document, &fragment.node.selection_set.node, condition, key, found);
                }
            }
        }
    }
}

/// Makes null what is at a place.
fn put_null(data: &mut Value, place: &[PathSegment]) {
    let Some((first, rest)) = place.split_first() else {
        *data = Value::Null;
        return;
    };
    match (first, data) {
        (PathSegment::Index(index), Value::List(entries)) => {
            if let Some(entry) = entries.get_mut(*index) {
                put_null(entry, rest);
            }
        }
        (PathSegment::Field(key), Value::Object(members)) => {
            put_null(members.entry(Name::new(key)).or_insert(Value::Null), rest);
        }
        // An object of which nothing was left.
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

    fn failed(path: Vec<PathSegment>, data: Value, document: &str) -> serde_json::Value {
        all_failed(&[path], data, document)
    }

    fn all_failed(paths: &[Vec<PathSegment>], data: Value, document: &str) -> serde_json::Value {
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
    fn what_must_not_be_null_makes_null_what_it_lies_in() {
        let document = "{ layer(id: 1) { other: similar { ...edges } } }
            fragment edges on LayerMatchConnection { edges { significance { pValue } } }";
        let data = value!({ "layer": { "other": { "edges": [null, { "significance": { "pValue": 1 } }] } } });
        let at = path(&["layer", "other", "edges", "0", "significance"]);
        assert_eq!(failed(at, data, document), serde_json::json!({ "layer": null }));
    }

    #[test]
    fn what_may_be_null_is_null_and_nothing_else() {
        let document = "{ node(id: 1) { __typename ... on Version { number accuracy } } serverInfo { version } }";
        let data = value!({ "node": { "__typename": "Version", "number": 1 }, "serverInfo": { "version": "1" } });
        let expected = serde_json::json!({
            "node": { "__typename": "Version", "number": 1, "accuracy": null }, "serverInfo": { "version": "1" }
        });
        assert_eq!(failed(path(&["node", "accuracy"]), data, document), expected);
    }

    #[test]
    fn what_is_null_already_stays_so_whichever_error_comes_first() {
        let document = "{ version(id: 1) { diff(with: 2) { sameCount } evaluation { loss } } }";
        let errors = [path(&["version", "diff"]), path(&["version", "evaluation"])];
        let [one, other] = errors.clone();
        for errors in [errors, [other, one]] {
            let data = value!({ "version": null });
            assert_eq!(
                all_failed(&errors, data, document),
                serde_json::json!({ "version": null })
            );
        }
    }

    #[test]
    fn without_a_place_that_may_be_null_there_is_no_data() {
        let data = value!({ "models": {} });
        let at = path(&["models", "totalCount"]);
        assert_eq!(failed(at, data, "{ models { totalCount } }"), serde_json::Value::Null);
    }

    #[test]
    fn the_types_of_all_fields_are_known() {
        assert!(FIELDS["Layer"]["similar"].base != BaseType::Named(Name::new("Layer")));
        assert!(!FIELDS["LayerMatchEdge"]["significance"].nullable && FIELDS["Query"]["layer"].nullable);
    }
}
