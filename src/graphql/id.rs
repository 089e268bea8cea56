//! Global ids and cursors: opaque to clients, checked on their way in.

use async_graphql::ID;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Result};
use scv_domain::id::{DatasetId, JobId, LayerId, ModelId, ProbeSetId, SynthesisId, TokenId, VersionId};

/// A key of any table that the API knows.
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

/// A key that has a global id.
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

    /// The key behind a global id.
    ///
    /// # Errors
    /// The id is none of ours, or of another type.
    fn decode(id: &ID) -> Result<Self> {
        let key = Key::decode(id)?;
        Self::of(key).ok_or_else(|| {
            ApiError::bad_input(format!(
                "the id {:?} is of a {}, not of a {}",
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
    /// The key behind a global id.
    ///
    /// # Errors
    /// The id is none of ours.
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
                "{:?} is not an id of this server: use an `id` it gave out",
                id.0
            ))
        })
    }
}

/// A cursor in the form clients see.
pub fn encode_cursor<C: Serialize>(cursor: &C) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!(cursor).to_string())
}

/// The cursor that a client gives back.
///
/// # Errors
/// It is none that this list gave out.
pub fn decode_cursor<C: DeserializeOwned>(argument: &str, text: Option<String>) -> Result<Option<C>> {
    let Some(text) = text else { return Ok(None) };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).ok();
    match bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        Some(cursor) => Ok(Some(cursor)),
        None => Err(ApiError::bad_input(format!(
            "`{argument}` is not a cursor of this list: use an `endCursor` or `cursor` it gave out"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_the_key_it_was_made_of() {
        assert_eq!(LayerId::decode(&LayerId(7).encode()).ok(), Some(LayerId(7)));
    }

    #[test]
    fn an_id_of_another_type_says_which() {
        let error = LayerId::decode(&ModelId(7).encode()).map_err(async_graphql::Error::from);
        assert_eq!(
            error.map_err(|e| e.message),
            Err("the id \"TW9kZWw6Nw\" is of a Model, not of a Layer".to_owned())
        );
    }
}
