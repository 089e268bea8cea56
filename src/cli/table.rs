//! Tables and numbers as text.

use chrono::{DateTime, Utc};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};

/// A rule below the header and no other line.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table with a header. Columns whose name begins with `>` are aligned to the right.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(head.iter().map(|name| Cell::new(name.trim_start_matches('>'))));
    for row in rows {
        table.add_row(row);
    }
    for (index, name) in head.iter().enumerate() {
        if name.starts_with('>')
            && let Some(column) = table.column_mut(index)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Names and values, one pair per line, the values aligned. Pairs without a value are left out.
pub(super) fn properties(pairs: &[(&str, String)]) -> String {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    let width = pairs.clone().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = pairs.map(|(name, value)| format!("{name:width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A score with three decimals.
pub(super) fn score(value: f64) -> String {
    format!("{value:.3}")
}

/// A share as a percentage; a dash if it is unknown. Only a share of 1 is 100.0%.
pub(super) fn percent(share: Option<f64>) -> String {
    let Some(share) = share else {
        return "-".to_owned();
    };
    let text = format!("{:.1}%", share * 100.0);
    if text == "100.0%" && share < 1.0 {
        format!("{:.2}%", (share * 10_000.0).floor() / 100.0)
    } else {
        text
    }
}

/// A shape such as `16x8x8`.
pub(super) fn shape(shape: &[u32]) -> String {
    shape.iter().map(u32::to_string).collect::<Vec<_>>().join("x")
}

/// A count with its noun, such as `1 layer` or `12 layers`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A time in UTC, to the minute.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_everything_is_a_hundred_percent() {
        let shares = [None, Some(0.9866), Some(0.9999), Some(0.999_999), Some(1.0)];
        assert_eq!(shares.map(percent), ["-", "98.7%", "99.99%", "99.99%", "100.0%"]);
    }

    #[test]
    fn properties_without_a_value_are_left_out() {
        let pairs = [
            ("name", "a".to_owned()),
            ("tags", String::new()),
            ("versions", "2".to_owned()),
        ];
        assert_eq!(properties(&pairs), "name      a\nversions  2");
    }
}
