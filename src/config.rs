//! Every setting, its default and its check. Only this module reads the environment.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use scv_compute::device::DeviceChoice;
use scv_domain::access::Secret;
use scv_domain::explanation::Language;

mod limits;
mod memory;
mod network;
mod server;
pub mod value;

pub use limits::Limits;
pub use network::Network;
use value::{bytes, host_name, whole};

/// The heading of options that every command accepts.
pub const GLOBAL: &str = "Global options";

/// Settings of a server. Each can be given as an option, in the environment or in the settings file, in this order of
/// precedence. Sizes take units: 65536, 64KiB and 1GiB are all accepted.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Directory for all data: the embedded database, weights and images; servers that share a database share its folder `artifacts`
    #[arg(long, env = "SCV_DATA_DIR", value_name = "DIR", default_value_os_t = default_data_dir(), help_heading = "Storage")]
    pub data_dir: PathBuf,

    /// URL of a PostgreSQL database to use instead of the embedded one; it needs pgvector 0.8.4 or later
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Storage"
    )]
    pub database_url: Option<String>,

    /// Maximum database connections for requests; jobs use eight more
    #[arg(long, env = "SCV_DATABASE_CONNECTIONS", value_name = "N", default_value_t = 16, value_parser = whole::<u32>(4..=80), help_heading = "Storage")]
    pub database_connections: u32,

    /// PostgreSQL installation for the embedded database, with pgvector: the directory that contains bin/
    #[arg(long, env = "SCV_POSTGRES_DIR", value_name = "DIR", help_heading = "Storage")]
    pub postgres_dir: Option<PathBuf>,

    /// Directory into which scripts/setup installs PostgreSQL
    #[arg(long, env = "SCV_CACHE_DIR", value_name = "DIR", default_value_os_t = default_cache_dir(), help_heading = "Storage")]
    pub cache_dir: PathBuf,

    /// Device to run networks on: auto, cpu, cuda or cuda:N
    #[arg(long, env = "SCV_DEVICE", default_value = "auto", value_parser = value::device, help_heading = "Compute")]
    pub device: DeviceChoice,

    /// Memory that the server may take: half of what its caches leave is for activations, half for files, networks, images and
    /// answers. PostgreSQL takes its own [default: three quarters of the memory of the machine or container, at
    /// least 1 GiB]
    #[arg(long, env = "SCV_MEMORY", value_name = "SIZE", value_parser = bytes::<u64>, default_value_t = default_memory(), hide_default_value = true, help_heading = "Compute")]
    pub memory: u64,

    /// Maximum size of the loaded networks that are kept in memory [default: 1 GiB, at most an eighth of --memory]
    #[arg(long, env = "SCV_NETWORK_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Compute")]
    pub network_cache_bytes: Option<u64>,

    /// Maximum size of the probe images that are kept in memory [default: 64 MiB, at most 1/32 of --memory]
    #[arg(long, env = "SCV_PROBE_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Compute")]
    pub probe_cache_bytes: Option<u64>,

    /// Maximum size of the images of whole splits that are kept in memory [default: 256 MiB, at most 1/16 of --memory]
    #[arg(long, env = "SCV_SPLIT_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Compute")]
    pub split_cache_bytes: Option<u64>,

    /// Maximum size of all stored pictures. Beyond it the oldest are deleted, except synthetic images and pictures younger
    /// than ten minutes
    #[arg(long, env = "SCV_PICTURE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, default_value = "1GiB", help_heading = "Storage")]
    pub picture_bytes: u64,

    /// Address to listen on; port 0 chooses a free port
    #[arg(long, env = "SCV_LISTEN", value_name = "HOST:PORT", value_parser = value::listen_address, default_value = "127.0.0.1:8000", help_heading = "Service")]
    pub listen: SocketAddr,

    /// Maximum size of the finished answers that are kept in memory [default: 128 MiB, at most 1/32 of --memory]
    #[arg(long, env = "SCV_ANSWER_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Service")]
    pub answer_cache_bytes: Option<u64>,

    /// Maximum size of the cached search results [default: 64 MiB, at most 1/32 of --memory]
    #[arg(long, env = "SCV_SEARCH_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Service")]
    pub search_cache_bytes: Option<u64>,

    /// Maximum size of the sketches and rounded vectors that are kept in memory for searches: some 1,200 bytes a layer, and 5 KB
    /// more on 100 probe images if there is room. Probe sets whose sketches are larger are searched through the database, as all
    /// are with 0 [default: an eighth of --memory]
    #[arg(long, env = "SCV_SKETCH_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Service")]
    pub sketch_cache_bytes: Option<u64>,

    /// Maximum size of the layer vectors that are kept in memory for searches, some 20 KB a layer on 100 probe images [default:
    /// a sixteenth of --memory]
    #[arg(long, env = "SCV_VECTOR_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, help_heading = "Service")]
    pub vector_cache_bytes: Option<u64>,

    /// Base URL of an OpenAI-compatible endpoint that writes explanations, such as http://127.0.0.1:11434/v1. Without it,
    /// fixed rules write them. An API key is read from SCV_LLM_KEY
    #[arg(long, env = "SCV_LLM_URL", value_name = "URL", value_parser = endpoint, hide_env_values = true, help_heading = "Explanations")]
    pub llm_url: Option<reqwest::Url>,

    /// Name of the language model at --llm-url
    #[arg(long, env = "SCV_LLM_MODEL", value_name = "NAME", help_heading = "Explanations")]
    pub llm_model: Option<String>,

    /// The endpoint's API key. It is not an option, because other users of the machine can read command lines.
    #[arg(skip = secret("SCV_LLM_KEY"))]
    pub llm_key: Option<Secret>,

    /// Seconds to wait for the next part of a response of the endpoint; a whole response may take five times as long
    #[arg(long, env = "SCV_LLM_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 60, value_parser = whole::<u64>(1..=3600), help_heading = "Explanations")]
    pub llm_timeout_seconds: u64,

    /// Default language of explanations, as a name or a code; rules write English only
    #[arg(
        long,
        env = "SCV_LLM_LANGUAGE",
        value_name = "LANGUAGE",
        default_value = "English",
        help_heading = "Explanations"
    )]
    pub llm_language: Language,

    /// Maximum explanations that the language model writes per account and day, and for all callers without an account together;
    /// after that rules write them
    #[arg(long, env = "SCV_MAX_DAILY_EXPLANATIONS", value_name = "N", default_value_t = 1_000, value_parser = whole::<u32>(0..=1_000_000_000), help_heading = "Explanations")]
    pub max_daily_explanations: u32,

    /// Maximum size of the cached explanations
    #[arg(long, env = "SCV_EXPLANATION_CACHE_BYTES", value_name = "SIZE", value_parser = bytes::<u64>, default_value = "16MiB", help_heading = "Explanations")]
    pub explanation_cache_bytes: u64,

    /// Whether requests need a token (see `scv token create`) [default: open if only this machine can reach the server, else
    /// tokens]
    #[arg(long, env = "SCV_ACCESS", value_enum, help_heading = "Service")]
    pub access: Option<AccessChoice>,

    /// Disable introspection and name suggestions: for servers whose clients are known
    #[arg(long, env = "SCV_NO_INTROSPECTION", value_parser = value::yes_or_no, help_heading = "Service")]
    pub no_introspection: bool,

    /// Execute only the documents of this JSON file, an object of GraphQL documents by the names that requests send as
    /// `documentId`. The other commands and GraphiQL send their own documents and are then refused
    #[arg(long, env = "SCV_TRUSTED_DOCUMENTS", value_name = "FILE", help_heading = "Service")]
    pub trusted_documents: Option<PathBuf>,

    /// Allow requests from web pages of this origin, such as https://scv.example.com. Can be repeated. The server's own pages
    /// are always allowed
    #[arg(
        long = "allow-origin",
        env = "SCV_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Service"
    )]
    pub allowed_origins: Vec<String>,

    /// Serve requests to this host name, such as scv.lan, although callers need no token. Can be repeated. Addresses, localhost
    /// and the hosts of --allow-origin are always served, and a server that requires tokens serves every name
    #[arg(
        long = "allow-host",
        env = "SCV_ALLOW_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = host_name,
        help_heading = "Service"
    )]
    pub allowed_hosts: Vec<String>,

    /// Days after which entries of the audit log are removed
    #[arg(long, env = "SCV_AUDIT_LOG_DAYS", value_name = "DAYS", default_value_t = 365, value_parser = whole::<u32>(1..=36_500), help_heading = "Service")]
    pub audit_log_days: u32,

    /// Maximum entries of the audit log that record changes, and as many that record mutations that failed; beyond it the oldest
    /// are removed
    #[arg(long, env = "SCV_AUDIT_LOG_ENTRIES", value_name = "N", default_value_t = 100_000, value_parser = whole::<u32>(1..=1_000_000_000), help_heading = "Service")]
    pub audit_log_entries: u32,

    /// A reverse proxy, or a network of them, such as 10.0.0.0/8, whose word on the client's address is believed: the header
    /// Forwarded, or X-Forwarded-For. Can be repeated. Without it all clients behind a proxy count as one
    #[arg(
        long = "trusted-proxy",
        env = "SCV_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ',',
        help_heading = "Service"
    )]
    pub trusted_proxies: Vec<Network>,

    /// Limits on requests
    #[command(flatten)]
    pub limits: Limits,

    /// Seconds without a heartbeat after which another server on the same database takes over a server's jobs
    #[arg(long, env = "SCV_LEASE_SECONDS", value_name = "SECONDS", default_value_t = 30, value_parser = whole::<u64>(1..=3600), hide_short_help = true, help_heading = "Service")]
    pub lease_seconds: u64,
}

/// Whether requests need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessChoice {
    /// Every client has full access, without a token
    Open,
    /// Every request needs a token, and may do what its scope allows
    Tokens,
}

/// Default log filter of a server: without what its libraries log at each start.
pub const SERVER_LOG: &str = "info,graphile_worker=warn,actix_server=warn,actix_http=off,usvg=error";

/// Default log filter of the other commands, which a user watches.
pub const COMMAND_LOG: &str = "warn";

/// What the program logs, and how.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Log filter, such as info or scv=debug,warn [default: info for serve and migrate, warn for other commands]
    #[arg(long = "log", env = "SCV_LOG", global = true, help_heading = GLOBAL)]
    pub filter: Option<String>,

    /// Format of log lines
    #[arg(long, env = "SCV_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human, global = true, hide_short_help = true, help_heading = GLOBAL)]
    pub log_format: LogFormat,

    /// OpenTelemetry collector to which `scv serve` sends a trace of each request over HTTP, such as http://127.0.0.1:4318
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint, global = true, hide_env_values = true, hide_short_help = true, help_heading = GLOBAL)]
    pub otlp_endpoint: Option<reqwest::Url>,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people
    Human,
    /// One JSON object per line
    Json,
}

/// The default address of the server.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8000";

/// The server that client commands talk to, and how they authenticate.
#[derive(Debug, Clone, Args)]
pub struct ClientConfig {
    /// Address of the server; http:// may be left out, and /graphql may be given
    #[arg(long, env = "SCV_SERVER", default_value = DEFAULT_SERVER, value_name = "URL", value_parser = server_address, global = true, help_heading = GLOBAL)]
    pub server: reqwest::Url,

    /// File that contains the access token
    #[arg(
        long,
        env = "SCV_TOKEN_FILE",
        value_name = "FILE",
        global = true,
        help_heading = GLOBAL
    )]
    pub token_file: Option<PathBuf>,

    /// Access token. Other users of this machine can read it in the process list: prefer SCV_TOKEN or --token-file
    #[arg(long, value_name = "TOKEN", value_parser = secret_value, global = true, hide_short_help = true, help_heading = GLOBAL)]
    pub token: Option<Secret>,

    /// The token of the environment.
    #[arg(skip = secret("SCV_TOKEN"))]
    pub environment_token: Option<Secret>,

    /// Whether the address was given as an option, which printed commands then repeat.
    #[arg(skip)]
    pub is_server_given: bool,

    /// Whether the token file was given as an option, which then takes precedence over the environment.
    #[arg(skip)]
    pub is_token_file_given: bool,
}

/// The settings file.
#[derive(Debug, Clone, Args)]
pub struct SettingsConfig {
    /// Settings file [default: ~/.config/scv/config.toml, for root /etc/scv/config.toml]
    #[arg(long = "config", env = "SCV_CONFIG", value_name = "FILE", global = true, help_heading = GLOBAL)]
    pub config: Option<PathBuf>,
}

impl Config {
    /// The settings of a server without options and without a settings file.
    pub fn defaults() -> Self {
        #[derive(clap::Parser)]
        struct Defaults {
            #[command(flatten)]
            config: Config,
        }
        <Defaults as clap::Parser>::parse_from(["scv"]).config
    }
}

/// The base URL of an HTTP API.
fn endpoint(text: &str) -> Result<reqwest::Url, String> {
    let url = text.parse().ok().filter(|url: &reqwest::Url| {
        let is_http = matches!(url.scheme(), "http" | "https");
        is_http && url.host_str().is_some_and(|host| !host.is_empty())
    });
    url.ok_or_else(|| "expected an http or https URL, such as http://127.0.0.1:8000".to_owned())
}

/// The address of a server, with or without a scheme. The path of its endpoint, `/graphql`, may follow it.
///
/// # Errors
/// It is not an HTTP address.
pub fn server_address(text: &str) -> Result<reqwest::Url, String> {
    // A host with a port and without a scheme would parse as a URL whose scheme is the host.
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = endpoint(&whole)?;
    let base = url
        .path()
        .trim_end_matches('/')
        .strip_suffix("/graphql")
        .map(str::to_owned);
    if let Some(base) = base {
        url.set_path(&base);
    }
    Ok(url)
}

fn secret_value(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::from(text.trim().to_owned()))
}

/// A secret from the environment: command lines are visible to other users of the machine.
fn secret(variable: &str) -> Option<Secret> {
    let text = std::env::var_os(variable)?.into_string().ok()?;
    Some(text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(Secret::from)
}

/// Root keeps data where an unprivileged user can be given access: the embedded PostgreSQL refuses to run as root.
fn default_data_dir() -> PathBuf {
    place("/var/lib/scv", "XDG_DATA_HOME", ".local/share")
}

fn default_cache_dir() -> PathBuf {
    place("/var/cache/scv", "XDG_CACHE_HOME", ".cache")
}

/// The database and everything else take the rest. A small machine runs the smallest server.
fn default_memory() -> u64 {
    (machine_memory() / 4 * 3).max(memory::MIN_MEMORY)
}

/// Bytes of the memory of the machine, or of the container if that has less; a modest number if they cannot be read.
fn machine_memory() -> u64 {
    let machine = nix::sys::sysinfo::sysinfo().map_or(8 << 30, |system| system.ram_total());
    // The limits of both versions of control groups. A container sees its own at the root. Without a limit they hold a word, or
    // more than any machine has.
    let limits = ["memory.max", "memory/memory.limit_in_bytes"].into_iter();
    let limits = limits.filter_map(|file| std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok());
    limits
        .filter_map(|limit| limit.trim().parse().ok())
        .fold(machine, u64::min)
}

fn place(of_root: &str, variable: &str, below_home: &str) -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from(of_root);
    }
    xdg_folder(variable, below_home)
        .unwrap_or_else(|| Path::new(".").into())
        .join("scv")
}

/// A base directory of the XDG specification, which ignores relative paths.
fn xdg_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    given.or_else(|| Some(std::env::home_dir()?.join(below_home)))
}

/// The default settings file; none without a home directory.
pub fn default_settings_file() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/etc/scv/config.toml"));
    }
    Some(
        xdg_folder("XDG_CONFIG_HOME", ".config")?
            .join("scv")
            .join("config.toml"),
    )
}

/// The settings file that the environment names.
pub fn settings_file_of_environment() -> Option<PathBuf> {
    std::env::var_os("SCV_CONFIG")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// The arguments that the program was called with, its name first.
pub fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// The program as it was called, for commands that are printed: it need not be in `PATH`.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "scv".to_owned())
}
