//! From the settings of the program to those of its parts.

use std::time::Duration;

use scv_llm::{Chat, ChatSetupError, LlmSettings};
use scv_service::{ExplanationSettings, LibrarySettings};
use scv_store::{DatabaseSettings, StoreSettings};

use super::{AccessChoice, Config, default_data_dir, machine_memory};
use crate::shell;

/// The timeout of a whole response of the language model, in multiples of the timeout between its parts.
const RESPONSE_TIMEOUT_FACTOR: u32 = 5;

/// Caches up to this size are allowed on any machine, as the defaults are.
const SMALL_CACHE_BYTES: u64 = 1 << 30;

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
    /// Of two settings that belong together, only one is given; or a cache is larger than the machine's memory.
    pub fn check(&self) -> Result<(), String> {
        match (&self.llm_url, &self.llm_model) {
            (Some(_), None) => return Err("--llm-url requires --llm-model (SCV_LLM_MODEL)".to_owned()),
            (None, Some(_)) => return Err("--llm-model requires --llm-url (SCV_LLM_URL)".to_owned()),
            _ => {}
        }
        self.check_caches(machine_memory())
    }

    fn check_caches(&self, memory: u64) -> Result<(), String> {
        let caches = [
            ("--answer-cache-bytes", self.answer_cache_bytes),
            ("--search-cache-bytes", self.search_cache_bytes),
            ("--sketch-cache-bytes", self.sketch_cache_bytes),
            ("--vector-cache-bytes", self.vector_cache_bytes),
            ("--network-cache-bytes", self.network_cache_bytes),
            ("--probe-cache-bytes", self.probe_cache_bytes),
            ("--split-cache-bytes", self.split_cache_bytes),
            ("--explanation-cache-bytes", self.explanation_cache_bytes),
        ];
        match caches
            .into_iter()
            .find(|(_, bytes)| *bytes > memory.max(SMALL_CACHE_BYTES))
        {
            Some((option, bytes)) => Err(format!(
                "{option} is {bytes} bytes, and this machine has {memory} bytes of memory: choose less"
            )),
            None => Ok(()),
        }
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
                sketch_cache_bytes: self.sketch_cache_bytes,
                vector_cache_bytes: self.vector_cache_bytes,
            },
            data_dir: self.data_dir.clone(),
            postgres_dir: self.postgres_dir.clone(),
            cache_dir: self.cache_dir.clone(),
        }
    }

    /// The settings of the library: the sizes of its caches, and the language model.
    ///
    /// # Errors
    /// The language model's key cannot be sent, or TLS cannot be set up.
    pub fn library(&self) -> Result<LibrarySettings, ChatSetupError> {
        Ok(LibrarySettings {
            explanations: ExplanationSettings {
                chat: self.language_model().map(Chat::new).transpose()?,
                language: self.llm_language.clone(),
                cache_bytes: self.explanation_cache_bytes,
            },
            answer_cache_bytes: self.answer_cache_bytes,
            search_cache_bytes: self.search_cache_bytes,
            activation_bytes: self.activation_bytes,
            network_cache_bytes: self.network_cache_bytes,
            probe_cache_bytes: self.probe_cache_bytes,
            split_cache_bytes: self.split_cache_bytes,
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
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_cache_larger_than_the_memory_is_refused_by_its_option() {
        let large = Config {
            answer_cache_bytes: 3 << 30,
            ..Config::defaults()
        };
        assert_eq!(large.check_caches(4 << 30), Ok(()));
        let error = large.check_caches(2 << 30).unwrap_err();
        assert_eq!(
            error,
            "--answer-cache-bytes is 3221225472 bytes, and this machine has 2147483648 bytes of memory: choose less"
        );
        let of_small_machine = Config {
            sketch_cache_bytes: (512 << 20) / 8,
            vector_cache_bytes: (512 << 20) / 8,
            ..Config::defaults()
        };
        assert_eq!(of_small_machine.check_caches(512 << 20), Ok(()));
    }

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
