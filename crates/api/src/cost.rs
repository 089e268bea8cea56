//! The complexity of fields: each counts 1, multiplied by the number of entries inside lists.

use scv_domain::page::{DEFAULT_PAGE, MAX_PAGE};

/// An upper bound on the complexity of a field, so that sums do not overflow.
pub const MAX_COST: usize = 1 << 40;

/// The complexity of a list without pages, which counts as a page of default size.
pub fn list_cost(entry: usize) -> usize {
    entries_cost(DEFAULT_PAGE, entry)
}

/// The complexity of a field with `count` entries.
pub fn entries_cost(count: usize, entry: usize) -> usize {
    count.saturating_mul(entry).saturating_add(1).min(MAX_COST)
}

/// Random permutations that count as one field.
const PERMUTATIONS_PER_FIELD: usize = 25;

/// The complexity of a permutation test.
pub fn permutation_cost(permutations: i32, fields: usize) -> usize {
    let permutations = usize::try_from(permutations).unwrap_or_default();
    (permutations / PERMUTATIONS_PER_FIELD)
        .saturating_add(fields)
        .saturating_add(1)
}

/// The complexity of a page with the requested number of entries.
pub fn page_cost(first: Option<i32>, last: Option<i32>, entry: usize) -> usize {
    // The list itself refuses a page that is too large, with a more specific message.
    let size = first.or(last).map_or(DEFAULT_PAGE, |size| {
        usize::try_from(size).unwrap_or_default().min(MAX_PAGE)
    });
    entries_cost(size, entry)
}
