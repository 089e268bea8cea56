//! Limits on requests.

use clap::Args;

use super::value::{INT, bytes, whole};

/// Limits per document, per request and on concurrent work. `serverInfo` reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Maximum size of a GraphQL document
    #[arg(long = "max-document-bytes", env = "SCV_MAX_DOCUMENT_BYTES", value_name = "SIZE", value_parser = bytes::<usize>, default_value = "64KiB")]
    pub document_bytes: usize,

    /// Maximum tokens of a document: names, values and punctuators
    #[arg(long = "max-tokens", env = "SCV_MAX_TOKENS", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 10_000)]
    pub tokens: usize,

    /// Maximum nesting depth of a document. The deepest query of common clients, a page of similar layers with their models,
    /// has depth 12; the usual introspection query has depth 13
    #[arg(long = "max-depth", env = "SCV_MAX_DEPTH", value_name = "N", default_value_t = 24, value_parser = whole::<u32>(1..=60))]
    pub depth: u32,

    /// Maximum fields of a document, counted through fragments
    #[arg(long = "max-fields", env = "SCV_MAX_FIELDS", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 2_000)]
    pub fields: usize,

    /// Maximum fields at the root of a query or mutation, counted through fragments
    #[arg(long = "max-root-fields", env = "SCV_MAX_ROOT_FIELDS", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 32)]
    pub root_fields: usize,

    /// Maximum aliases of a document, counted through fragments
    #[arg(long = "max-aliases", env = "SCV_MAX_ALIASES", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 64)]
    pub aliases: usize,

    /// Maximum complexity of a document: each field counts 1, multiplied by the page size of every list around it
    #[arg(long = "max-complexity", env = "SCV_MAX_COMPLEXITY", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 50_000)]
    pub complexity: usize,

    /// Approximate maximum size of a response before compression; larger ones are aborted
    #[arg(long = "max-response-bytes", env = "SCV_MAX_RESPONSE_BYTES", value_name = "SIZE", value_parser = bytes::<usize>, default_value = "128MiB")]
    pub response_bytes: usize,

    /// Maximum requests in one batch
    #[arg(long = "max-batch", env = "SCV_MAX_BATCH", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 10)]
    pub batch: usize,

    /// Maximum size of a request without its files
    #[arg(long = "max-body-bytes", env = "SCV_MAX_BODY_BYTES", value_name = "SIZE", value_parser = bytes::<usize>, default_value = "2MiB")]
    pub body_bytes: usize,

    /// Maximum size of an uploaded file
    #[arg(long = "max-file-bytes", env = "SCV_MAX_FILE_BYTES", value_name = "SIZE", value_parser = bytes::<usize>, default_value = "1GiB")]
    pub file_bytes: usize,

    /// Maximum size of all files of a request together
    #[arg(long = "max-upload-bytes", env = "SCV_MAX_UPLOAD_BYTES", value_name = "SIZE", value_parser = bytes::<usize>, default_value = "1GiB")]
    pub upload_bytes: usize,

    /// Maximum files per request. A data set has four; an ONNX file can keep its weights in many
    #[arg(long = "max-files", env = "SCV_MAX_FILES", value_name = "N", value_parser = whole::<usize>(INT), default_value_t = 64)]
    pub files: usize,

    /// Timeout of a request in seconds
    #[arg(long = "request-timeout-seconds", env = "SCV_REQUEST_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 60, value_parser = whole::<u64>(1..=86_400))]
    pub timeout_seconds: u64,

    /// Maximum concurrent requests; further ones are refused as OVERLOADED
    #[arg(
        long = "max-concurrent-requests",
        env = "SCV_MAX_CONCURRENT_REQUESTS",
        value_name = "N",
        value_parser = whole::<u32>(INT),
        default_value_t = 256
    )]
    pub concurrent_requests: u32,

    /// Maximum concurrent requests per token, or per address without a token; further ones are refused as OVERLOADED. A client's
    /// requests also use at most half of the database connections at a time
    #[arg(
        long = "max-client-requests",
        env = "SCV_MAX_CLIENT_REQUESTS",
        value_name = "N",
        value_parser = whole::<u32>(INT),
        default_value_t = 32
    )]
    pub client_requests: u32,

    /// Maximum concurrent subscriptions
    #[arg(long = "max-subscriptions", env = "SCV_MAX_SUBSCRIPTIONS", value_name = "N", value_parser = whole::<u32>(INT), default_value_t = 1_000)]
    pub subscriptions: u32,

    /// Maximum concurrent subscriptions per token, or per address without a token
    #[arg(
        long = "max-client-subscriptions",
        env = "SCV_MAX_CLIENT_SUBSCRIPTIONS",
        value_name = "N",
        value_parser = whole::<u32>(INT),
        default_value_t = 200
    )]
    pub client_subscriptions: u32,

    /// Maximum open WebSockets per token, or per address without a token
    #[arg(
        long = "max-client-sockets",
        env = "SCV_MAX_CLIENT_SOCKETS",
        value_name = "N",
        value_parser = whole::<u32>(INT),
        default_value_t = 1_000
    )]
    pub client_sockets: u32,

    /// Maximum WebSockets per address whose client has not sent `connection_init` yet, for which it has ten seconds
    #[arg(
        long = "max-beginning-sockets",
        env = "SCV_MAX_BEGINNING_SOCKETS",
        value_name = "N",
        value_parser = whole::<u32>(INT),
        default_value_t = 64
    )]
    pub beginning_sockets: u32,

    /// Maximum concurrent uploads; further ones are refused as OVERLOADED
    #[arg(long = "max-uploads", env = "SCV_MAX_UPLOADS", value_name = "N", value_parser = whole::<u32>(INT), default_value_t = 16)]
    pub uploads: u32,

    /// Maximum concurrent uploads per token, or per address without a token
    #[arg(long = "max-client-uploads", env = "SCV_MAX_CLIENT_UPLOADS", value_name = "N", value_parser = whole::<u32>(INT), default_value_t = 8)]
    pub client_uploads: u32,

    /// Rate limit: requests per minute and token, or per address without a token; 0 disables it
    #[arg(
        long = "max-requests-per-minute",
        env = "SCV_MAX_REQUESTS_PER_MINUTE",
        value_name = "N",
        value_parser = whole::<u32>(INT),
        default_value_t = 60_000
    )]
    pub requests_per_minute: u32,
}
