//! How words and counts of the domain stand in columns.

use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as WordError};

use super::StoreError;
use scv_domain::page::{Page, Slice};

/// The word that stands for an enum value in a text column: its name in the API.
pub(super) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("only plain enums are stored as words, got {other:?}"),
    }
}

/// Where a value was read, for the error that names it.
pub(super) struct Place {
    pub(super) table: &'static str,
    pub(super) row: i64,
}

impl Place {
    /// The enum value that a word stands for.
    pub(super) fn word<T: DeserializeOwned>(&self, column: &'static str, word: &str) -> Result<T, StoreError> {
        T::deserialize(IntoDeserializer::<WordError>::into_deserializer(word)).map_err(|_| self.corrupt(column, word))
    }

    /// A structure kept as JSON.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        json: serde_json::Value,
    ) -> Result<T, StoreError> {
        T::deserialize(&json).map_err(|_| self.corrupt(column, json))
    }

    /// A structure kept as JSON, if it is there.
    pub(super) fn json_option<T: DeserializeOwned>(
        &self,
        column: &'static str,
        json: Option<serde_json::Value>,
    ) -> Result<Option<T>, StoreError> {
        json.map(|json| self.json(column, json)).transpose()
    }

    /// Text that was checked when it was written.
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

/// Rows of several lists, one list behind the other, as a page of each.
pub(super) fn slices<K: PartialEq, T: Clone, C>(
    rows: &[T],
    page: &Page<C>,
    list: impl Fn(&T) -> K,
) -> Vec<(K, Slice<T>)> {
    rows.chunk_by(|a, b| list(a) == list(b))
        .map(|of_one| (list(&of_one[0]), Slice::from_rows(of_one.to_vec(), page)))
        .collect()
}

/// The raw numbers of typed things, for `= any($1)` and `unnest($1)`.
pub(super) fn raw<T: Copy, N>(things: &[T], number: impl Fn(T) -> N) -> Vec<N> {
    things.iter().map(|&thing| number(thing)).collect()
}
