//! Relay connections over slices. The total is counted only if it is requested.

use std::borrow::Cow;

use async_graphql::connection::{Edge, EmptyFields, PageInfo};
use async_graphql::{Context, Object, TypeName};
use serde::de::DeserializeOwned;

use super::error::{ApiError, Result};
use super::id::{decode_cursor, encode_cursor};
use super::loader::{ConfusionOf, LayerCount, SynthesisCount, VersionCount, load};
use super::plain::{Entries, ListEntry};
use scv_domain::evaluation::ConfusionCell;
use scv_domain::id::AccountId;
use scv_domain::job::JobFilter;
use scv_domain::model::ModelFilter;
use scv_domain::page::{Order, Page, Slice};
use scv_domain::version::VersionFilter;
use scv_service::Library;
use scv_store::{CellKey, Position, SortField};

/// A page of a list of `N`.
pub struct ListConnection<N: ListEntry> {
    nodes: Vec<N>,
    /// The cursor of the node at an index. Most pages are read without.
    cursor: Box<dyn Fn(usize) -> String + Send + Sync>,
    has_previous: bool,
    has_next: bool,
    total: Total,
}

impl<N: ListEntry> TypeName for ListConnection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

#[Object(name_type)]
impl<N: ListEntry> ListConnection<N> {
    /// Information to aid in pagination.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.nodes.first().map(|_| (self.cursor)(0)),
            end_cursor: self.nodes.last().map(|_| (self.cursor)(self.nodes.len() - 1)),
        }
    }

    /// A list of edges.
    async fn edges(&self) -> Vec<Edge<String, &N, EmptyFields>> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .map(|(index, node)| Edge::new((self.cursor)(index), node))
            .collect()
    }

    /// A list of nodes.
    async fn nodes(&self) -> Entries<'_, N> {
        Entries(self.nodes.iter().collect())
    }

    /// Number of entries in the whole list.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64> {
        self.total.count(ctx).await
    }
}

/// How the entries of a list are counted.
#[derive(Debug, Clone)]
pub enum Total {
    /// Models that a filter admits.
    Models(ModelFilter),
    /// Jobs that a filter admits.
    Jobs(JobFilter),
    /// Versions across models that a filter admits.
    MatchingVersions(VersionFilter),
    /// Versions of a model.
    Versions(VersionCount),
    /// Layers of a version.
    Layers(LayerCount),
    /// Synthetic images of a version or a layer.
    Syntheses(SynthesisCount),
    /// Tokens that the caller may see, of one account or of all.
    Tokens(Option<AccountId>),
    /// Entries of the audit log.
    AuditEntries,
    /// Images of a cell of a confusion matrix.
    CellImages(CellKey),
    /// A count that is known already.
    Known(usize),
}

impl Total {
    async fn count(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(match self {
            Self::Models(filter) => ctx.data_unchecked::<Library>().store().count_models(filter).await?,
            Self::Jobs(filter) => ctx.data_unchecked::<Library>().store().count_jobs(filter).await?,
            Self::MatchingVersions(filter) => {
                ctx.data_unchecked::<Library>()
                    .store()
                    .count_matching_versions(filter)
                    .await?
            }
            Self::Versions(key) => load(ctx, *key).await?.unwrap_or_default(),
            Self::Layers(key) => load(ctx, *key).await?.unwrap_or_default(),
            Self::Syntheses(key) => load(ctx, *key).await?.unwrap_or_default(),
            Self::Tokens(account) => ctx.data_unchecked::<Library>().store().count_tokens(*account).await?,
            Self::AuditEntries => ctx.data_unchecked::<Library>().store().count_audit_entries().await?,
            Self::CellImages(key) => {
                let cells = load(ctx, ConfusionOf(key.evaluation)).await?.unwrap_or_default();
                let is_wanted = |cell: &&ConfusionCell| (cell.actual, cell.predicted) == (key.actual, key.predicted);
                cells.iter().find(is_wanted).map_or(0, |cell| cell.image_count as i64)
            }
            Self::Known(count) => *count as i64,
        })
    }
}

/// The page that the four arguments of a connection request.
///
/// # Errors
/// A cursor does not belong to this kind of list, or a size is invalid.
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

/// A page of a list in an order.
///
/// # Errors
/// A cursor belongs to a list in another order.
pub fn in_order<F: SortField>(page: Page<Position<F>>, order: Order<F>) -> Result<Page<Position<F>>> {
    let cursors = [("after", &page.after), ("before", &page.before)];
    for (argument, cursor) in cursors {
        if cursor.as_ref().is_some_and(|cursor| !cursor.fits(order)) {
            return Err(ApiError::bad_input(format!(
                "the cursor in `{argument}` belongs to a list in another order: omit it to start a new list, or request the \
                 `orderBy` of that list"
            )));
        }
    }
    Ok(page)
}

/// A slice as a connection; `cursor` returns the cursor of an entry.
pub fn connection<T, N, C>(
    slice: Slice<T>,
    total: Total,
    cursor: impl Fn(&T) -> C,
    node: impl Fn(T) -> N,
) -> ListConnection<N>
where
    N: ListEntry,
    C: serde::Serialize + Send + Sync + 'static,
{
    let cursors: Vec<C> = slice.entries.iter().map(cursor).collect();
    ListConnection {
        nodes: slice.entries.into_iter().map(node).collect(),
        cursor: Box::new(move |index| encode_cursor(&cursors[index])),
        has_previous: slice.has_previous,
        has_next: slice.has_next,
        total,
    }
}

/// A page of a list that is in memory; the cursor of an entry is its position.
pub fn connection_of_all<T: Clone, N: ListEntry>(
    all: &[T],
    page: &Page<i32>,
    node: impl Fn(T) -> N,
) -> ListConnection<N> {
    let position = |cursor: i32| usize::try_from(cursor).unwrap_or_default();
    let from = page.after.map_or(0, |after| position(after) + 1);
    let to = page.before.map_or(all.len(), position).min(all.len());
    let range = from.min(to)..to;
    let within = range
        .clone()
        .zip(&all[range])
        .map(|(position, entry)| (position as i32, entry.clone()));
    let rows = if page.from_end {
        within.rev().take(page.limit + 1).collect()
    } else {
        within.take(page.limit + 1).collect()
    };
    let total = Total::Known(all.len());
    connection(
        Slice::from_rows(rows, page),
        total,
        |(position, _)| *position,
        |(_, entry)| node(entry),
    )
}

/// The slice of an empty list.
pub fn empty_slice<T, C>(page: &Page<C>) -> Slice<T> {
    Slice::from_rows(Vec::new(), page)
}
