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
    /// An entry of the audit log.
    AuditEntryId,
}
