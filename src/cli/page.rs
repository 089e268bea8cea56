//! Lists that the server returns page by page.

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::table::counted;
use crate::config::value::{MAX_INT, whole};

/// Maximum number of entries that the server returns in one page.
const MAX_PAGE_SIZE: usize = 100;

/// How much of a list to show.
#[derive(Debug, Clone, Args)]
pub(super) struct ListOptions {
    /// Maximum number of entries to list
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u32>(1..=MAX_INT))]
    limit: u32,
    /// List all entries
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection<T> {
    total_count: usize,
    nodes: Vec<T>,
    page_info: PageInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl<T> Connection<T> {
    /// The fields to select, given those of an entry.
    pub(super) fn fields(of_entry: &str) -> String {
        format!("totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ {of_entry} }}")
    }
}

/// The beginning of a list.
#[derive(Debug)]
pub(super) struct Listing<T> {
    pub(super) total: usize,
    pub(super) entries: Vec<T>,
}

impl ListOptions {
    /// All entries, however many there are.
    pub(super) const ALL: Self = Self { limit: 1, all: true };

    /// Requests pages until there are as many entries as wanted. `request` takes the variables `first` and `after`.
    ///
    /// # Errors
    /// Those of `request`.
    pub(super) async fn collect<T>(
        &self,
        mut request: impl AsyncFnMut(Value) -> anyhow::Result<Connection<T>>,
    ) -> anyhow::Result<Listing<T>> {
        let limit = if self.all { usize::MAX } else { self.limit as usize };
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let first = (limit - entries.len()).min(MAX_PAGE_SIZE);
            let page = request(json!({ "first": first, "after": after })).await?;
            entries.extend(page.nodes);
            after = page.page_info.end_cursor;
            if entries.len() >= limit || !page.page_info.has_next_page {
                let total = page.total_count;
                return Ok(Listing { total, entries });
            }
        }
    }
}

impl<T> Listing<T> {
    /// A table with a note about entries that are not shown; `noun` is the singular.
    pub(super) fn to_text(&self, noun: &str, table: &str) -> String {
        match (self.entries.len(), self.total) {
            (0, _) => format!("no {noun}s"),
            (shown, total) if shown < total => {
                format!(
                    "{table}\n{shown} of {}; to list more use --limit N or --all",
                    counted(total, noun)
                )
            }
            _ => table.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A list of 230 numbers, page by page.
    async fn numbers(variables: Value) -> anyhow::Result<Connection<usize>> {
        let start = variables["after"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let end = (start + variables["first"].as_u64().unwrap() as usize).min(230);
        Ok(Connection {
            total_count: 230,
            nodes: (start..end).collect(),
            page_info: PageInfo {
                has_next_page: end < 230,
                end_cursor: Some(end.to_string()),
            },
        })
    }

    #[tokio::test]
    async fn a_list_is_read_up_to_the_limit() {
        let options = ListOptions { limit: 120, all: false };
        let listing = options.collect(numbers).await.unwrap();
        assert_eq!((listing.entries.len(), listing.total), (120, 230));
        let text = listing.to_text("number", "…");
        assert_eq!(text, "…\n120 of 230 numbers; to list more use --limit N or --all");
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end() {
        let listing = ListOptions::ALL.collect(numbers).await.unwrap();
        assert_eq!(listing.entries, (0..230).collect::<Vec<_>>());
        assert_eq!(listing.to_text("number", "…"), "…");
    }
}
