//! Pages of a list, counted from its start or from its end, and the order of a list.

use serde::{Deserialize, Serialize};

/// Maximum number of entries in a page.
pub const MAX_PAGE: usize = 100;

/// Number of entries in a page by default.
pub const DEFAULT_PAGE: usize = 20;

/// A page of a list whose cursors are of type `C`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page<C> {
    /// Maximum number of entries, 0 to [`MAX_PAGE`].
    pub limit: usize,
    /// Whether the page is counted from the end of the list.
    pub from_end: bool,
    /// Only entries after this cursor.
    pub after: Option<C>,
    /// Only entries before this cursor.
    pub before: Option<C>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Order<F> {
    /// The field to sort by.
    pub field: F,
    /// Whether to sort in descending order.
    pub descending: bool,
}

/// Why the arguments of a page are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Both `first` and `last` were given.
    #[error("`first` and `last` are mutually exclusive: give only one of them")]
    BothEnds,
    /// The number of entries is out of range.
    #[error("`{argument}` must be 0 to {MAX_PAGE}, got {actual}: fetch more pages with `{}`", cursor_of(.argument))]
    OutOfRange {
        /// `first` or `last`.
        argument: &'static str,
        /// The value given.
        actual: i32,
    },
}

impl<C> Page<C> {
    /// A page from the four arguments of Relay connections.
    ///
    /// # Errors
    /// Both `first` and `last` are given, or the count is not 0 to [`MAX_PAGE`].
    pub fn new(first: Option<i32>, after: Option<C>, last: Option<i32>, before: Option<C>) -> Result<Self, PageError> {
        let (argument, count) = match (first, last) {
            (Some(_), Some(_)) => return Err(PageError::BothEnds),
            (None, Some(last)) => ("last", Some(last)),
            (first, None) => ("first", first),
        };
        let limit = match count.map(usize::try_from) {
            None => DEFAULT_PAGE,
            Some(Ok(limit)) if limit <= MAX_PAGE => limit,
            Some(_) => {
                return Err(PageError::OutOfRange {
                    argument,
                    actual: count.unwrap_or_default(),
                });
            }
        };
        Ok(Self {
            limit,
            from_end: argument == "last",
            after,
            before,
        })
    }
}

/// The entries of a page, and whether the list continues before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// The entries in list order, even if the page was counted from the end.
    pub entries: Vec<T>,
    /// Whether there are entries before the first.
    pub has_previous: bool,
    /// Whether there are entries after the last.
    pub has_next: bool,
}

impl<T> Slice<T> {
    /// The same part of a list of other entries.
    pub fn map<U>(self, entry: impl FnMut(T) -> U) -> Slice<U> {
        Slice {
            entries: self.entries.into_iter().map(entry).collect(),
            has_previous: self.has_previous,
            has_next: self.has_next,
        }
    }

    /// A slice from rows in the direction of the page, with one row more than its limit if the list continues.
    ///
    /// The list also continues beyond a cursor, because the cursor names an entry. Whether that entry still exists is
    /// not checked.
    pub fn from_rows<C>(mut rows: Vec<T>, page: &Page<C>) -> Self {
        let has_more = rows.len() > page.limit;
        rows.truncate(page.limit);
        if page.from_end {
            rows.reverse();
            return Self {
                entries: rows,
                has_previous: has_more || page.after.is_some(),
                has_next: page.before.is_some(),
            };
        }
        Self {
            entries: rows,
            has_previous: page.after.is_some(),
            has_next: has_more || page.before.is_some(),
        }
    }
}

/// The argument that continues a list paged by `first` or `last`.
fn cursor_of(argument: &str) -> &'static str {
    if argument == "last" { "before" } else { "after" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_hundred_thousand_entries_is_rejected_with_the_limit() {
        let error = Page::<i32>::new(Some(100_000), None, None, None).map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("`first` must be 0 to 100, got 100000: fetch more pages with `after`".to_owned())
        );
    }

    #[test]
    fn a_page_from_the_end_is_in_list_order() {
        let page = Page::<i32> {
            limit: 2,
            from_end: true,
            after: None,
            before: None,
        };
        let slice = Slice::from_rows(vec![9, 8, 7], &page);
        assert_eq!(
            (slice.entries, slice.has_previous, slice.has_next),
            (vec![8, 9], true, false)
        );
    }
}
