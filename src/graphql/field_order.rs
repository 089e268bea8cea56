//! Puts the fields of a response in the order in which the document requests them.
//!
//! The specification requires this order (GraphQL, October 2021, section 7.2.2), but async-graphql 7.2 lists fields in
//! the order in which they were resolved.

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Response, Value};
use indexmap::IndexMap;

use super::document::selected_operation;

/// The response keys of an object in order, each with the keys of its own value.
#[derive(Debug, Clone, Default)]
pub struct FieldOrder(IndexMap<Name, FieldOrder>);

impl FieldOrder {
    /// The order of the fields of the selected operation. Call this only for documents that are within the limits: it
    /// follows each fragment every time it is spread.
    pub fn of(document: &ExecutableDocument, operation: Option<&str>) -> Self {
        let mut order = Self::default();
        if let Some(operation) = selected_operation(document, operation) {
            order.add(document, &operation.selection_set.node);
        }
        order
    }

    fn add(&mut self, document: &ExecutableDocument, selections: &SelectionSet) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => {
                    let inner = self.0.entry(field.node.response_key().node.clone()).or_default();
                    inner.add(document, &field.node.selection_set.node);
                }
                Selection::InlineFragment(inline) => self.add(document, &inline.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                        self.add(document, &fragment.node.selection_set.node);
                    }
                }
            }
        }
    }

    /// Puts the data of a response in order.
    pub fn arrange(&self, response: &mut Response) {
        self.arrange_value(&mut response.data);
    }

    fn arrange_value(&self, value: &mut Value) {
        match value {
            Value::List(entries) => entries.iter_mut().for_each(|entry| self.arrange_value(entry)),
            // A scalar whose value is an object keeps its own order.
            Value::Object(members) if !self.0.is_empty() => {
                // Usually all keys are present and in order; this check needs no lookups.
                if members.keys().eq(self.0.keys()) {
                    let inner = members.values_mut().zip(self.0.values());
                    return inner.for_each(|(inner, order)| order.arrange_value(inner));
                }
                let place = |name: &Name| self.0.get_index_of(name).unwrap_or(usize::MAX);
                if !members.keys().is_sorted_by_key(place) {
                    members.sort_by_cached_key(|name, _| place(name));
                }
                for (name, inner) in members {
                    if let Some(order) = self.0.get(name) {
                        order.arrange_value(inner);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_graphql::parser::parse_query;
    use async_graphql::value;

    use super::*;

    #[test]
    fn fields_are_in_requested_order_in_lists_and_through_fragments() {
        let document = "query q { b { y ...f x: z } a } query other { a b } fragment f on T { w y }";
        let order = FieldOrder::of(&parse_query(document).unwrap(), Some("q"));
        let mut response =
            Response::new(value!({ "a": { "k": 1, "c": 2 }, "b": [{ "x": 1, "w": 2, "y": 3 }, null, { "w": 4 }] }));
        order.arrange(&mut response);
        assert_eq!(
            response.data.to_string(),
            r#"{b: [{y: 3, w: 2, x: 1}, null, {w: 4}], a: {k: 1, c: 2}}"#
        );
    }
}
