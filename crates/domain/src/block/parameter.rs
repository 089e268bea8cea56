//! Specifications of block parameters.

use std::fmt;

use serde_json::{Value, json};

use super::draft::Draft;
use super::error::ErrorRule;

/// The specification of one parameter: its name, values, default and meaning.
#[derive(Debug)]
pub struct ParameterSpec {
    /// PyTorch's name.
    pub name: &'static str,
    /// The allowed values.
    pub value: ParameterType,
    /// The default.
    pub default: ParameterDefault,
    /// A sentence that describes the parameter and its restrictions.
    pub description: &'static str,
}

/// The meaning of an absent parameter.
#[derive(Debug)]
pub enum ParameterDefault {
    /// The parameter is required.
    Required,
    /// It has this value.
    Value(Value),
    /// Its value is derived from other parameters or from the input. `null` has the same meaning.
    Derived(Derivation),
    /// The parameter is checked and ignored; it is accepted so that PyTorch arguments can be pasted.
    Ignored,
}

/// Derives a default from the parameters before it and the input shape.
pub(super) type Derivation = fn(&Draft<'_>) -> Option<Value>;

/// The JSON values a parameter may take.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterType {
    /// `true` or `false`.
    Boolean,
    /// An integer, written without a decimal point.
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
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// `null`
    Null,
    /// One value for all elements, or a list with one value per element. `null` is allowed only in a list.
    Each {
        /// Number of elements.
        count: usize,
        /// Type of each element.
        of: Box<ParameterType>,
    },
    /// A value of one of these types.
    Either(Vec<ParameterType>),
    /// A list of blocks. It is written next to `kind`, not in `parameters`.
    Blocks,
}

impl ParameterSpec {
    pub(super) fn required(name: &'static str, value: ParameterType, description: &'static str) -> Self {
        Self {
            name,
            value,
            default: ParameterDefault::Required,
            description,
        }
    }

    pub(super) fn optional(
        name: &'static str,
        value: ParameterType,
        default: Value,
        description: &'static str,
    ) -> Self {
        Self {
            name,
            value,
            default: ParameterDefault::Value(default),
            description,
        }
    }

    pub(super) fn derived(
        name: &'static str,
        value: ParameterType,
        default: Derivation,
        description: &'static str,
    ) -> Self {
        Self {
            name,
            value,
            default: ParameterDefault::Derived(default),
            description,
        }
    }

    /// The `inplace` parameter of PyTorch's activations, which does not change the result.
    pub(super) fn inplace() -> Self {
        Self {
            name: "inplace",
            value: ParameterType::Boolean,
            default: ParameterDefault::Ignored,
            description: "Accepted for compatibility with PyTorch; has no effect.",
        }
    }

    /// Whether the parameter is required.
    pub fn is_required(&self) -> bool {
        matches!(self.default, ParameterDefault::Required)
    }

    /// The default as JSON; `None` for required and derived parameters.
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

    /// One integer for both rows and columns, or one for each.
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

    /// The values as a JSON Schema.
    pub fn json_schema(&self) -> Value {
        match self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            number if *number == Self::ANY_NUMBER => json!({ "type": "number" }),
            Self::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
            Self::Choice(options) => json!({ "enum": options }),
            Self::Null => json!({ "type": "null" }),
            Self::Each { count, of } => {
                let items = of.json_schema();
                let list = json!({ "type": "array", "items": items, "minItems": count, "maxItems": count });
                let mut types = of.schemas_outside_lists();
                types.push(list);
                json!({ "anyOf": types })
            }
            Self::Either(types) => json!({ "anyOf": types.iter().map(Self::json_schema).collect::<Vec<_>>() }),
            Self::Blocks => json!({ "type": "array", "items": { "type": "object" } }),
        }
    }

    /// Those of its types that may stand for all elements of a list. `null` may not.
    fn schemas_outside_lists(&self) -> Vec<Value> {
        match self {
            Self::Null => Vec::new(),
            Self::Either(types) => types.iter().flat_map(Self::schemas_outside_lists).collect(),
            other => vec![other.json_schema()],
        }
    }

    /// The canonical form of a value, or the rule it breaks.
    ///
    /// Numbers become floats, and a list of equal values becomes a single value, so that equal layers
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
            Self::Choice(options) => {
                let option = value.as_str().ok_or(ErrorRule::WrongType)?;
                options
                    .contains(&option)
                    .then(|| Value::from(option))
                    .ok_or(ErrorRule::OutOfRange)
            }
            Self::Each { count, of } => match value.as_array() {
                // `null` cannot mean all elements: PyTorch accepts it only inside a list.
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
            Self::Choice(options) => {
                let quoted: Vec<String> = options.iter().map(|option| format!("\"{option}\"")).collect();
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
