//! Words on pictures.

/// The font's name in a drawing, with what browsers may take in its place.
pub(super) const FONT: &str = "Ubuntu, sans-serif";

/// What XML cannot hold, such as control characters in the names of an ONNX file, is shown as unknown.
pub(super) fn writable(text: &str) -> String {
    let is_writable = |c: char| matches!(c, ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars()
        .map(|c| if is_writable(c) { c } else { '\u{fffd}' })
        .collect()
}

/// A text of at most so many characters: longer ones lose their middle.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.to_owned();
    }
    let half = (most / 2).saturating_sub(1);
    let (start, end) = (&characters[..half], &characters[characters.len() - half..]);
    start.iter().chain(['…'].iter()).chain(end).collect()
}

/// How wide a text is about, in units of its size: letters are a little more than half as wide as high.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}

/// A number of things in few characters: `999`, `12.3k`.
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
    fn large_numbers_are_told_in_thousands() {
        assert_eq!([9_999, 12_345, 123_999].map(count), ["9999", "12.3k", "123k"]);
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        let name = shortened("features.denseblock4.denselayer16.conv2", 26);

        assert_eq!(name.chars().count(), 25);
        assert!(name.starts_with("features.de") && name.ends_with("r16.conv2"));
        assert_eq!(shortened("conv2", 5), "conv2");
    }
}
