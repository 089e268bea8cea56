//! Text in pictures.

/// The name of the font in an SVG, with a fallback for browsers.
pub(super) const FONT: &str = "Ubuntu, sans-serif";

/// Replaces characters that XML does not allow, such as control characters in the names of an ONNX file.
pub(super) fn writable(text: &str) -> String {
    let is_writable = |c: char| matches!(c, ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars()
        .map(|c| if is_writable(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Limits a text to a number of characters by leaving out the middle.
pub(super) fn shorten(text: &str, max_length: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= max_length {
        return text.to_owned();
    }
    let half = (max_length / 2).saturating_sub(1);
    let (start, end) = (&characters[..half], &characters[characters.len() - half..]);
    start.iter().chain(['…'].iter()).chain(end).collect()
}

/// The approximate width of a text of a font size: on average, a letter is a little more than half as wide as high.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

/// A count in few characters: `999`, `12.3k`.
pub(super) fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..100_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{}k", number / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_are_given_in_thousands() {
        assert_eq!([9_999, 12_345, 123_999].map(count), ["9999", "12.3k", "123k"]);
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        let name = shorten("features.denseblock4.denselayer16.conv2", 26);

        assert_eq!(name.chars().count(), 25);
        assert!(name.starts_with("features.de") && name.ends_with("r16.conv2"));
        assert_eq!(shorten("conv2", 5), "conv2");
    }
}
