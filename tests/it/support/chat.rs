//! A fake language model: a real server on a free port that follows the chat completions protocol, or violates it as
//! the test requires.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// How the fake model handles one request.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    content_type: &'static str,
    retry_after: Option<&'static str>,
    chunks: Vec<Vec<u8>>,
    end: End,
    gated: bool,
}

/// How a response ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Properly.
    Whole,
    /// The connection breaks. If chunks were sent before, it breaks only after a release, so that they have arrived.
    Disconnect,
    /// Nothing more is sent, and the connection stays open.
    Stall,
    /// Not even a status is sent.
    NoResponse,
}

impl Reply {
    /// Streams bytes as they are.
    pub fn streams(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        Self {
            status: 200,
            content_type: "text/event-stream; charset=utf-8",
            retry_after: None,
            chunks: chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect(),
            end: End::Whole,
            gated: false,
        }
    }

    /// Streams a completion in pieces, to its proper end.
    pub fn says(pieces: &[&str]) -> Self {
        let pieces = pieces.iter().map(|piece| event(piece));
        Self::streams(pieces.chain([finish("stop"), "data: [DONE]\n\n".to_owned()]))
    }

    /// Responds with one body of a content type.
    pub fn sends(content_type: &'static str, body: &str) -> Self {
        Self {
            content_type,
            ..Self::streams([body])
        }
    }

    /// Responds with an error status.
    pub fn fails_with(status: u16) -> Self {
        Self {
            status,
            ..Self::sends(
                "application/json",
                r#"{ "error": { "message": "the key sk-123 is no good" } }"#,
            )
        }
    }

    /// Adds the header `Retry-After`.
    pub fn with_retry_after(self, seconds: &'static str) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Never responds.
    pub fn silent() -> Self {
        Self {
            end: End::NoResponse,
            ..Self::says(&[])
        }
    }

    /// Sends its chunks, and then the connection breaks.
    pub fn then_disconnects(self) -> Self {
        Self {
            end: End::Disconnect,
            ..self
        }
    }

    /// Sends its chunks, and then nothing more.
    pub fn then_stalls(self) -> Self {
        Self {
            end: End::Stall,
            ..self
        }
    }

    /// Sends each chunk only after a release.
    pub fn gated(self) -> Self {
        Self { gated: true, ..self }
    }
}

/// The event of a piece of text.
pub fn event(piece: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({ "choices": [{ "index": 0, "delta": { "content": piece } }] })
    )
}

/// The event that ends a completion.
pub fn finish(reason: &str) -> String {
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": reason });
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

/// A request that the fake model has received.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// The path of the URL.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The body.
    pub body: Value,
}

#[derive(Clone)]
struct State {
    /// Used one after the other; the last one repeats.
    replies: Arc<Vec<Reply>>,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    gate: Arc<Semaphore>,
}

/// A fake language model; it stops when dropped.
pub struct FakeLlm {
    /// Base URL.
    pub url: String,
    state: State,
    server: ServerHandle,
}

impl FakeLlm {
    /// A fake model that gives these replies one after the other and repeats the last one.
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let state = State {
            replies: Arc::new(replies.into_iter().collect()),
            requests: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let data = web::Data::new(state.clone());
        let factory = move || App::new().app_data(data.clone()).default_service(web::to(respond));
        let server = HttpServer::new(factory)
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            url,
            state,
            server: handle,
        }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Releases a number of gated chunks.
    pub fn release(&self, chunks: usize) {
        self.state.gate.add_permits(chunks);
    }
}

impl Drop for FakeLlm {
    fn drop(&mut self) {
        // The command is sent immediately; there is no need to wait for its result.
        drop(self.server.stop(false));
    }
}

async fn respond(state: web::Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name| Some(request.headers().get(name)?.to_str().unwrap().to_owned());
    let received = ReceivedRequest {
        path: request.path().to_owned(),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap(),
    };
    let number = {
        let mut all = state.requests.lock().unwrap();
        all.push(received);
        all.len()
    };
    let reply = state.replies[number.min(state.replies.len()) - 1].clone();
    if reply.end == End::NoResponse {
        std::future::pending::<Infallible>().await;
    }
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap());
    response.content_type(reply.content_type);
    if let Some(seconds) = reply.retry_after {
        response.insert_header(("retry-after", seconds));
    }
    let (gate, is_gated) = (Arc::clone(&state.gate), reply.gated);
    let (gate_of_end, has_chunks) = (Arc::clone(&state.gate), !reply.chunks.is_empty());
    let broken = stream::once(async move {
        if has_chunks {
            gate_of_end.acquire().await.unwrap().forget();
        }
        Err(std::io::Error::other("disconnected"))
    });
    let chunks = stream::iter(reply.chunks).then(move |chunk| {
        let gate = Arc::clone(&gate);
        async move {
            if is_gated {
                gate.acquire().await.unwrap().forget();
            }
            Ok::<_, std::io::Error>(Bytes::from(chunk))
        }
    });
    match reply.end {
        End::Disconnect => response.streaming(chunks.chain(broken)),
        End::Stall => response.streaming(chunks.chain(stream::pending())),
        End::Whole | End::NoResponse => response.streaming(chunks),
    }
}
