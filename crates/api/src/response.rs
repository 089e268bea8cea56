//! Responses as JSON.

use async_graphql::{Response, Value};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::SerializeMap as _;

/// Whether the request was executed. Errors of its document, its variables or its complexity have no path.
pub fn is_executed(response: &Response) -> bool {
    response.data != Value::Null
        || response.errors.is_empty()
        || response.errors.iter().any(|error| !error.path.is_empty())
}

/// A response as JSON, with `data` only if the request was executed. A page has thousands of values, and generic code is compiled
/// in the crate that uses it: in this one for speed, in the server for size.
///
/// # Errors
/// `serde_json` fails, which no response makes it do.
pub fn to_json(response: &Response) -> serde_json::Result<Bytes> {
    serde_json::to_vec(&Body(response)).map(Bytes::from)
}

struct Body<'a>(&'a Response);

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Response {
            data,
            extensions,
            errors,
            ..
        } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !errors.is_empty() {
            map.serialize_entry("errors", errors)?;
        }
        if is_executed(self.0) {
            map.serialize_entry("data", data)?;
        }
        if !extensions.is_empty() {
            map.serialize_entry("extensions", extensions)?;
        }
        map.end()
    }
}
