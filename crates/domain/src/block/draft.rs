//! A block on its way to becoming a layer: its valid parameters and its input shape.

use serde_json::{Map, Value};

use super::catalogue::KindSpec;
use super::error::{ErrorRule, Problem, format_value, truncated};
use super::parameter::{ParameterDefault, ParameterSpec, ParameterType};
use crate::nearest::nearest;

/// The valid parameters of one block, including defaults, with its input shape.
///
/// Invalid parameters are absent, and so is the shape if an error in an earlier block hides it. Rules
/// that read them return `None`, so that they report nothing about what is unknown.
#[derive(Debug)]
pub struct Draft<'a> {
    settings: Map<String, Value>,
    input: Option<&'a [usize]>,
}

impl<'a> Draft<'a> {
    /// Reads the parameters of a block of a kind, and reports all problems.
    pub(super) fn read(
        kind: &KindSpec,
        given: &Map<String, Value>,
        input: Option<&'a [usize]>,
    ) -> (Self, Vec<Problem>) {
        let mut draft = Self {
            settings: Map::new(),
            input,
        };
        let mut problems = Vec::new();
        let mut misspelt = Vec::new();
        for name in given.keys().filter(|name| kind.parameter(name).is_none()) {
            let suggestion = nearest(name, kind.plain_parameters().map(|spec| spec.name));
            problems.push(unknown_parameter(kind, name, suggestion));
            misspelt.extend(suggestion);
        }
        for spec in kind.plain_parameters() {
            match given.get(spec.name) {
                // The default is not the value meant by a misspelt parameter, so the value stays unknown.
                None if misspelt.contains(&spec.name) => {}
                Some(value) if !(value.is_null() && matches!(spec.default, ParameterDefault::Derived(_))) => {
                    problems.extend(draft.set(kind, spec, value));
                }
                _ => problems.extend(draft.set_default(kind, spec)),
            }
        }
        (draft, problems)
    }

    fn set(&mut self, kind: &KindSpec, spec: &ParameterSpec, value: &Value) -> Option<Problem> {
        match spec.value.check(value) {
            Ok(_) if matches!(spec.default, ParameterDefault::Ignored) => None,
            Ok(checked) => {
                self.settings.insert(spec.name.to_owned(), checked);
                None
            }
            Err(rule) => Some(invalid_value(kind, spec, value, rule)),
        }
    }

    fn set_default(&mut self, kind: &KindSpec, spec: &ParameterSpec) -> Option<Problem> {
        let value = match &spec.default {
            ParameterDefault::Required => return Some(missing_parameter(kind, spec)),
            ParameterDefault::Ignored => return None,
            ParameterDefault::Value(value) => Some(value.clone()),
            ParameterDefault::Derived(derive) => derive(self),
        };
        self.settings.extend(value.map(|value| (spec.name.to_owned(), value)));
        None
    }

    /// The settings of the layer.
    pub(super) fn into_settings(self) -> Value {
        Value::Object(self.settings)
    }

    /// A valid parameter as JSON.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.settings.get(name)
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_i64()
    }

    /// A non-negative integer.
    pub(super) fn size(&self, name: &str) -> Option<usize> {
        usize::try_from(self.integer(name)?).ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_f64()
    }

    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    pub(super) fn choice(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// One value per element of a list; a single value is repeated.
    pub(super) fn each<const N: usize>(&self, name: &str) -> Option<[&Value; N]> {
        match self.value(name)? {
            Value::Array(items) => items.iter().collect::<Vec<_>>().try_into().ok(),
            value => Some([value; N]),
        }
    }

    pub(super) fn integers<const N: usize>(&self, name: &str) -> Option<[i64; N]> {
        let integers: Option<Vec<i64>> = self.each::<N>(name)?.into_iter().map(Value::as_i64).collect();
        integers?.try_into().ok()
    }

    /// Rows and columns; not negative.
    pub(super) fn pair(&self, name: &str) -> Option<[usize; 2]> {
        let [rows, columns] = self.integers(name)?;
        Some([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?])
    }

    /// The input shape, for one image.
    pub(super) fn input(&self) -> Option<&'a [usize]> {
        self.input
    }

    /// Channels, rows and columns of the input, if it is an image.
    pub(super) fn image(&self) -> Option<[usize; 3]> {
        self.input?.try_into().ok()
    }

    /// Number of input features, if the input is flat.
    pub(super) fn features(&self) -> Option<usize> {
        let [features] = self.input?.try_into().ok()?;
        Some(features)
    }
}

fn unknown_parameter(kind: &KindSpec, name: &str, suggestion: Option<&str>) -> Problem {
    let names: Vec<&str> = kind.plain_parameters().map(|spec| spec.name).collect();
    let shown = truncated(name);
    let problem = Problem::new(
        ErrorRule::UnknownParameter,
        match suggestion {
            Some(suggestion) => format!("{} has no parameter `{shown}`; did you mean `{suggestion}`?", kind.name),
            // Only lists of blocks are written next to `kind` instead of in `parameters`.
            None if kind.parameters.iter().any(|spec| spec.name == name) => {
                format!("Write `{shown}` next to `kind`, not in `parameters`.")
            }
            None if names.is_empty() => {
                format!("{} takes no parameters; remove `{shown}`.", kind.name)
            }
            None => format!(
                "{} has no parameter `{shown}`; it takes {}.",
                kind.name,
                names.join(", ")
            ),
        },
    );
    problem
        .for_parameter(name)
        .expected(suggestion.map_or_else(|| names.join(", "), str::to_owned))
        .actual(shown)
}

fn missing_parameter(kind: &KindSpec, spec: &ParameterSpec) -> Problem {
    let message = format!("{} needs `{}`: {}.", kind.name, spec.name, spec.value);
    Problem::new(ErrorRule::MissingParameter, message)
        .for_parameter(spec.name)
        .expected(&spec.value)
}

fn invalid_value(kind: &KindSpec, spec: &ParameterSpec, value: &Value, rule: ErrorRule) -> Problem {
    let expected = match &spec.default {
        ParameterDefault::Derived(_) => spec.value.clone().or(ParameterType::Null),
        _ => spec.value.clone(),
    };
    let actual = format_value(value);
    let message = format!("`{}` of {} must be {expected}; it is {actual}.", spec.name, kind.name);
    Problem::new(rule, message)
        .for_parameter(spec.name)
        .expected(expected)
        .actual(actual)
}
