//! From the settings of the program to those of its parts.

use std::time::Duration;

use scv_domain::access::AuditRetention;
use scv_llm::{Chat, ChatSetupError, LlmSettings};
use scv_service::{ExplanationSettings, LibrarySettings};
use scv_store::{DatabaseSettings, StoreSettings};

use super::memory::Memory;
use super::{AccessChoice, Config, default_data_dir};
use crate::shell;

/// The timeout of a whole response of the language model, in multiples of the timeout between its parts.
const RESPONSE_TIMEOUT_FACTOR: u32 = 5;

impl Config {
    /// Whether requests need no token.
    pub fn is_open(&self) -> bool {
        match self.access {
            Some(choice) => choice == AccessChoice::Open,
            None => self.listen.ip().is_loopback(),
        }
    }

    /// Checks settings that depend on each other or on the machine.
    ///
    /// # Errors
    /// Of two settings that belong together, only one is given; or the caches leave too little memory.
    pub fn check(&self) -> Result<(), String> {
        match (&self.llm_url, &self.llm_model) {
            (Some(_), None) => return Err("--llm-url requires --llm-model (SCV_LLM_MODEL)".to_owned()),
            (None, Some(_)) => return Err("--llm-model requires --llm-url (SCV_LLM_URL)".to_owned()),
            _ => {}
        }
        Memory::of(self).map(drop)
    }

    /// How its memory is divided. It has been checked.
    fn memory(&self) -> Memory {
        Memory::of(self).unwrap_or_default()
    }

    /// Whether there is a database to open. Commands that do not start a server ask first, so that a misspelt path is an
    /// error and does not become a new library.
    pub fn has_library(&self) -> bool {
        // A directory that cannot be read is reported when it is opened.
        let cluster = self.data_dir.join("postgres").join("PG_VERSION");
        self.database_url.is_some() || cluster.try_exists().unwrap_or(true)
    }

    /// The option that a printed command needs to open the same library, after a space. Empty for the default library,
    /// and for a database that a URL names, which may contain a password.
    pub fn library_option(&self) -> String {
        if self.database_url.is_some() || self.data_dir == default_data_dir() {
            return String::new();
        }
        format!(" --data-dir {}", shell::word(&self.data_dir.display().to_string()))
    }

    /// How to reach the database.
    pub fn database(&self) -> DatabaseSettings {
        DatabaseSettings {
            url: self.database_url.clone(),
            store: StoreSettings {
                connections: self.database_connections,
                // The request times out first, with a better message.
                statement_timeout: Duration::from_secs(self.limits.timeout_seconds + 1),
                sketch_cache_bytes: self.memory().sketch_cache,
                vector_cache_bytes: self.memory().vector_cache,
            },
            data_dir: self.data_dir.clone(),
            postgres_dir: self.postgres_dir.clone(),
            cache_dir: self.cache_dir.clone(),
        }
    }

    /// How much of the audit log is kept.
    pub fn audit_retention(&self) -> AuditRetention {
        AuditRetention {
            days: self.audit_log_days,
            entries: self.audit_log_entries,
        }
    }

    /// The settings of the library: the sizes of its caches, and the language model.
    ///
    /// # Errors
    /// The language model's key cannot be sent, or TLS cannot be set up.
    pub fn library(&self) -> Result<LibrarySettings, ChatSetupError> {
        let memory = self.memory();
        Ok(LibrarySettings {
            explanations: ExplanationSettings {
                chat: self.language_model().map(Chat::new).transpose()?,
                language: self.llm_language.clone(),
                daily_limit: self.max_daily_explanations,
                cache_bytes: memory.explanation_cache,
            },
            answer_cache_bytes: memory.answer_cache,
            search_cache_bytes: memory.search_cache,
            activation_bytes: memory.activations,
            work_bytes: memory.work,
            network_cache_bytes: memory.network_cache,
            probe_cache_bytes: memory.probe_cache,
            split_cache_bytes: memory.split_cache,
            picture_bytes: self.picture_bytes,
        })
    }

    /// The language model that writes explanations, if one is configured.
    fn language_model(&self) -> Option<LlmSettings> {
        let idle_timeout = Duration::from_secs(self.llm_timeout_seconds);
        Some(LlmSettings {
            url: self.llm_url.clone()?,
            model: self.llm_model.clone()?,
            key: self.llm_key.clone(),
            idle_timeout,
            total_timeout: idle_timeout * RESPONSE_TIMEOUT_FACTOR,
        })
    }

    /// The settings of the demonstration. It keeps its library apart from the user's own, in the subdirectory `demo` of
    /// the default data directory, unless another directory is given.
    pub fn for_demo(mut self) -> Self {
        // The user's own database and its artifacts stay together.
        if self.database_url.is_none() && self.data_dir == default_data_dir() {
            self.data_dir.push("demo");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_opens_the_same_library() {
        let usual = Config {
            data_dir: default_data_dir(),
            database_url: None,
            ..Config::defaults()
        };
        assert_eq!(usual.library_option(), "");
        let elsewhere = Config {
            data_dir: "/srv/two words".into(),
            ..usual
        };
        assert_eq!(elsewhere.library_option(), " --data-dir '/srv/two words'");
        let database = Config {
            database_url: Some("postgres://ada:secret@db/scv".to_owned()),
            ..elsewhere
        };
        assert_eq!(database.library_option(), "");
    }
}
