//! A language model behind an endpoint that speaks OpenAI's chat completions: the one foreign service that is ever asked.
//!
//! The answer is streamed. Until its first piece is there, an attempt that fails by the endpoint's or the network's doing is
//! made again, a few times; once a piece was given out, never.

pub mod error;

mod pieces;
mod protocol;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use scv_domain::access::Secret;
use scv_domain::explanation::Prompt;
pub use error::{ChatSetupError, LlmError};
use pieces::Pieces;
use protocol::Request;

/// Bytes of an answer that are taken.
pub const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Times that an answer is asked for.
pub const MAX_ATTEMPTS: usize = 3;

/// The first pause before another attempt; the next is twice as long, and chance adds up to as much again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause that an endpoint may ask for. One that wants more is not waited for.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub struct LlmSettings {
    /// Base URL, such as `http://127.0.0.1:11434/v1`.
    pub url: Url,
    /// The model's name at the endpoint.
    pub model: String,
    /// The endpoint's key; many local ones need none.
    pub key: Option<Secret>,
    /// How long the endpoint may be silent, before its answer and within it.
    pub silence: Duration,
    /// How long the whole answer may take, all attempts together.
    pub longest: Duration,
}

/// A language model that can be asked.
#[derive(Debug, Clone)]
pub struct Chat {
    http: Client,
    endpoint: Url,
    settings: LlmSettings,
}

/// What the model came to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// All pieces together.
    pub text: String,
    /// Whether the model came to its end; if not, it was cut off at the length that it or we allow.
    pub complete: bool,
}

impl Chat {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// The key cannot be sent, or TLS cannot be set up.
    pub fn new(settings: LlmSettings) -> Result<Self, ChatSetupError> {
        let here = matches!(settings.url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.key {
            let mut key = HeaderValue::try_from(format!("Bearer {}", key.reveal())).map_err(|_| ChatSetupError::Key)?;
            key.set_sensitive(true);
            headers.insert(AUTHORIZATION, key);
        }
        // The key and the question go where they were meant to go and nowhere else.
        let builder = Client::builder()
            .redirect(Policy::none())
            .default_headers(headers)
            .user_agent(concat!("scv/", env!("CARGO_PKG_VERSION")));
        // A proxy could not reach what is on this machine.
        let http = if here { builder.no_proxy() } else { builder }.build()?;
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

    /// The name of the model that is asked.
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// Asks the model. `give` is told each piece as it arrives.
    ///
    /// # Errors
    /// The endpoint gave no answer, or broke off within it: then the pieces given so far are void.
    #[tracing::instrument(name = "llm.ask", skip_all, fields(model = self.settings.model))]
    pub async fn ask(&self, prompt: &Prompt, mut give: impl FnMut(&str)) -> Result<Answer, LlmError> {
        let longest = self.settings.longest;
        let asked = tokio::time::timeout(longest, self.ask_patiently(prompt, &mut give));
        asked.await.unwrap_or(Err(LlmError::TooSlow(longest)))
    }

    async fn ask_patiently(&self, prompt: &Prompt, give: &mut impl FnMut(&str)) -> Result<Answer, LlmError> {
        let request = Request::new(&self.settings.model, prompt);
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_jitter()
            .with_max_times(MAX_ATTEMPTS - 1);
        let begun = (|| self.begin(&request))
            .retry(pauses)
            .when(LlmError::is_passing)
            .adjust(|error, pause| match error.retry_after() {
                Some(wanted) => pause.and((wanted <= MAX_PAUSE).then_some(wanted)),
                None => pause,
            })
            .notify(|error, pause| tracing::info!(%error, ?pause, "the language model is asked again"));
        let (first, mut pieces) = begun.await?;
        let (mut text, mut next) = (String::new(), Some(first));
        while let Some(piece) = next {
            let room = piece.floor_char_boundary(MAX_ANSWER_BYTES - text.len());
            give(&piece[..room]);
            text.push_str(&piece[..room]);
            if room < piece.len() {
                return Ok(Answer { text, complete: false });
            }
            next = pieces.next().await?;
        }
        Ok(Answer {
            text,
            complete: pieces.are_complete(),
        })
    }

    /// One attempt, up to the first piece of the answer.
    async fn begin(&self, request: &Request<'_>) -> Result<(String, Pieces), LlmError> {
        let silence = self.settings.silence;
        let call = self
            .http
            .post(self.endpoint.clone())
            .header(ACCEPT, "text/event-stream");
        let sent = tokio::time::timeout(silence, call.json(request).send());
        let response = sent.await.map_err(|_| LlmError::Silent(silence))??;
        if !response.status().is_success() {
            return Err(refused(response, silence).await);
        }
        let mut pieces = Pieces::of(response, silence);
        let first = pieces.next().await?.ok_or(LlmError::Empty)?;
        Ok((first, pieces))
    }
}

async fn refused(response: Response, silence: Duration) -> LlmError {
    let status = response.status();
    let wanted = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    LlmError::Refused {
        status,
        retry_after: wanted.map(Duration::from_secs),
        said: pieces::excerpt(response, silence).await,
    }
}
