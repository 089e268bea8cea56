//! A part of a list, asked for from its front or from its back.

/// Most entries of one page.
pub const MAX_PAGE: usize = 100;

/// Entries of a page if nothing is said.
pub const DEFAULT_PAGE: usize = 20;

/// A page of a list whose places are named by `C`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page<C> {
    /// Entries at most, 0 to [`MAX_PAGE`].
    pub limit: usize,
    /// Count from the end of the list.
    pub from_end: bool,
    /// Only entries behind this place.
    pub after: Option<C>,
    /// Only entries before this place.
    pub before: Option<C>,
}

/// Why a page cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Both ends were asked for.
    #[error("`first` and `last` exclude each other: give one of them")]
    BothEnds,
    /// Out of bounds.
    #[error("`{argument}` must be 0 to {MAX_PAGE}, got {actual}: page on with `after`")]
    TooLarge {
        /// `first` or `last`.
        argument: &'static str,
        /// What was given.
        actual: i32,
    },
}

impl<C> Page<C> {
    /// A page from Relay's four arguments.
    ///
    /// # Errors
    /// Both `first` and `last`, or a count outside 0 to [`MAX_PAGE`].
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
                return Err(PageError::TooLarge {
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

/// The entries of a page and whether the list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// In list order, whichever end the page was counted from.
    pub entries: Vec<T>,
    /// Whether there are entries before the first.
    pub has_previous: bool,
    /// Whether there are entries behind the last.
    pub has_next: bool,
}

impl<T> Slice<T> {
    /// A slice from rows read in the direction of the page, one row more than its limit if the list goes on.
    ///
    /// Whether rows were cut off is told by that extra row. Beyond a cursor, which names an entry, the list goes on: it is not
    /// looked at whether that entry is still there.
    pub fn from_rows<C>(mut rows: Vec<T>, page: &Page<C>) -> Self {
        let more = rows.len() > page.limit;
        rows.truncate(page.limit);
        if page.from_end {
            rows.reverse();
            return Self {
                entries: rows,
                has_previous: more || page.after.is_some(),
                has_next: page.before.is_some(),
            };
        }
        Self {
            entries: rows,
            has_previous: page.after.is_some(),
            has_next: more || page.before.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_hundred_thousand_is_refused_with_the_limit() {
        let error = Page::<i32>::new(Some(100_000), None, None, None).map_err(|e| e.to_string());
        assert_eq!(
            error,
            Err("`first` must be 0 to 100, got 100000: page on with `after`".to_owned())
        );
    }

    #[test]
    fn a_page_from_the_end_stands_in_list_order() {
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
