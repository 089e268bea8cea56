//! Keys of the catalogue. Each table has its own type, so that keys cannot be mixed up.

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

keys! {
    /// A data set.
    DatasetId,
    /// A probe set.
    ProbeSetId,
    /// A model.
    ModelId,
    /// A version of a model.
    VersionId,
    /// A layer of a version.
    LayerId,
    /// A background job.
    JobId,
    /// A synthetic image.
    SynthesisId,
    /// An account.
    AccountId,
    /// A token of an account.
    TokenId,
    /// A browser that has signed in with a token.
    SessionId,
    /// An entry of the audit log.
    AuditEntryId,
}

macro_rules! objects {
    ($($(#[$doc:meta])* $variant:ident($key:ident)),* $(,)?) => {
        /// The key of any object that clients can look up by its id.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Key {
            $($(#[$doc])* $variant($key),)*
        }

        $(
            impl From<$key> for Key {
                fn from(key: $key) -> Self {
                    Self::$variant(key)
                }
            }

            impl TryFrom<Key> for $key {
                type Error = Key;

                fn try_from(key: Key) -> Result<Self, Key> {
                    match key {
                        Key::$variant(key) => Ok(key),
                        other => Err(other),
                    }
                }
            }
        )*

        impl Key {
            /// The key of a row of a type; `None` if the type is unknown.
            pub fn new(type_name: &str, number: i64) -> Option<Self> {
                match type_name {
                    $(stringify!($variant) => Some(Self::$variant($key(number))),)*
                    _ => None,
                }
            }

            /// The type of the object.
            pub fn type_name(self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)*
                }
            }

            /// The key of its row.
            pub fn number(self) -> i64 {
                match self {
                    $(Self::$variant(key) => key.0,)*
                }
            }
        }
    };
}

objects! {
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
