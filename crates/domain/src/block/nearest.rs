//! Guesses which name was meant by a misspelt one.

/// Longer names are not worth a guess.
const MAX_NAME_LENGTH: usize = 64;

/// The name most like `given`, if one is like it at all.
///
/// Alike means: the same but for upper and lower case, one the beginning of the other, or at most
/// a third of the letters apart in edit distance.
pub(super) fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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
    let is_beginning = given.len() >= 3 && (name.starts_with(given) || given.starts_with(name));
    if is_beginning {
        return Some(given.len().abs_diff(name.len()).min(1));
    }
    let distance = edit_distance(given, name);
    (distance <= name.len() / 3).then_some(distance)
}

/// Levenshtein distance: insertions, deletions and replacements that turn one text into the other.
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
    fn a_guess_ignores_case_and_takes_beginnings() {
        let names = || ["kernel_size", "stride", "padding"].into_iter();
        assert_eq!(nearest("Stride", names()), Some("stride"));
        assert_eq!(nearest("kernel", names()), Some("kernel_size"));
        assert_eq!(nearest("pading", names()), Some("padding"));
        assert_eq!(nearest("units", names()), None);
    }
}
