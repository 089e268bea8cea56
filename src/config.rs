//! Every setting, its default and its check. The only reader of the environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use scv_compute::device::DeviceChoice;
use scv_domain::access::Secret;
use scv_domain::explanation::Language;
use scv_llm::{Chat, ChatSetupError, LlmSettings};
use scv_service::{ExplanationSettings, LibrarySettings};
use scv_store::DatabaseSettings;

/// Settings of a server. Each can be given as an option or in the environment; the option wins.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Folder for everything that lasts: the embedded database, weights, images
    #[arg(long, env = "SCV_DATA_DIR", default_value_os_t = default_data_dir(), help_heading = "Storage")]
    pub data_dir: PathBuf,

    /// PostgreSQL to use in place of the embedded one; it needs pgvector 0.8.4 or later
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, help_heading = "Storage")]
    pub database_url: Option<String>,

    /// Connections to the database at a time, beside eight of the jobs
    #[arg(long, env = "SCV_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(4..=80), help_heading = "Storage")]
    pub database_connections: u32,

    /// Installation of PostgreSQL with pgvector for the embedded database (the folder that holds bin/)
    #[arg(long, env = "SCV_POSTGRES_DIR", help_heading = "Storage")]
    pub postgres_dir: Option<PathBuf>,

    /// Folder into which the set-up puts PostgreSQL
    #[arg(long, env = "SCV_CACHE_DIR", default_value_os_t = default_cache_dir(), help_heading = "Storage")]
    pub cache_dir: PathBuf,

    /// Where networks run: auto, cpu, cuda or cuda:N
    #[arg(long, env = "SCV_DEVICE", default_value = "auto", help_heading = "Compute")]
    pub device: DeviceChoice,

    /// Bytes of activations that a computation may hold; half of the machine's memory if left out
    #[arg(long, env = "SCV_ACTIVATION_BYTES", default_value_t = default_activation_bytes(), hide_default_value = true, help_heading = "Compute")]
    pub activation_bytes: u64,

    /// Bytes of networks that are kept loaded
    #[arg(long, env = "SCV_NETWORK_CACHE_BYTES", default_value_t = 1 << 30, help_heading = "Compute")]
    pub network_cache_bytes: u64,

    /// Bytes of the images of probe sets that are kept in memory
    #[arg(long, env = "SCV_PROBE_CACHE_BYTES", default_value_t = 64 << 20, help_heading = "Compute")]
    pub probe_cache_bytes: u64,

    /// Bytes of the images of whole splits that are kept in memory
    #[arg(long, env = "SCV_SPLIT_CACHE_BYTES", default_value_t = 256 << 20, help_heading = "Compute")]
    pub split_cache_bytes: u64,

    /// Bytes that all pictures may take; then the oldest are deleted, but for synthetic images and those of the last ten minutes
    #[arg(long, env = "SCV_PICTURE_BYTES", default_value_t = 1 << 30, help_heading = "Storage")]
    pub picture_bytes: u64,

    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "SCV_LISTEN", default_value = "127.0.0.1:8000", help_heading = "Service")]
    pub listen: SocketAddr,

    /// Bytes that cached search results may take
    #[arg(long, env = "SCV_SEARCH_CACHE_BYTES", default_value_t = 64 << 20, help_heading = "Service")]
    pub search_cache_bytes: u64,

    /// Base URL of an OpenAI-compatible endpoint that writes explanations, such as http://127.0.0.1:11434/v1; rules write
    /// them if left out. Its key, if it needs one, is read from SCV_LLM_KEY
    #[arg(long, env = "SCV_LLM_URL", value_name = "URL", value_parser = endpoint, requires = "llm_model", hide_env_values = true, help_heading = "Explanations")]
    pub llm_url: Option<reqwest::Url>,

    /// Name of the language model at that endpoint
    #[arg(
        long,
        env = "SCV_LLM_MODEL",
        value_name = "NAME",
        requires = "llm_url",
        help_heading = "Explanations"
    )]
    pub llm_model: Option<String>,

    /// The endpoint's key: never an option, which other users of the machine could read
    #[arg(skip = secret("SCV_LLM_KEY"))]
    pub llm_key: Option<Secret>,

    /// Seconds that the endpoint may be silent; a whole answer may take five times as long
    #[arg(long, env = "SCV_LLM_TIMEOUT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Explanations")]
    pub llm_timeout_seconds: u64,

    /// Language of explanations that are asked for in none, by its name or code; rules know English only
    #[arg(
        long,
        env = "SCV_LLM_LANGUAGE",
        default_value = "English",
        help_heading = "Explanations"
    )]
    pub llm_language: Language,

    /// Bytes that cached explanations may take
    #[arg(long, env = "SCV_EXPLANATION_CACHE_BYTES", default_value_t = 16 << 20, help_heading = "Explanations")]
    pub explanation_cache_bytes: u64,

    /// Who may ask: anybody, or whoever shows a token. If left out, anybody where only this machine reaches the server, and
    /// elsewhere those with a token (`scv token create`)
    #[arg(long, env = "SCV_ACCESS", value_enum, help_heading = "Service")]
    pub access: Option<AccessChoice>,

    /// Answer no questions about the schema, and suggest no names: for servers whose clients are known
    #[arg(long, env = "SCV_NO_INTROSPECTION", help_heading = "Service")]
    pub no_introspection: bool,

    /// JSON file with the only documents that are executed, an object of GraphQL documents by the names that requests give as
    /// `documentId`; the commands and GraphiQL, which bring documents of their own, are refused then
    #[arg(long, env = "SCV_TRUSTED_DOCUMENTS", value_name = "FILE", help_heading = "Service")]
    pub trusted_documents: Option<PathBuf>,

    /// Pages of another origin, such as https://scv.example.com, that may ask this server; can be given several times. Those of
    /// its own may always
    #[arg(
        long = "allow-origin",
        env = "SCV_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Service"
    )]
    pub allowed_origins: Vec<String>,

    /// How much may be asked for
    #[command(flatten)]
    pub limits: Limits,

    /// Seconds without a sign of life after which a server's job goes to another one on the same database
    #[arg(long, env = "SCV_LEASE_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), hide_short_help = true, help_heading = "Service")]
    pub lease_seconds: u64,
}

/// Who may ask a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessChoice {
    /// Anybody who reaches it, and may do everything.
    Open,
    /// Whoever shows a token, and may do what it allows.
    Tokens,
}

/// How much may be asked for: by a document, by a request, and by all at a time. `serverInfo` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Bytes of a GraphQL document
    #[arg(long = "max-document-bytes", env = "SCV_MAX_DOCUMENT_BYTES", default_value_t = 64 << 10)]
    pub document_bytes: usize,

    /// Words and signs of a document
    #[arg(long = "max-tokens", env = "SCV_MAX_TOKENS", default_value_t = 10_000)]
    pub tokens: usize,

    /// Nesting of a document. A page of similar layers with their models, the deepest thing asked in earnest, is 12 deep;
    /// introspection as tools send it, 13
    #[arg(long = "max-depth", env = "SCV_MAX_DEPTH", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub depth: u32,

    /// Fields of a document, counted through fragments
    #[arg(long = "max-fields", env = "SCV_MAX_FIELDS", default_value_t = 2_000)]
    pub fields: usize,

    /// Fields of the query or mutation itself, counted through fragments
    #[arg(long = "max-root-fields", env = "SCV_MAX_ROOT_FIELDS", default_value_t = 32)]
    pub root_fields: usize,

    /// Fields under another name, counted through fragments
    #[arg(long = "max-aliases", env = "SCV_MAX_ALIASES", default_value_t = 64)]
    pub aliases: usize,

    /// Price of a document: a field counts one, and what is in a list as often as the page has entries
    #[arg(long = "max-complexity", env = "SCV_MAX_COMPLEXITY", default_value_t = 50_000)]
    pub complexity: usize,

    /// Bytes of an answer before it is packed, roughly; one that becomes larger is given up
    #[arg(long = "max-answer-bytes", env = "SCV_MAX_ANSWER_BYTES", default_value_t = 128 << 20)]
    pub answer_bytes: usize,

    /// Requests that come as one list
    #[arg(long = "max-batch", env = "SCV_MAX_BATCH", default_value_t = 10)]
    pub batch: usize,

    /// Bytes of a request without files
    #[arg(long = "max-body-bytes", env = "SCV_MAX_BODY_BYTES", default_value_t = 2 << 20)]
    pub body_bytes: usize,

    /// Largest file in bytes
    #[arg(long = "max-file-bytes", env = "SCV_MAX_FILE_BYTES", default_value_t = 1 << 30)]
    pub file_bytes: usize,

    /// Bytes of all files of a request together
    #[arg(long = "max-upload-bytes", env = "SCV_MAX_UPLOAD_BYTES", default_value_t = 1 << 30)]
    pub upload_bytes: usize,

    /// Files of an upload. A data set has four, an ONNX file may have its weights in many
    #[arg(long = "max-files", env = "SCV_MAX_FILES", default_value_t = 64)]
    pub files: usize,

    /// Seconds that a request may take
    #[arg(long = "max-seconds", env = "SCV_MAX_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,

    /// Requests that are executed at a time; one more is told that the server is busy
    #[arg(long = "max-requests", env = "SCV_MAX_REQUESTS", default_value_t = 256)]
    pub requests: u32,

    /// Subscriptions at a time
    #[arg(long = "max-subscriptions", env = "SCV_MAX_SUBSCRIPTIONS", default_value_t = 1_000)]
    pub subscriptions: u32,

    /// Subscriptions at a time with one token, or without one from one address
    #[arg(
        long = "max-client-subscriptions",
        env = "SCV_MAX_CLIENT_SUBSCRIPTIONS",
        default_value_t = 200
    )]
    pub client_subscriptions: u32,

    /// WebSockets that are open from one address
    #[arg(long = "max-sockets", env = "SCV_MAX_SOCKETS", default_value_t = 1_000)]
    pub sockets: u32,

    /// Requests with files that are taken in at a time; one more is told that the server is busy
    #[arg(long = "max-uploads", env = "SCV_MAX_UPLOADS", default_value_t = 16)]
    pub uploads: u32,

    /// Requests with files that are taken in at a time with one token, or without one from one address
    #[arg(long = "max-client-uploads", env = "SCV_MAX_CLIENT_UPLOADS", default_value_t = 8)]
    pub client_uploads: u32,

    /// Requests a minute with one token, or without one from one address; any number if 0
    #[arg(long = "max-rate", env = "SCV_MAX_RATE", default_value_t = 60_000)]
    pub rate: u32,
}

/// How many times as long as a silence of the language model its whole answer may take.
const ANSWER_TIMEOUT_FACTOR: u32 = 5;

/// Log lines of a server if nothing is said: without what its parts say of themselves at each start.
pub const SERVER_LOG: &str = "info,graphile_worker=warn,actix_server=warn,actix_http=off,usvg=error";

/// Log lines of a command that someone watches.
pub const COMMAND_LOG: &str = "warn";

/// How the program speaks of what it does.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Which log lines to show, such as info or scv=debug,warn; all that matter to an operator if left out, and only
    /// warnings for commands that someone watches
    #[arg(long = "log", env = "SCV_LOG", global = true, help_heading = "Logging")]
    pub filter: Option<String>,

    /// How log lines are written
    #[arg(long, env = "SCV_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human, global = true, help_heading = "Logging")]
    pub log_format: LogFormat,

    /// Collector of OpenTelemetry's traces, such as http://127.0.0.1:4318, that is sent a trace of each request over HTTP
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint, global = true, hide_env_values = true, help_heading = "Logging")]
    pub otlp_endpoint: Option<reqwest::Url>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where a server usually is.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";

/// Whom the commands ask that talk to a running server.
#[derive(Debug, Clone, Args)]
pub struct ClientConfig {
    /// Address of the server; one that wants a token gets what is in SCV_TOKEN
    #[arg(long, env = "SCV_SERVER", default_value = DEFAULT_SERVER, value_name = "URL", help_heading = "Server")]
    pub server: reqwest::Url,

    /// What it is asked with, if it wants a token: never an option, which other users of the machine could read
    #[arg(skip = secret("SCV_TOKEN"))]
    pub token: Option<Secret>,
}

impl Config {
    /// Whether anybody may ask without a token.
    pub fn is_open(&self) -> bool {
        match self.access {
            Some(choice) => choice == AccessChoice::Open,
            None => self.listen.ip().is_loopback(),
        }
    }

    /// Where the database is to be found.
    pub fn database(&self) -> DatabaseSettings {
        DatabaseSettings {
            url: self.database_url.clone(),
            connections: self.database_connections,
            // The request is told first.
            longest: Duration::from_secs(self.limits.seconds + 1),
            data_dir: self.data_dir.clone(),
            postgres_dir: self.postgres_dir.clone(),
            cache_dir: self.cache_dir.clone(),
        }
    }

    /// How much of the machine the library may take, and whom it may ask.
    ///
    /// # Errors
    /// The language model's key cannot be sent, or TLS cannot be set up for it.
    pub fn library(&self) -> Result<LibrarySettings, ChatSetupError> {
        Ok(LibrarySettings {
            explanations: ExplanationSettings {
                chat: self.language_model().map(Chat::new).transpose()?,
                language: self.llm_language.clone(),
                cache_bytes: self.explanation_cache_bytes,
            },
            search_cache_bytes: self.search_cache_bytes,
            activation_bytes: self.activation_bytes,
            network_cache_bytes: self.network_cache_bytes,
            probe_cache_bytes: self.probe_cache_bytes,
            split_cache_bytes: self.split_cache_bytes,
            picture_bytes: self.picture_bytes,
        })
    }

    /// Who writes explanations, if anybody is named.
    fn language_model(&self) -> Option<LlmSettings> {
        let silence = Duration::from_secs(self.llm_timeout_seconds);
        Some(LlmSettings {
            url: self.llm_url.clone()?,
            model: self.llm_model.clone()?,
            key: self.llm_key.clone(),
            silence,
            longest: silence * ANSWER_TIMEOUT_FACTOR,
        })
    }

    /// The settings of the demonstration: what it makes stays apart from the user's own library, in a folder of its
    /// own below the usual one, unless another folder is named.
    pub fn for_demo(mut self) -> Self {
        // A database of the user's own and the artifacts it speaks of stay together.
        if self.database_url.is_none() && self.data_dir == default_data_dir() {
            self.data_dir.push("demo");
        }
        self
    }

    /// The settings a server has when nothing is said.
    pub fn defaults() -> Self {
        #[derive(clap::Parser)]
        struct Defaults {
            #[command(flatten)]
            config: Config,
        }
        <Defaults as clap::Parser>::parse_from(["scv"]).config
    }
}

/// An address to which the paths of an API can be added.
fn endpoint(text: &str) -> Result<reqwest::Url, String> {
    let url: reqwest::Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("an endpoint is at http or https, not at {other}")),
    }
}

/// What must not stand in a command line.
fn secret(variable: &str) -> Option<Secret> {
    let text = std::env::var_os(variable)?.into_string().ok()?;
    Some(text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(Secret::from)
}

/// Root keeps things where an unprivileged user can be let in: the embedded PostgreSQL refuses to run as root.
fn default_data_dir() -> PathBuf {
    place("/var/lib/scv", "XDG_DATA_HOME", ".local/share")
}

fn default_cache_dir() -> PathBuf {
    place("/var/cache/scv", "XDG_CACHE_HOME", ".cache")
}

/// What is computed on shares the memory with the database and with everything else.
fn default_activation_bytes() -> u64 {
    nix::sys::sysinfo::sysinfo().map_or(4 << 30, |system| system.ram_total() / 2)
}

fn place(of_root: &str, variable: &str, below_home: &str) -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from(of_root);
    }
    let given = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    given
        .or_else(|| Some(std::env::home_dir()?.join(below_home)))
        .unwrap_or_else(|| Path::new(".").into())
        .join("scv")
}

/// The program as it was called, for commands that are told: it need not be among those that the shell finds.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "scv".to_owned())
}
