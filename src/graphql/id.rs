//! Global ids and cursors: opaque to clients, checked when a client sends them.

use async_graphql::ID;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Result};
use scv_domain::id::{DatasetId, JobId, LayerId, ModelId, ProbeSetId, SynthesisId, TokenId, VersionId};

/// The key of any object that has a global id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A data set.
    Dataset(DatasetId),
    /// A probe set.
    ProbeSet(ProbeSetId),
    /// A model.
    Model(ModelId),
    /// A version.
    Version(VersionId),
    /// A layer.
    Layer(LayerId),
    /// A job.
    Job(JobId),
    /// A synthetic image.
    Synthesis(SynthesisId),
    /// A token.
    Token(TokenId),
}

/// A key that can be encoded as a global id.
pub trait GlobalId: Copy + Into<Key> {
    /// The type's name in the schema.
    const TYPE: &'static str;

    /// The key, if it is of this type.
    fn of(key: Key) -> Option<Self>;

    /// The global id.
    fn encode(self) -> ID {
        let key: Key = self.into();
        ID(BASE64_URL_SAFE_NO_PAD.encode(format!("{}:{}", Self::TYPE, key.number())))
    }

    /// Decodes a global id.
    ///
    /// # Errors
    /// The id is invalid, or of another type.
    fn decode(id: &ID) -> Result<Self> {
        let key = Key::decode(id)?;
        Self::of(key).ok_or_else(|| {
            ApiError::bad_input(format!(
                "the id {:?} refers to a {}, not to a {}",
                id.0,
                key.type_name(),
                Self::TYPE
            ))
        })
    }
}

macro_rules! global_ids {
    ($($key:ident => $variant:ident),* $(,)?) => {
        $(
            impl From<$key> for Key {
                fn from(key: $key) -> Self {
                    Self::$variant(key)
                }
            }

            impl GlobalId for $key {
                const TYPE: &'static str = stringify!($variant);

                fn of(key: Key) -> Option<Self> {
                    match key {
                        Key::$variant(key) => Some(key),
                        _ => None,
                    }
                }
            }
        )*

        impl Key {
            /// The type's name in the schema.
            pub fn type_name(self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)*
                }
            }

            fn number(self) -> i64 {
                match self {
                    $(Self::$variant(key) => key.0,)*
                }
            }

            fn new(type_name: &str, number: i64) -> Option<Self> {
                match type_name {
                    $(stringify!($variant) => Some(Self::$variant($key(number))),)*
                    _ => None,
                }
            }
        }
    };
}

global_ids! {
    DatasetId => Dataset,
    ProbeSetId => ProbeSet,
    ModelId => Model,
    VersionId => Version,
    LayerId => Layer,
    JobId => Job,
    SynthesisId => Synthesis,
    TokenId => Token,
}

impl Key {
    /// Decodes a global id.
    ///
    /// # Errors
    /// The id is invalid.
    pub fn decode(id: &ID) -> Result<Self> {
        let text = BASE64_URL_SAFE_NO_PAD
            .decode(&id.0)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let key = text.as_deref().and_then(|text| {
            let (type_name, number) = text.split_once(':')?;
            Self::new(type_name, number.parse().ok()?)
        });
        key.ok_or_else(|| {
            ApiError::bad_input(format!(
                "{:?} is not a valid id: use an `id` that this server returned",
                id.0
            ))
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_decodes_to_the_key_it_encodes() {
        assert_eq!(LayerId::decode(&LayerId(7).encode()).ok(), Some(LayerId(7)));
    }

    #[test]
    fn the_error_for_an_id_of_another_type_names_both_types() {
        let error = LayerId::decode(&ModelId(7).encode()).map_err(async_graphql::Error::from);
        assert_eq!(
            error.map_err(|e| e.message),
            Err("the id \"TW9kZWw6Nw\" refers to a Model, not to a Layer".to_owned())
        );
    }
}
