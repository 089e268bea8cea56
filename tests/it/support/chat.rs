//! A stand-in for a language model: a real server on a free port that speaks the chat completions protocol, or breaks it, as
//! it is told.

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

/// What the stand-in does when it is asked once.
#[derive(Clone)]
pub struct Turn {
    status: u16,
    content_type: &'static str,
    retry_after: Option<&'static str>,
    chunks: Vec<Vec<u8>>,
    end: End,
    gated: bool,
}

/// How an answer ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// As it should.
    Whole,
    /// The line breaks, once the stand-in was told to go on if anything was sent before: so that it has arrived.
    Cut,
    /// Nothing more comes, ever.
    Silence,
    /// Not even a status comes.
    Never,
}

impl Turn {
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

    /// Streams an answer in pieces, to its proper end.
    pub fn says(pieces: &[&str]) -> Self {
        let pieces = pieces.iter().map(|piece| event(piece));
        Self::streams(pieces.chain([finish("stop"), "data: [DONE]\n\n".to_owned()]))
    }

    /// Answers at once with a body of some kind.
    pub fn sends(content_type: &'static str, body: &str) -> Self {
        Self {
            content_type,
            ..Self::streams([body])
        }
    }

    /// Says no.
    pub fn refuses(status: u16) -> Self {
        Self {
            status,
            ..Self::sends(
                "application/json",
                r#"{ "error": { "message": "the key sk-123 is no good" } }"#,
            )
        }
    }

    /// Says when to come again.
    pub fn come_again(self, seconds: &'static str) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Never says anything.
    pub fn silent() -> Self {
        Self {
            end: End::Never,
            ..Self::says(&[])
        }
    }

    /// Begins so, and the line breaks.
    pub fn then_cut(self) -> Self {
        Self { end: End::Cut, ..self }
    }

    /// Begins so, and nothing more comes.
    pub fn then_silent(self) -> Self {
        Self {
            end: End::Silence,
            ..self
        }
    }

    /// Sends each chunk only once the stand-in was told to go on.
    pub fn gated(self) -> Self {
        Self { gated: true, ..self }
    }
}

/// The event of a piece.
pub fn event(piece: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({ "choices": [{ "index": 0, "delta": { "content": piece } }] })
    )
}

/// The event of an answer's end.
pub fn finish(reason: &str) -> String {
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": reason });
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

/// What the stand-in was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The body.
    pub body: Value,
}

#[derive(Clone)]
struct State {
    /// One after the other; the last again and again.
    turns: Arc<Vec<Turn>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    gate: Arc<Semaphore>,
}

/// A stand-in for a language model; it stops when dropped.
pub struct StandIn {
    /// Base URL.
    pub url: String,
    state: State,
    server: ServerHandle,
}

impl StandIn {
    /// A stand-in that does these things one after the other, and the last again and again.
    pub fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        let state = State {
            turns: Arc::new(turns.into_iter().collect()),
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let data = web::Data::new(state.clone());
        let factory = move || App::new().app_data(data.clone()).default_service(web::to(answer));
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

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Lets so many chunks go.
    pub fn go_on(&self, chunks: usize) {
        self.state.gate.add_permits(chunks);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // The command is sent at once; what it comes to need not be waited for.
        drop(self.server.stop(false));
    }
}

async fn answer(state: web::Data<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name| Some(request.headers().get(name)?.to_str().unwrap().to_owned());
    let asked = Asked {
        path: request.path().to_owned(),
        authorization: header("authorization"),
        body: serde_json::from_slice(&body).unwrap(),
    };
    let number = {
        let mut all = state.asked.lock().unwrap();
        all.push(asked);
        all.len()
    };
    let turn = state.turns[number.min(state.turns.len()) - 1].clone();
    if turn.end == End::Never {
        std::future::pending::<Infallible>().await;
    }
    let mut response = HttpResponse::build(StatusCode::from_u16(turn.status).unwrap());
    response.content_type(turn.content_type);
    if let Some(seconds) = turn.retry_after {
        response.insert_header(("retry-after", seconds));
    }
    let (gate, gated) = (Arc::clone(&state.gate), turn.gated);
    let (gate_of_cut, waits) = (Arc::clone(&state.gate), !turn.chunks.is_empty());
    let cut = stream::once(async move {
        if waits {
            gate_of_cut.acquire().await.unwrap().forget();
        }
        Err(std::io::Error::other("cut"))
    });
    let chunks = stream::iter(turn.chunks).then(move |chunk| {
        let gate = Arc::clone(&gate);
        async move {
            if gated {
                gate.acquire().await.unwrap().forget();
            }
            Ok::<_, std::io::Error>(Bytes::from(chunk))
        }
    });
    match turn.end {
        End::Cut => response.streaming(chunks.chain(cut)),
        End::Silence => response.streaming(chunks.chain(stream::pending())),
        End::Whole | End::Never => response.streaming(chunks),
    }
}
