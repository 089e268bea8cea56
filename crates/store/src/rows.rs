//! How enum values, texts and numbers of the domain are stored in columns.

use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as NameError};

use super::StoreError;
use scv_domain::page::{Page, Slice};

/// The name under which a text column stores an enum value: its name in the API.
pub(super) fn enum_name<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("only plain enums are stored by name, got {other:?}"),
    }
}

/// The row that a value was read from, for error messages.
pub(super) struct RowContext {
    pub(super) table: &'static str,
    pub(super) row: i64,
}

impl RowContext {
    /// The enum value of a name.
    pub(super) fn enum_value<T: DeserializeOwned>(&self, column: &'static str, name: &str) -> Result<T, StoreError> {
        T::deserialize(IntoDeserializer::<NameError>::into_deserializer(name)).map_err(|_| self.corrupt(column, name))
    }

    /// A structure stored as JSON.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        json: serde_json::Value,
    ) -> Result<T, StoreError> {
        T::deserialize(&json).map_err(|_| self.corrupt(column, json))
    }

    /// A structure stored as JSON, if the column is not null.
    pub(super) fn json_option<T: DeserializeOwned>(
        &self,
        column: &'static str,
        json: Option<serde_json::Value>,
    ) -> Result<Option<T>, StoreError> {
        json.map(|json| self.json(column, json)).transpose()
    }

    /// A text type whose rules were checked when the text was written.
    pub(super) fn text<T: TryFrom<String>>(&self, column: &'static str, text: String) -> Result<T, StoreError> {
        T::try_from(text.clone()).map_err(|_| self.corrupt(column, text))
    }

    fn corrupt(&self, column: &'static str, value: impl ToString) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column,
            row: self.row,
            value: value.to_string(),
        }
    }
}

/// Splits the rows of several lists, one list after the other, into a page per list.
pub(super) fn slices<K: PartialEq, T: Clone, C>(
    rows: &[T],
    page: &Page<C>,
    list: impl Fn(&T) -> K,
) -> Vec<(K, Slice<T>)> {
    rows.chunk_by(|a, b| list(a) == list(b))
        .map(|rows| (list(&rows[0]), Slice::from_rows(rows.to_vec(), page)))
        .collect()
}

/// The raw numbers of typed values, for `= any($1)` and `unnest($1)`.
pub(super) fn raw<T: Copy, N>(values: &[T], number: impl Fn(T) -> N) -> Vec<N> {
    values.iter().map(|&value| number(value)).collect()
}
