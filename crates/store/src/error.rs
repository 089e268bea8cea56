//! What can go wrong with the database. A violated constraint is the caller's doing and has a name;
//! everything else is the running system's or ours.

/// A failed read or write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The write would break a rule; nothing was written.
    #[error("the change conflicts with what is stored: {0}")]
    Conflict(Conflict),
    /// A row that we could not have written.
    #[error("{table}.{column} of row {row} holds {value:?}, which this version of SCV does not know")]
    Corrupt {
        /// Table of the row.
        table: &'static str,
        /// Column of the value.
        column: &'static str,
        /// Key of the row.
        row: i64,
        /// What it holds.
        value: String,
    },
    /// All connections have been in use for too long.
    #[error("the database is busy")]
    Busy,
    /// A statement took longer than anybody waits for it.
    #[error("the database took too long")]
    TimedOut,
    /// A text holds what PostgreSQL cannot keep.
    #[error("a text may not contain the character U+0000: leave it out")]
    Text,
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database cannot be reached, is overloaded, or refuses a statement.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
}

/// PostgreSQL's codes for texts and JSON that hold U+0000.
const UNKEEPABLE_TEXT: [&str; 2] = ["22021", "22P05"];

/// PostgreSQL's code for a statement that was ended, as by its timeout.
const CANCELLED: &str = "57014";

/// A rule of the schema that a write would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two models of one name.
    #[error("a model of this name exists already: choose another name")]
    ModelName,
    /// Two data sets of one name.
    #[error("a data set of this name exists already: choose another name")]
    DatasetName,
    /// Two versions with one number, from registrations at the same moment.
    #[error("another version of the model was registered at the same moment: try again")]
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
            Some(code) if UNKEEPABLE_TEXT.contains(&code) => return Self::Text,
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
