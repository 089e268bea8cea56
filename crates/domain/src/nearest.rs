//! Suggestions for misspelt names.

/// Longer names get no suggestion.
const MAX_NAME_LENGTH: usize = 64;

/// The name most similar to `given`, if there is a similar one.
///
/// Names are similar if they are equal ignoring case, if one is a prefix of the other, or if their
/// edit distance is at most a third of the length of the name.
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > MAX_NAME_LENGTH {
        return None;
    }
    let given = given.to_lowercase();
    names
        .filter_map(|name| Some((distance(&given, &name.to_lowercase())?, name)))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

fn distance(given: &str, name: &str) -> Option<usize> {
    let is_prefix = given.len() >= 3 && (name.starts_with(given) || given.starts_with(name));
    if is_prefix {
        return Some(given.len().abs_diff(name.len()).min(1));
    }
    let distance = edit_distance(given, name);
    (distance <= name.len() / 3).then_some(distance)
}

/// Levenshtein distance: the number of insertions, deletions and replacements between two texts.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edit_distance_counts_insertions_deletions_and_replacements() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn a_suggestion_ignores_case_and_accepts_prefixes() {
        let names = || ["kernel_size", "stride", "padding"].into_iter();
        assert_eq!(nearest("Stride", names()), Some("stride"));
        assert_eq!(nearest("kernel", names()), Some("kernel_size"));
        assert_eq!(nearest("pading", names()), Some("padding"));
        assert_eq!(nearest("units", names()), None);
    }
}
