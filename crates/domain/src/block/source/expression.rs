//! Python expressions, formatted in the style of `black`.
//!
//! `black` does not split brackets that fit on one line, and does not join brackets with a trailing comma.

use serde_json::Value;

/// Maximum line length, in columns.
const WIDTH: usize = 88;
/// Indentation per level, in columns.
pub(super) const INDENT: usize = 4;

/// A Python expression and how to format it.
pub(super) enum Expression {
    /// A literal or a name, optionally prefixed with an argument name.
    Atom(String),
    /// A call or a tuple: the text before the bracket, and the items in it.
    Bracket {
        head: String,
        items: Vec<Expression>,
        /// Whether each item has its own line even if all fit on one.
        is_multiline: bool,
    },
}

impl Expression {
    pub fn flat(head: &str, items: Vec<Expression>) -> Self {
        let (head, is_multiline) = (head.to_owned(), false);
        Self::Bracket {
            head,
            items,
            is_multiline,
        }
    }

    pub fn multiline(head: &str, items: Vec<Expression>) -> Self {
        let (head, is_multiline) = (head.to_owned(), true);
        Self::Bracket {
            head,
            items,
            is_multiline,
        }
    }

    /// A setting as a Python literal, after the name of its argument.
    pub fn literal(name: &str, value: &Value) -> Self {
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::literal("", item)).collect();
                Self::flat(name, items)
            }
            Value::Null => Self::Atom(format!("{name}None")),
            Value::Bool(true) => Self::Atom(format!("{name}True")),
            Value::Bool(false) => Self::Atom(format!("{name}False")),
            value => Self::Atom(format!("{name}{value}")),
        }
    }

    /// Formats the expression from column `indent` on, leaving room for a comma after it.
    pub fn format(&self, indent: usize) -> String {
        let Self::Bracket {
            head,
            items,
            is_multiline,
        } = self
        else {
            return self.format_on_one_line();
        };
        if items.is_empty() || !is_multiline {
            let line = self.format_on_one_line();
            if items.is_empty() || indent + line.len() < WIDTH {
                return line;
            }
        }
        let (inner, outer) = (" ".repeat(indent + INDENT), " ".repeat(indent));
        let lines: String = items
            .iter()
            .map(|item| format!("{inner}{},\n", item.format(indent + INDENT)))
            .collect();
        format!("{head}(\n{lines}{outer})")
    }

    fn format_on_one_line(&self) -> String {
        match self {
            Self::Atom(text) => text.clone(),
            Self::Bracket { head, items, .. } => {
                let items: Vec<String> = items.iter().map(Self::format_on_one_line).collect();
                format!("{head}({})", items.join(", "))
            }
        }
    }
}
