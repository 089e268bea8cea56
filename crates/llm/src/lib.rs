//! The client of a language model whose endpoint implements OpenAI's chat completions: the only external service that SCV
//! calls.
//!
//! Responses are streamed. A request that fails because of the endpoint or the network is retried a few times, until the first
//! piece of a response has been passed on. After that it is not retried.

pub mod error;

mod pieces;
mod protocol;
mod tls;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

pub use error::{ChatSetupError, LlmError};
use pieces::Pieces;
use protocol::Request;
use scv_domain::access::Secret;
use scv_domain::explanation::Prompt;
pub use tls::use_ring;

/// Maximum length of a completion in bytes. Longer ones are cut off.
pub const MAX_COMPLETION_BYTES: usize = 64 << 10;

/// Maximum number of attempts per request.
pub const MAX_ATTEMPTS: usize = 3;

/// Delay before the first retry. It doubles with each retry, and random jitter adds up to the same time again.
const FIRST_DELAY: Duration = Duration::from_millis(200);

/// Maximum delay that an endpoint may request with `Retry-After`. If it requests more, the request is not retried.
const MAX_DELAY: Duration = Duration::from_secs(20);

/// The endpoint, and how to call it.
#[derive(Debug, Clone)]
pub struct LlmSettings {
    /// Base URL, such as `http://127.0.0.1:11434/v1`.
    pub url: Url,
    /// The model's name at the endpoint.
    pub model: String,
    /// The API key; many local endpoints need none.
    pub key: Option<Secret>,
    /// How long the endpoint may send nothing, before and during a response.
    pub idle_timeout: Duration,
    /// How long a request may take in total, over all attempts.
    pub total_timeout: Duration,
}

/// The client of a language model.
#[derive(Debug, Clone)]
pub struct Chat {
    http: Client,
    endpoint: Url,
    settings: LlmSettings,
}

/// The text that the model has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// All pieces together.
    pub text: String,
    /// Whether the model has finished. If not, the text was cut off at the limit of the endpoint or of this client.
    pub complete: bool,
}

impl Chat {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// The key cannot be sent in a header, or TLS cannot be set up.
    pub fn new(settings: LlmSettings) -> Result<Self, ChatSetupError> {
        let is_local = matches!(settings.url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.key {
            let mut key = HeaderValue::try_from(format!("Bearer {}", key.reveal())).map_err(|_| ChatSetupError::Key)?;
            key.set_sensitive(true);
            headers.insert(AUTHORIZATION, key);
        }
        // Without redirects, the key and the prompt are sent to the configured endpoint only.
        use_ring();
        let builder = Client::builder()
            .redirect(Policy::none())
            .default_headers(headers)
            .user_agent(concat!("scv/", env!("CARGO_PKG_VERSION")));
        // A proxy could not reach an endpoint on this machine.
        let http = if is_local { builder.no_proxy() } else { builder }.build()?;
        let mut endpoint = settings.url.clone();
        if let Ok(mut path) = endpoint.path_segments_mut() {
            path.pop_if_empty().extend(["chat", "completions"]);
        }
        Ok(Self {
            http,
            endpoint,
            settings,
        })
    }

    /// The name of the model.
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// Sends a prompt and returns the completion. Calls `on_piece` with each piece as it arrives.
    ///
    /// # Errors
    /// The endpoint sent no response, or an incomplete one; then the pieces that have arrived are void.
    #[tracing::instrument(name = "llm.complete", skip_all, fields(model = self.settings.model))]
    pub async fn complete(&self, prompt: &Prompt, mut on_piece: impl FnMut(&str)) -> Result<Completion, LlmError> {
        let limit = self.settings.total_timeout;
        let completion = tokio::time::timeout(limit, self.complete_with_retries(prompt, &mut on_piece));
        completion.await.unwrap_or(Err(LlmError::Timeout(limit)))
    }

    async fn complete_with_retries(
        &self,
        prompt: &Prompt,
        on_piece: &mut impl FnMut(&str),
    ) -> Result<Completion, LlmError> {
        let request = Request::new(&self.settings.model, prompt);
        let delays = ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY)
            .with_jitter()
            .with_max_times(MAX_ATTEMPTS - 1);
        let started = (|| self.start(&request))
            .retry(delays)
            .when(LlmError::is_transient)
            .adjust(|error, delay| match error.retry_after() {
                Some(requested) => delay.and((requested <= MAX_DELAY).then_some(requested)),
                None => delay,
            })
            .notify(|error, delay| tracing::info!(%error, ?delay, "retrying the request to the language model"));
        let (first, mut pieces) = started.await?;
        let (mut text, mut next) = (String::new(), Some(first));
        while let Some(piece) = next {
            let room = piece.floor_char_boundary(MAX_COMPLETION_BYTES - text.len());
            on_piece(&piece[..room]);
            text.push_str(&piece[..room]);
            if room < piece.len() {
                return Ok(Completion { text, complete: false });
            }
            next = pieces.next().await?;
        }
        Ok(Completion {
            text,
            complete: pieces.are_complete(),
        })
    }

    /// One attempt, up to the first piece of the response.
    async fn start(&self, request: &Request<'_>) -> Result<(String, Pieces), LlmError> {
        let idle_timeout = self.settings.idle_timeout;
        let call = self
            .http
            .post(self.endpoint.clone())
            .header(ACCEPT, "text/event-stream");
        let sent = tokio::time::timeout(idle_timeout, call.json(request).send());
        let response = sent.await.map_err(|_| LlmError::IdleTimeout(idle_timeout))??;
        if !response.status().is_success() {
            return Err(refused(response, idle_timeout).await);
        }
        let mut pieces = Pieces::new(response, idle_timeout);
        let first = pieces.next().await?.ok_or(LlmError::Empty)?;
        Ok((first, pieces))
    }
}

async fn refused(response: Response, idle_timeout: Duration) -> LlmError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    LlmError::Refused {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        details: pieces::excerpt(response, idle_timeout).await,
    }
}
