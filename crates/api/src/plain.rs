//! Lists of objects whose plain fields are resolved at once.

use std::borrow::Cow;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{ContainerType, ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};

use super::response_budget::ResponseBudget;

/// What lists have as entries.
pub trait ListEntry: ContainerType {
    /// The names of its plain fields: they show what the entry holds, read nothing else, never fail, and have no fields of their
    /// own. Extensions do not see them, so a type that shows more than the catalogue must have none.
    const PLAIN: &'static [&'static str] = &[];
}

/// The entries of a list. async-graphql resolves each field of each entry in a future of its own, inside those of the
/// extensions. Where only plain fields are selected, this resolves them one after the other and counts them itself.
pub(super) struct Entries<'a, T>(pub(super) Vec<&'a T>);

impl<T: ListEntry> OutputType for Entries<'_, T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let mut fields = IndexMap::new();
        if !collect_plain::<T>(ctx, &ctx.item.node, &mut fields) {
            return self.0.resolve(ctx, field).await;
        }
        let budget = ctx.data_opt::<ResponseBudget>();
        // A copy of an object has the hashes of its keys, so they are computed once.
        let empty: IndexMap<Name, Value> = fields.keys().map(|key| (key.clone(), Value::Null)).collect();
        let mut objects = Vec::with_capacity(self.0.len());
        for (index, entry) in self.0.iter().enumerate() {
            let ctx = ctx.with_index(index);
            let mut object = empty.clone();
            for (field, value) in fields.values().zip(object.values_mut()) {
                let resolved = match field.node.name.node.as_str() {
                    TYPENAME => Some(Value::String(T::type_name().into_owned())),
                    _ => entry.resolve_field(&ctx.with_field(field)).await?,
                };
                *value = resolved.unwrap_or_default();
            }
            if let Some(budget) = budget {
                budget.count(object.values());
            }
            objects.push(Value::Object(object));
            if budget.is_some_and(|budget| budget.reason().is_some()) {
                // The request has been given up.
                break;
            }
        }
        Ok(Value::List(objects))
    }
}

const TYPENAME: &str = "__typename";

/// Collects the selected fields, by their names in the response. Returns false if one is not plain, or if a directive decides
/// about it.
fn collect_plain<'a, T: ListEntry>(
    ctx: &ContextSelectionSet<'a>,
    selected: &'a SelectionSet,
    fields: &mut IndexMap<Name, &'a Positioned<Field>>,
) -> bool {
    selected.items.iter().all(|selection| match &selection.node {
        Selection::Field(field) => {
            let name = field.node.name.node.as_str();
            let is_plain = name == TYPENAME || T::PLAIN.contains(&name);
            fields.insert(field.node.response_key().node.clone(), field);
            is_plain && field.node.directives.is_empty()
        }
        Selection::FragmentSpread(spread) => {
            let fragment = ctx.query_env.fragments.get(&spread.node.fragment_name.node);
            fragment.is_some_and(|fragment| {
                is_of::<T>(&fragment.node.type_condition.node.on.node)
                    && spread.node.directives.is_empty()
                    && collect_plain::<T>(ctx, &fragment.node.selection_set.node, fields)
            })
        }
        Selection::InlineFragment(fragment) => {
            let condition = fragment.node.type_condition.as_ref();
            condition.is_none_or(|condition| is_of::<T>(&condition.node.on.node))
                && fragment.node.directives.is_empty()
                && collect_plain::<T>(ctx, &fragment.node.selection_set.node, fields)
        }
    })
}

fn is_of<T: OutputType>(condition: &Name) -> bool {
    condition.as_str() == T::type_name()
}
