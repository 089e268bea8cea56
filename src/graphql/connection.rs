//! Relay connections over slices, with a total that is counted only if asked for.

use async_graphql::connection::{Connection, CursorType, Edge, EmptyFields};
use async_graphql::{Context, Object, OutputType};
use serde::de::DeserializeOwned;

use super::error::Result;
use super::id::{decode_cursor, encode_cursor};
use super::loader::{LayerCount, SynthesisCount, VersionCount, load};
use scv_domain::model::ModelFilter;
use scv_domain::page::{Page, Slice};
use scv_service::Library;

/// A connection of `N`.
pub type ListConnection<N> = Connection<String, N, Total, EmptyFields>;

/// What the entries of a list are counted by.
#[derive(Debug, Clone, async_graphql::Description)]
pub enum Total {
    /// Models that a filter admits.
    Models(ModelFilter),
    /// Versions of a model.
    Versions(VersionCount),
    /// Layers of a version.
    Layers(LayerCount),
    /// Synthetic images of a version or a layer.
    Syntheses(SynthesisCount),
    /// Tokens that whoever asks may see.
    Tokens,
    /// Entries of the record of changes.
    AuditEntries,
    /// So many, known already.
    Known(usize),
}

#[Object(use_type_description)]
impl Total {
    /// Entries of the whole list.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(match self {
            Self::Models(filter) => ctx.data_unchecked::<Library>().store().count_models(filter).await?,
            Self::Versions(key) => load(ctx, *key).await?.unwrap_or_default(),
            Self::Layers(key) => load(ctx, *key).await?.unwrap_or_default(),
            Self::Syntheses(key) => load(ctx, *key).await?.unwrap_or_default(),
            Self::Tokens => ctx.data_unchecked::<Library>().store().count_tokens().await?,
            Self::AuditEntries => ctx.data_unchecked::<Library>().store().count_audit_entries().await?,
            Self::Known(count) => *count as i64,
        })
    }
}

/// The page that the four arguments of a connection ask for.
///
/// # Errors
/// A cursor is none of this list, or the sizes cannot be.
pub fn page<C: DeserializeOwned>(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Result<Page<C>> {
    let after = decode_cursor("after", after)?;
    let before = decode_cursor("before", before)?;
    Ok(Page::new(first, after, last, before)?)
}

/// A slice as a connection; `cursor` names the place of an entry.
pub fn connection<T, N, C>(
    slice: Slice<T>,
    total: Total,
    cursor: impl Fn(&T) -> C,
    node: impl Fn(T) -> N,
) -> ListConnection<N>
where
    N: OutputType,
    C: serde::Serialize,
    String: CursorType,
{
    let mut connection = Connection::with_additional_fields(slice.has_previous, slice.has_next, total);
    connection.edges = slice
        .entries
        .into_iter()
        .map(|entry| Edge::new(encode_cursor(&cursor(&entry)), node(entry)))
        .collect();
    connection
}

/// A page of a list that is at hand; the cursor of an entry is its place.
pub fn connection_of_all<T: Clone, N: OutputType>(
    all: &[T],
    page: &Page<i32>,
    node: impl Fn(T) -> N,
) -> ListConnection<N> {
    let place = |cursor: i32| usize::try_from(cursor).unwrap_or_default();
    let from = page.after.map_or(0, |after| place(after) + 1);
    let to = page.before.map_or(all.len(), place).min(all.len());
    let places = from.min(to)..to;
    let within = places
        .zip(&all[from.min(to)..to])
        .map(|(place, entry)| (place as i32, entry.clone()));
    let rows = match page.from_end {
        false => within.take(page.limit + 1).collect(),
        true => within.rev().take(page.limit + 1).collect(),
    };
    let total = Total::Known(all.len());
    connection(
        Slice::from_rows(rows, page),
        total,
        |(place, _)| *place,
        |(_, entry)| node(entry),
    )
}

/// The slice of a list that has no entries.
pub fn empty<T, C>(page: &Page<C>) -> Slice<T> {
    Slice::from_rows(Vec::new(), page)
}
