//! What a parameter of a block may be.

use std::fmt;

use serde_json::{Value, json};

use super::draft::Draft;
use super::error::ErrorRule;

/// One parameter of a kind: its name, values, default and meaning.
#[derive(Debug)]
pub struct ParameterSpec {
    /// PyTorch's name.
    pub name: &'static str,
    /// The values allowed.
    pub value: ParameterType,
    /// What an absent parameter means.
    pub default: ParameterDefault,
    /// What it does and which rule it obeys, in a sentence.
    pub rule: &'static str,
}

/// What an absent parameter means.
#[derive(Debug)]
pub enum ParameterDefault {
    /// It must be given.
    Required,
    /// This value.
    Value(Value),
    /// A value that follows from the other parameters or from what arrives. `null` asks for it too.
    Derived(Derivation),
    /// The parameter is taken so that PyTorch's arguments can be pasted, checked, and forgotten.
    Ignored,
}

/// Works out a default from the parameters before it and the shape that arrives.
pub(super) type Derivation = fn(&Draft<'_>) -> Option<Value>;

/// The JSON values a parameter may take.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterType {
    /// `true` or `false`.
    Boolean,
    /// A whole number, written without a decimal point.
    Integer {
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// Any number.
    Number {
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// `null`
    Null,
    /// One value for all places, or a list with one for each. `null` stands in the list only.
    Each {
        /// How many places there are.
        count: usize,
        /// What each may be.
        of: Box<ParameterType>,
    },
    /// Whatever one of these allows.
    Either(Vec<ParameterType>),
    /// A list of blocks. It stands beside `kind` in the block, not among the parameters.
    Blocks,
}

impl ParameterSpec {
    pub(super) fn required(name: &'static str, value: ParameterType, rule: &'static str) -> Self {
        Self {
            name,
            value,
            default: ParameterDefault::Required,
            rule,
        }
    }

    pub(super) fn optional(name: &'static str, value: ParameterType, default: Value, rule: &'static str) -> Self {
        Self {
            name,
            value,
            default: ParameterDefault::Value(default),
            rule,
        }
    }

    pub(super) fn derived(name: &'static str, value: ParameterType, default: Derivation, rule: &'static str) -> Self {
        Self {
            name,
            value,
            default: ParameterDefault::Derived(default),
            rule,
        }
    }

    /// The `inplace` of PyTorch's activations, which changes no result.
    pub(super) fn inplace() -> Self {
        Self {
            name: "inplace",
            value: ParameterType::Boolean,
            default: ParameterDefault::Ignored,
            rule: "Accepted as in PyTorch; changes nothing here.",
        }
    }

    /// Whether a block without it is refused.
    pub fn is_required(&self) -> bool {
        matches!(self.default, ParameterDefault::Required)
    }

    /// The default as JSON; none for a required parameter and for a default that depends on the rest.
    pub fn default_value(&self) -> Option<Value> {
        match &self.default {
            ParameterDefault::Required | ParameterDefault::Derived(_) => None,
            ParameterDefault::Value(value) => Some(value.clone()),
            ParameterDefault::Ignored => Some(json!(false)),
        }
    }
}

impl ParameterType {
    /// A finite `f32` of either sign.
    pub(super) const ANY_NUMBER: Self = Self::Number {
        min: f32::MIN as f64,
        max: f32::MAX as f64,
    };

    /// One whole number for rows and columns, or one for each.
    pub(super) fn pair(min: i64, max: i64) -> Self {
        Self::Integer { min, max }.each(2)
    }

    pub(super) fn each(self, count: usize) -> Self {
        Self::Each {
            count,
            of: Box::new(self),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::Either(vec![self, other])
    }

    /// The value in its one canonical form, or the rule it breaks.
    ///
    /// Numbers become floats, and a list of equal values becomes the value, so that equal layers
    /// have equal settings however they were written.
    pub(super) fn check(&self, value: &Value) -> Result<Value, ErrorRule> {
        match self {
            Self::Boolean if value.is_boolean() => Ok(value.clone()),
            Self::Null if value.is_null() => Ok(Value::Null),
            Self::Integer { min, max } if value.is_i64() || value.is_u64() => value
                .as_i64()
                .filter(|integer| (min..=max).contains(&integer))
                .map(Value::from)
                .ok_or(ErrorRule::OutOfRange),
            Self::Number { min, max } if value.is_number() => value
                .as_f64()
                .filter(|number| (min..=max).contains(&number))
                .map(Value::from)
                .ok_or(ErrorRule::OutOfRange),
            Self::Word(words) => {
                let word = value.as_str().ok_or(ErrorRule::WrongType)?;
                words
                    .contains(&word)
                    .then(|| Value::from(word))
                    .ok_or(ErrorRule::OutOfRange)
            }
            Self::Each { count, of } => match value.as_array() {
                // Nothing cannot stand for all places: PyTorch takes `null` inside a list only.
                None if value.is_null() => Err(ErrorRule::WrongType),
                None => of.check(value),
                Some(items) if items.len() == *count => check_all(items, of),
                Some(_) => Err(ErrorRule::WrongType),
            },
            Self::Either(types) => check_any(types, value),
            _ => Err(ErrorRule::WrongType),
        }
    }
}

fn check_all(items: &[Value], of: &ParameterType) -> Result<Value, ErrorRule> {
    let mut checked = items.iter().map(|item| of.check(item)).collect::<Result<Vec<_>, _>>()?;
    if !checked.contains(&Value::Null) && checked.windows(2).all(|pair| pair[0] == pair[1]) {
        return checked.pop().ok_or(ErrorRule::WrongType);
    }
    Ok(Value::Array(checked))
}

fn check_any(types: &[ParameterType], value: &Value) -> Result<Value, ErrorRule> {
    let mut broken = ErrorRule::WrongType;
    for candidate in types {
        match candidate.check(value) {
            Ok(checked) => return Ok(checked),
            Err(ErrorRule::OutOfRange) => broken = ErrorRule::OutOfRange,
            Err(_) => {}
        }
    }
    Err(broken)
}

impl fmt::Display for ParameterType {
    /// The values allowed, in words: "an integer from 1 to 8, or a list of 2 of them".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            number if *number == Self::ANY_NUMBER => f.write_str("a number"),
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                f.write_str(&quoted.join(" or "))
            }
            Self::Null => f.write_str("null"),
            Self::Each { count, of } => match of.as_ref() {
                Self::Either(types) => {
                    write!(f, "{}, or a list of {count} of them or null", types[0])
                }
                of => write!(f, "{of}, or a list of {count} of them"),
            },
            Self::Either(types) => {
                let written: Vec<String> = types.iter().map(Self::to_string).collect();
                f.write_str(&written.join(", or "))
            }
            Self::Blocks => f.write_str("a list of blocks"),
        }
    }
}
