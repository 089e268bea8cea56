//! Python expressions, laid out as the formatter `black` would leave them.
//!
//! It splits no bracket that fits into a line, and joins none whose last item is followed by a comma.

use serde_json::Value;

/// Columns of a line.
const WIDTH: usize = 88;
/// Columns of a step inwards.
pub(super) const INDENT: usize = 4;

/// A Python expression that knows how it may be laid out.
pub(super) enum Expression {
    /// A name or a number, perhaps with the argument's name before it.
    Word(String),
    /// A call or a tuple: what stands before the bracket, and in it.
    Bracket {
        head: String,
        items: Vec<Expression>,
        /// Whether each item has a line of its own even if all fit in one.
        is_tall: bool,
    },
}

impl Expression {
    pub fn flat(head: &str, items: Vec<Expression>) -> Self {
        let (head, is_tall) = (head.to_owned(), false);
        Self::Bracket { head, items, is_tall }
    }

    pub fn tall(head: &str, items: Vec<Expression>) -> Self {
        let (head, is_tall) = (head.to_owned(), true);
        Self::Bracket { head, items, is_tall }
    }

    /// A setting as Python writes it, behind the name of its argument.
    pub fn literal(name: &str, value: &Value) -> Self {
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| Self::literal("", item)).collect();
                Self::flat(name, items)
            }
            Value::Null => Self::Word(format!("{name}None")),
            Value::Bool(true) => Self::Word(format!("{name}True")),
            Value::Bool(false) => Self::Word(format!("{name}False")),
            value => Self::Word(format!("{name}{value}")),
        }
    }

    /// The text from column `indent` on, with a comma behind it that must fit too.
    pub fn laid_out(&self, indent: usize) -> String {
        let Self::Bracket { head, items, is_tall } = self else {
            return self.in_one_line();
        };
        if items.is_empty() || !is_tall {
            let line = self.in_one_line();
            if items.is_empty() || indent + line.len() < WIDTH {
                return line;
            }
        }
        let (inner, outer) = (" ".repeat(indent + INDENT), " ".repeat(indent));
        let lines: String = items
            .iter()
            .map(|item| format!("{inner}{},\n", item.laid_out(indent + INDENT)))
            .collect();
        format!("{head}(\n{lines}{outer})")
    }

    fn in_one_line(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Bracket { head, items, .. } => {
                let items: Vec<String> = items.iter().map(Self::in_one_line).collect();
                format!("{head}({})", items.join(", "))
            }
        }
    }
}
