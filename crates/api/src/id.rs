//! Global ids and cursors: opaque to clients, checked when a client sends them.

use async_graphql::ID;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Result};
use scv_domain::id::{DatasetId, JobId, Key, LayerId, ModelId, ProbeSetId, SynthesisId, TokenId, VersionId};

/// A key that can be encoded as a global id.
pub trait GlobalId: Copy + Into<Key> + TryFrom<Key> {
    /// The type's name in the schema.
    const TYPE: &'static str;

    /// Where clients find ids of this type.
    const SOURCE: &'static str;

    /// The global id.
    fn encode(self) -> ID {
        encode_key(self.into())
    }

    /// Decodes a global id.
    ///
    /// # Errors
    /// The id is invalid, or of another type.
    fn decode(id: &ID) -> Result<Self> {
        let Some(key) = parse(id) else {
            return Err(invalid(id, &encode(Self::TYPE, 1), Self::SOURCE));
        };
        Self::try_from(key).map_err(|_| {
            ApiError::bad_input(format!(
                "{:?} is the id of a {}, not of a {}: {}",
                id.0,
                key.type_name(),
                Self::TYPE,
                Self::SOURCE
            ))
        })
    }
}

macro_rules! global_ids {
    ($($variant:ident($key:ident) from $source:literal),* $(,)?) => {$(
        impl GlobalId for $key {
            const TYPE: &'static str = stringify!($variant);
            const SOURCE: &'static str = $source;
        }
    )*};
}

global_ids! {
    Dataset(DatasetId) from "`dataset(name:)` returns the id of a data set by its name",
    ProbeSet(ProbeSetId) from "`Dataset.probeSets` returns the ids of probe sets",
    Model(ModelId) from "`model(name:)` returns the id of a model by its name",
    Version(VersionId) from "`Model.version` and `Model.versions` return the ids of versions",
    Layer(LayerId) from "`Version.layers` returns the ids of layers",
    Job(JobId) from "`jobs` returns the ids of jobs",
    Synthesis(SynthesisId) from "`Version.syntheses` returns the ids of synthetic images",
    Token(TokenId) from "`tokens` returns the ids of tokens",
}

/// The global id of a key.
pub fn encode_key(key: Key) -> ID {
    encode(key.type_name(), key.number())
}

/// Decodes a global id of any type.
///
/// # Errors
/// The id is invalid.
pub fn decode_key(id: &ID) -> Result<Key> {
    parse(id).ok_or_else(|| {
        let source = "every object that this server returns has one in its field `id`";
        invalid(id, &encode(ModelId::TYPE, 1), source)
    })
}

fn encode(type_name: &str, number: i64) -> ID {
    ID(BASE64_URL_SAFE_NO_PAD.encode(format!("{type_name}:{number}")))
}

fn parse(id: &ID) -> Option<Key> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&id.0).ok()?).ok()?;
    let (type_name, number) = text.split_once(':')?;
    Key::new(type_name, number.parse().ok()?)
}

fn invalid(id: &ID, example: &ID, source: &str) -> ApiError {
    ApiError::bad_input(format!(
        "{:?} is not a valid id: ids look like {:?}, and {source}",
        id.0, example.0
    ))
}

/// Encodes a cursor for clients.
pub fn encode_cursor<C: Serialize>(cursor: &C) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!(cursor).to_string())
}

/// Decodes a cursor that a client sent.
///
/// # Errors
/// The cursor does not belong to this kind of list.
pub fn decode_cursor<C: DeserializeOwned>(argument: &str, text: Option<String>) -> Result<Option<C>> {
    let Some(text) = text else { return Ok(None) };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).ok();
    match bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        Some(cursor) => Ok(Some(cursor)),
        None => Err(ApiError::bad_input(format!(
            "`{argument}` is not a valid cursor of this list: use a `cursor` or `endCursor` that it returned"
        ))),
    }
}
