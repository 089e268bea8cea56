//! Reads a response piece by piece, whether it is streamed or sent as a whole.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use sse_stream::SseByteStream;

use super::MAX_COMPLETION_BYTES;
use super::error::LlmError;
use super::protocol::Reply;

/// Maximum number of bytes received for one response: a stream wraps every few letters into hundreds of bytes.
const MAX_RECEIVED_BYTES: usize = 256 * MAX_COMPLETION_BYTES;

/// Maximum number of characters of a body that are logged.
const MAX_EXCERPT_LENGTH: usize = 300;

/// Maximum number of bytes of an error that are read.
const MAX_ERROR_BYTES: usize = 4 << 10;

/// A response that is being received.
pub(super) struct Pieces {
    body: Body,
    idle_timeout: Duration,
    /// Why the completion ended, once it has.
    finish: Option<String>,
}

enum Body {
    Events(SseByteStream<BoxStream<'static, Result<Bytes, ReceiveError>>>),
    Whole(BoxStream<'static, Result<Bytes, ReceiveError>>),
    Ended,
}

#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error("{0}")]
    Broken(#[from] reqwest::Error),
    #[error("more than {MAX_RECEIVED_BYTES} bytes were received for one response")]
    TooMuch,
}

impl Pieces {
    /// The pieces of a successful response.
    pub(super) fn new(response: Response, idle_timeout: Duration) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_stream = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut received = 0;
        let bytes = response.bytes_stream().map(move |bytes| {
            let bytes = bytes?;
            received += bytes.len();
            if received > MAX_RECEIVED_BYTES {
                return Err(ReceiveError::TooMuch);
            }
            Ok(bytes)
        });
        Self {
            body: if is_stream {
                Body::Events(SseByteStream::new(bytes.boxed()))
            } else {
                Body::Whole(bytes.boxed())
            },
            idle_timeout,
            finish: None,
        }
    }

    /// The next piece, which is never empty. `None` at the end of the response.
    pub(super) async fn next(&mut self) -> Result<Option<String>, LlmError> {
        loop {
            let reply = match &mut self.body {
                Body::Ended => return Ok(None),
                Body::Events(events) => match within_idle_timeout(self.idle_timeout, events.next()).await? {
                    None if self.finish.is_some() => None,
                    None => return Err(LlmError::Interrupted),
                    Some(event) => {
                        let data = event.map_err(event_error)?.data.unwrap_or_default();
                        match data.trim() {
                            "" => continue,
                            "[DONE]" => None,
                            data => Some(parse(data.as_bytes())?),
                        }
                    }
                },
                Body::Whole(bytes) => {
                    let whole = read_whole(bytes, self.idle_timeout).await?;
                    self.body = Body::Ended;
                    let reply = parse(&whole)?;
                    if reply.choices.is_empty() {
                        return Err(LlmError::Malformed {
                            problem: "the response has no choices",
                            details: shorten(&whole),
                        });
                    }
                    Some(reply)
                }
            };
            let Some(reply) = reply else {
                self.body = Body::Ended;
                return Ok(None);
            };
            // Some endpoints end with an event that has usage figures and no choices.
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

    /// Whether the model has finished. Valid after the last piece.
    pub(super) fn are_complete(&self) -> bool {
        self.finish.as_deref().is_none_or(|finish| finish == "stop")
    }
}

/// The beginning of a body, for the log. Empty if the body does not arrive.
pub(super) async fn excerpt(response: Response, idle_timeout: Duration) -> String {
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ERROR_BYTES {
        match within_idle_timeout(idle_timeout, stream.next()).await {
            Ok(Some(Ok(more))) => bytes.extend_from_slice(&more),
            _ => break,
        }
    }
    shorten(&bytes)
}

fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ERROR_BYTES)]);
    text.chars().take(MAX_EXCERPT_LENGTH).collect()
}

async fn within_idle_timeout<T>(idle_timeout: Duration, next: impl Future<Output = T>) -> Result<T, LlmError> {
    let next = tokio::time::timeout(idle_timeout, next);
    next.await.map_err(|_| LlmError::IdleTimeout(idle_timeout))
}

async fn read_whole(
    stream: &mut BoxStream<'static, Result<Bytes, ReceiveError>>,
    idle_timeout: Duration,
) -> Result<Vec<u8>, LlmError> {
    let mut whole = Vec::new();
    while let Some(bytes) = within_idle_timeout(idle_timeout, stream.next()).await? {
        whole.extend_from_slice(&bytes.map_err(receive_error)?);
    }
    Ok(whole)
}

fn parse(data: &[u8]) -> Result<Reply, LlmError> {
    let reply: Reply = serde_json::from_slice(data).map_err(|_| LlmError::Malformed {
        problem: "the response is not valid JSON of a completion",
        details: shorten(data),
    })?;
    match &reply.error {
        Some(error) => Err(LlmError::Reported {
            status: error["code"].as_u64().and_then(|code| code.try_into().ok()),
            details: shorten(error.to_string().as_bytes()),
        }),
        None => Ok(reply),
    }
}

fn receive_error(error: ReceiveError) -> LlmError {
    match error {
        ReceiveError::Broken(_) => LlmError::Interrupted,
        ReceiveError::TooMuch => LlmError::Malformed {
            problem: "the response is far too long",
            details: String::new(),
        },
    }
}

fn event_error(error: sse_stream::Error) -> LlmError {
    match error {
        sse_stream::Error::Body(error) => match error.downcast::<ReceiveError>() {
            Ok(error) => receive_error(*error),
            Err(_) => LlmError::Interrupted,
        },
        error => LlmError::Malformed {
            problem: "the stream is not text",
            details: error.to_string(),
        },
    }
}
