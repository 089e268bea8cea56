//! Reading an answer piece by piece, whether it is streamed or comes at once.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use sse_stream::SseByteStream;

use super::MAX_ANSWER_BYTES;
use super::error::LlmError;
use super::protocol::Reply;

/// Bytes that may come over the line for one answer: a stream wraps every few letters into hundreds of bytes.
const MAX_RECEIVED_BYTES: usize = 256 * MAX_ANSWER_BYTES;

/// Characters of what an endpoint said that the log repeats.
const MAX_EXCERPT_LENGTH: usize = 300;

/// Bytes of an error that are read.
const MAX_ERROR_BYTES: usize = 4 << 10;

/// An answer on its way.
pub(super) struct Pieces {
    body: Body,
    silence: Duration,
    /// Why the answer ended, once it has.
    finish: Option<String>,
}

enum Body {
    Events(SseByteStream<BoxStream<'static, Result<Bytes, LineError>>>),
    Whole(BoxStream<'static, Result<Bytes, LineError>>),
    Over,
}

#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("{0}")]
    Broken(#[from] reqwest::Error),
    #[error("more than {MAX_RECEIVED_BYTES} bytes came for one answer")]
    TooMuch,
}

impl Pieces {
    /// The pieces of an answer that has begun well.
    pub(super) fn of(response: Response, silence: Duration) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_stream = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut received = 0;
        let bytes = response.bytes_stream().map(move |bytes| {
            let bytes = bytes?;
            received += bytes.len();
            match received > MAX_RECEIVED_BYTES {
                true => Err(LineError::TooMuch),
                false => Ok(bytes),
            }
        });
        Self {
            body: match is_stream {
                true => Body::Events(SseByteStream::new(bytes.boxed())),
                false => Body::Whole(bytes.boxed()),
            },
            silence,
            finish: None,
        }
    }

    /// The next piece, never empty; none at the end of the answer.
    pub(super) async fn next(&mut self) -> Result<Option<String>, LlmError> {
        loop {
            let reply = match &mut self.body {
                Body::Over => return Ok(None),
                Body::Events(events) => match in_time(self.silence, events.next()).await? {
                    None if self.finish.is_some() => None,
                    None => return Err(LlmError::BrokenOff),
                    Some(event) => {
                        let data = event.map_err(event_error)?.data.unwrap_or_default();
                        match data.trim() {
                            "" => continue,
                            "[DONE]" => None,
                            data => Some(parsed(data.as_bytes())?),
                        }
                    }
                },
                Body::Whole(bytes) => {
                    let whole = whole(bytes, self.silence).await?;
                    self.body = Body::Over;
                    let reply = parsed(&whole)?;
                    if reply.choices.is_empty() {
                        return Err(LlmError::Malformed {
                            problem: "what it sends has no choices",
                            said: shortened(&whole),
                        });
                    }
                    Some(reply)
                }
            };
            let Some(reply) = reply else {
                self.body = Body::Over;
                return Ok(None);
            };
            // Some endpoints end with a choice of none and how much was used.
            if let Some(choice) = reply.choices.into_iter().next() {
                if let Some(finish) = &choice.finish_reason {
                    self.finish = Some(finish.clone());
                }
                let text = choice.into_text();
                if !text.is_empty() {
                    return Ok(Some(text));
                }
            }
        }
    }

    /// Whether the model came to its end, asked after the last piece.
    pub(super) fn are_complete(&self) -> bool {
        self.finish.as_deref().is_none_or(|finish| finish == "stop")
    }
}

/// The beginning of a body, for the log; empty if it does not come.
pub(super) async fn excerpt(response: Response, silence: Duration) -> String {
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ERROR_BYTES {
        match in_time(silence, stream.next()).await {
            Ok(Some(Ok(more))) => bytes.extend_from_slice(&more),
            _ => break,
        }
    }
    shortened(&bytes)
}

fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ERROR_BYTES)]);
    text.chars().take(MAX_EXCERPT_LENGTH).collect()
}

async fn in_time<T>(silence: Duration, next: impl Future<Output = T>) -> Result<T, LlmError> {
    let next = tokio::time::timeout(silence, next);
    next.await.map_err(|_| LlmError::Silent(silence))
}

async fn whole(
    stream: &mut BoxStream<'static, Result<Bytes, LineError>>,
    silence: Duration,
) -> Result<Vec<u8>, LlmError> {
    let mut whole = Vec::new();
    while let Some(bytes) = in_time(silence, stream.next()).await? {
        whole.extend_from_slice(&bytes.map_err(line_error)?);
    }
    Ok(whole)
}

fn parsed(data: &[u8]) -> Result<Reply, LlmError> {
    let reply: Reply = serde_json::from_slice(data).map_err(|_| LlmError::Malformed {
        problem: "what it sends is not the JSON of an answer",
        said: shortened(data),
    })?;
    match &reply.error {
        Some(error) => Err(LlmError::Reported {
            status: error["code"].as_u64().and_then(|code| code.try_into().ok()),
            said: shortened(error.to_string().as_bytes()),
        }),
        None => Ok(reply),
    }
}

fn line_error(error: LineError) -> LlmError {
    match error {
        LineError::Broken(_) => LlmError::BrokenOff,
        LineError::TooMuch => LlmError::Malformed {
            problem: "it sends far more than an answer takes",
            said: String::new(),
        },
    }
}

fn event_error(error: sse_stream::Error) -> LlmError {
    match error {
        sse_stream::Error::Body(error) => match error.downcast::<LineError>() {
            Ok(error) => line_error(*error),
            Err(_) => LlmError::BrokenOff,
        },
        error => LlmError::Malformed {
            problem: "what it streams is not text",
            said: error.to_string(),
        },
    }
}
