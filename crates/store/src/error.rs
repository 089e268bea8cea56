//! Database errors. A violated constraint is the caller's fault and has a variant of its own; all other errors are the fault of
//! the running system or of SCV.

/// A failed read or write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The write would violate a constraint; nothing was written.
    #[error("the change conflicts with what is stored: {0}")]
    Conflict(Conflict),
    /// A row that this version of SCV could not have written.
    #[error("{table}.{column} of row {row} holds {value:?}, which this version of SCV does not know")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// Column of the value.
        column: &'static str,
        /// Key of the row.
        row: i64,
        /// Its value.
        value: String,
    },
    /// No connection became available in time.
    #[error("the database is busy")]
    Busy,
    /// A statement exceeded its timeout.
    #[error("the database took too long")]
    TimedOut,
    /// A text contains a character that PostgreSQL cannot store.
    #[error("a text may not contain the character U+0000: leave it out")]
    Text,
    /// What a search was reading was replaced or deleted, again and again, or is gone for good.
    #[error(
        "the layers of the probe set changed again and again while they were searched: try again. If that never \
         helps, tables of their sketches are missing: restore the database from a backup"
    )]
    Overtaken,
    /// An error that several callers get.
    #[error(transparent)]
    Shared(std::sync::Arc<StoreError>),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database cannot be reached, is overloaded, or refuses a statement.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
}

impl StoreError {
    /// The error that several callers got, or this one.
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Shared(error) => error.innermost(),
            other => other,
        }
    }
}

/// PostgreSQL's codes for texts and JSON that contain U+0000.
const UNSUPPORTED_TEXT: [&str; 2] = ["22021", "22P05"];

/// PostgreSQL's code for a statement that was cancelled, for example by its timeout.
const CANCELLED: &str = "57014";

/// A constraint that a write would violate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two models with the same name.
    #[error("a model with this name exists already: choose another name")]
    ModelName,
    /// Two data sets with the same name.
    #[error("a data set with this name exists already: choose another name")]
    DatasetName,
    /// Two versions with the same number, registered at the same time.
    #[error("another version of the model was registered at the same time: try again")]
    VersionNumber,
}

impl Conflict {
    fn of_constraint(name: &str) -> Option<Self> {
        Some(match name {
            "model_name_key" => Self::ModelName,
            "dataset_name_key" => Self::DatasetName,
            "version_number_key" => Self::VersionNumber,
            _ => return None,
        })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::PoolTimedOut = error {
            return Self::Busy;
        }
        let code = error.as_database_error().and_then(|e| e.code());
        match code.as_deref() {
            Some(code) if UNSUPPORTED_TEXT.contains(&code) => return Self::Text,
            Some(CANCELLED) => return Self::TimedOut,
            _ => {}
        }
        let conflict = error
            .as_database_error()
            .and_then(|e| e.constraint())
            .and_then(Conflict::of_constraint);
        match conflict {
            Some(conflict) => Self::Conflict(conflict),
            None => Self::Database(error),
        }
    }
}
