//! Subscriptions over WebSocket, after the graphql-transport-ws protocol.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session};
use async_graphql::http::{WebSocket, WebSocketProtocols, WsMessage};
use async_graphql::{Data, Executor, Request, Response};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, Stream};
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at, sleep, timeout};

use super::asked::Refusal;
use super::asking::refusal;
use super::caller::address;
use super::documents::DOCUMENT_ID;
use super::executing::{Executing, PATIENCE, refused};
use super::origin::Origins;
use crate::graphql::error::code;
use scv_service::ServiceError;

/// The protocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// Most bytes of a message. A request has no files here.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// How long a client may take to begin the conversation.
const TIME_TO_BEGIN: Duration = Duration::from_secs(10);

/// How often the server asks whether the client lives. One that has not said anything for three times as long is gone.
const PING: Duration = Duration::from_secs(20);

/// Opens a WebSocket, for pages of this server and those that are allowed: browsers let any page open one.
pub async fn subscribe(
    executing: web::Data<Executing>,
    origins: web::Data<Origins>,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    if let Err(refused) = executing.callers().check_host(&request) {
        return Ok(refusal(&refused));
    }
    if !origins.admit(&request) {
        return Ok(refusal(&Refusal::of_foreign_page()));
    }
    let address = address(&request);
    if let Err(refused) = executing.callers().count_from(address) {
        return Ok(refusal(&refused));
    }
    let Some(turn) = executing.socket_turn(address) else {
        return Ok(refusal(&Refusal::of(ServiceError::Overloaded)));
    };
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let speaks = offered
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','))
        .any(|offer| offer.trim() == PROTOCOL);
    if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) && !speaks {
        return Ok(HttpResponse::BadRequest().body(format!("the protocol spoken here is {PROTOCOL}: offer it\n")));
    }
    let (response, session, messages) = actix_ws::handle_with_protocols(&request, payload, &[PROTOCOL])?;
    let messages = messages
        .max_frame_size(MAX_MESSAGE_BYTES)
        .aggregate_continuations()
        .max_continuation_size(MAX_MESSAGE_BYTES);
    let authorization = request.headers().get(header::AUTHORIZATION);
    let greeting = Greeting {
        authorization: authorization.and_then(|value| Some(value.to_str().ok()?.to_owned())),
        address,
    };
    let conversation = converse(Executing::clone(&executing), greeting, session, messages);
    actix_web::rt::spawn(async move {
        conversation.await;
        drop(turn);
    });
    Ok(response)
}

/// What somebody shows who opens a conversation.
#[derive(Debug, Clone)]
struct Greeting {
    authorization: Option<String>,
    address: Option<IpAddr>,
}

/// Executes on behalf of whoever the conversation is with.
#[derive(Clone)]
struct OnBehalf(Executing);

impl Executor for OnBehalf {
    async fn execute(&self, request: Request) -> Response {
        // Over WebSocket everything is a stream.
        let mut responses = self.execute_stream(request, None);
        responses.next().await.unwrap_or_default()
    }

    fn execute_stream(&self, request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let greeting = session
            .as_ref()
            .and_then(|session| session.get(&TypeId::of::<Greeting>()));
        let Some(greeting) = greeting
            .and_then(|greeting| greeting.downcast_ref::<Greeting>())
            .cloned()
        else {
            return stream::iter([refused(code::UNAUTHENTICATED, "nobody has said who asks")]).boxed();
        };
        let executing = self.0.clone();
        // Looked at each time: a token may have ended since the conversation began.
        let responses = async move {
            let shown = greeting.authorization.as_deref();
            match executing.callers().with(shown, greeting.address).await {
                Ok(caller) => executing.execute_stream(caller, executing.read(request)),
                Err(refusal) => stream::iter([refused(refusal.code, &refusal.message)]).boxed(),
            }
        };
        stream::once(responses).flatten().boxed()
    }
}

/// Why a conversation ends: a code of the protocol, or of WebSockets themselves.
type Farewell = (u16, String);

/// What both directions of a conversation have to know.
#[derive(Debug, Default)]
struct State {
    /// The client has said that it begins.
    begun: bool,
    /// Operations that have not ended.
    live: HashSet<String>,
    /// Those of them whose error has been sent.
    refused: HashSet<String>,
    farewell: Option<Farewell>,
}

impl State {
    /// Follows a message of the client.
    ///
    /// # Errors
    /// The conversation has to end.
    fn incoming(&mut self, text: &[u8]) -> Result<(), Farewell> {
        let Ok(message) = serde_json::from_slice::<Value>(text) else {
            return Err((4400, "the message is no JSON".to_owned()));
        };
        let id = message["id"].as_str().unwrap_or_default();
        match message["type"].as_str() {
            Some("connection_init") if self.begun => Err((4429, "Too many initialisation requests".to_owned())),
            Some("connection_init") => {
                self.begun = true;
                Ok(())
            }
            Some("subscribe") if !self.begun => Err((4401, "Unauthorized".to_owned())),
            Some("subscribe") if id.is_empty() => Err((4400, "`id` is missing".to_owned())),
            Some("subscribe") if !names_a_document(&message["payload"]) => {
                Err((4400, "`payload.query` must be a string".to_owned()))
            }
            Some("subscribe") if !self.live.insert(id.to_owned()) => {
                Err((4409, format!("Subscriber for {id} already exists")))
            }
            Some("complete") => {
                self.live.remove(id);
                self.refused.remove(id);
                Ok(())
            }
            Some("subscribe" | "ping" | "pong") => Ok(()),
            _ => Err((4400, "the message has no type of the protocol".to_owned())),
        }
    }

    /// A message for the client, if the protocol has any: what async-graphql sends as the `next` and the `complete` of an
    /// operation that could not be executed is an `error`, which ends it.
    fn outgoing(&mut self, text: String) -> Option<String> {
        let is_refusal = text.contains(r#""data":null,"errors":"#);
        let may_end = text.contains(r#""type":"complete""#);
        if !is_refusal && !may_end {
            return Some(text);
        }
        let Ok(mut message) = serde_json::from_str::<Value>(&text) else {
            return Some(text);
        };
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        if message["type"] == "complete" {
            self.live.remove(&id);
            return (!self.refused.remove(&id)).then_some(text);
        }
        let errors = message["payload"]["errors"].take();
        let of_document = |error: &Value| error.get("path").is_none();
        match errors.as_array() {
            Some(list) if is_refusal && list.iter().all(of_document) => {
                self.refused.insert(id.clone());
                Some(json!({ "id": id, "type": "error", "payload": errors }).to_string())
            }
            _ => Some(text),
        }
    }
}

async fn converse(executing: Executing, greeting: Greeting, mut session: Session, messages: AggregatedMessageStream) {
    let state = Rc::new(RefCell::new(State::default()));
    let shutdown = executing.shutdown().clone();
    let texts = texts(messages, session.clone(), Rc::clone(&state));
    let (callers, denied) = (executing.callers().clone(), Arc::new(AtomicBool::new(false)));
    let socket = WebSocket::new(OnBehalf(executing), texts, WebSocketProtocols::GraphQLWS);
    let socket = socket.keepalive_timeout(3 * PING).on_connection_init({
        let denied = Arc::clone(&denied);
        // Browsers cannot send the header with a WebSocket, so it may come as a member of the first message.
        async move |payload: Value| {
            let member = ["authorization", "Authorization"]
                .iter()
                .find_map(|name| payload[*name].as_str());
            let greeting = Greeting {
                authorization: member.map(str::to_owned).or(greeting.authorization),
                ..greeting
            };
            let shown = greeting.authorization.as_deref();
            callers.with(shown, greeting.address).await.map_err(|refusal| {
                let denies = refusal.code == code::UNAUTHENTICATED;
                denied.store(denies, Ordering::Relaxed);
                async_graphql::Error::new(refusal.message)
            })?;
            let mut data = Data::default();
            data.insert(greeting);
            Ok(data)
        }
    });
    let mut socket = std::pin::pin!(socket);
    let mut ping = interval_at(Instant::now() + PING, PING);
    let mut beginning = std::pin::pin!(sleep(TIME_TO_BEGIN));
    let (code, description) = loop {
        let text = tokio::select! {
            biased;
            () = shutdown.cancelled() => break (1001, "the server stops".to_owned()),
            () = &mut beginning, if !state.borrow().begun => {
                break (4408, "Connection initialisation timeout".to_owned());
            }
            message = socket.next() => match message {
                Some(WsMessage::Text(text)) => state.borrow_mut().outgoing(text),
                Some(WsMessage::Close(_, reason)) if denied.load(Ordering::Relaxed) => {
                    break (4403, format!("Forbidden: {reason}"));
                }
                Some(WsMessage::Close(code, reason)) => break (code, reason),
                // Who takes leave is taken leave of.
                None => break state.borrow_mut().farewell.take().unwrap_or((1000, String::new())),
            },
            // A message of the protocol, which its clients answer.
            _ = ping.tick() => Some(r#"{"type":"ping"}"#.to_owned()),
        };
        let Some(text) = text else { continue };
        // Who does not read for so long is gone.
        if !matches!(timeout(PATIENCE, session.text(text)).await, Ok(Ok(()))) {
            return;
        }
    };
    let code = CloseCode::from(code);
    let description = Some(description).filter(|description| !description.is_empty());
    // Who is gone needs no farewell.
    let _ = timeout(PATIENCE, session.close(Some(CloseReason { code, description }))).await;
}

/// The messages of a client as long as they follow the protocol. Pings of WebSockets themselves are answered here.
fn texts(
    messages: AggregatedMessageStream,
    pongs: Session,
    state: Rc<RefCell<State>>,
) -> impl Stream<Item = web::Bytes> {
    stream::unfold((messages, pongs, state), async |(mut messages, mut pongs, state)| {
        loop {
            let text = match messages.recv().await? {
                Ok(AggregatedMessage::Text(text)) => text.into_bytes(),
                Ok(AggregatedMessage::Binary(bytes)) => bytes,
                Ok(AggregatedMessage::Ping(bytes)) => {
                    pongs.pong(&bytes).await.ok()?;
                    continue;
                }
                Ok(AggregatedMessage::Pong(_)) => continue,
                Ok(AggregatedMessage::Close(_)) => return None,
                Err(ProtocolError::Overflow) => {
                    let message = format!("a message may have {MAX_MESSAGE_BYTES} bytes");
                    state.borrow_mut().farewell = Some((1009, message));
                    return None;
                }
                Err(error) => {
                    state.borrow_mut().farewell = Some((4400, error.to_string()));
                    return None;
                }
            };
            let followed = state.borrow_mut().incoming(&text);
            if let Err(farewell) = followed {
                state.borrow_mut().farewell = Some(farewell);
                return None;
            }
            return Some((with_document(text), (messages, pongs, state)));
        }
    })
}

/// Whether a request brings a document or names one.
fn names_a_document(payload: &Value) -> bool {
    payload["query"].is_string() || payload["extensions"].is_object() || payload[DOCUMENT_ID].is_string()
}

/// A message whose `documentId` stands among the extensions, the one place for it that async-graphql reads.
fn with_document(text: web::Bytes) -> web::Bytes {
    if !text
        .windows(DOCUMENT_ID.len())
        .any(|part| part == DOCUMENT_ID.as_bytes())
    {
        return text;
    }
    let Ok(mut message) = serde_json::from_slice::<Value>(&text) else {
        return text;
    };
    let payload = &mut message["payload"];
    if let Some(document) = payload
        .get(DOCUMENT_ID)
        .filter(|document| document.is_string())
        .cloned()
    {
        if !payload["extensions"].is_object() {
            payload["extensions"] = json!({});
        }
        payload["extensions"][DOCUMENT_ID] = document;
    }
    message.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_executed_is_an_error_and_needs_no_end() {
        let mut state = State::default();
        let mut send = |text: &str| state.outgoing(text.to_owned());
        let next = r#"{"type":"next","id":"a","payload":{"data":null,"errors":[{"message":"no"}]}}"#;
        let error = r#"{"id":"a","payload":[{"message":"no"}],"type":"error"}"#;
        assert_eq!(send(next).as_deref(), Some(error));
        let complete = r#"{"type":"complete","id":"b"}"#;
        assert_eq!(send(complete).as_deref(), Some(complete));
        assert_eq!(send(r#"{"type":"complete","id":"a"}"#), None);
        let executed = r#"{"type":"next","id":"a","payload":{"data":null,"errors":[{"message":"no","path":["x"]}]}}"#;
        assert_eq!(send(executed).as_deref(), Some(executed));
    }

    #[test]
    fn what_is_against_the_protocol_ends_the_conversation_with_its_code() {
        let subscribe = r#"{"type":"subscribe","id":"a","payload":{"query":"{ a }"}}"#;
        let code = |before: &[&str], last: &str| {
            let mut state = State::default();
            for text in before {
                assert!(state.incoming(text.as_bytes()).is_ok(), "{text}");
            }
            state.incoming(last.as_bytes()).err().map(|(code, _)| code)
        };
        let init = r#"{"type":"connection_init"}"#;
        assert_eq!(code(&[], init), None);
        assert_eq!(code(&[init], init), Some(4429));
        assert_eq!(code(&[], subscribe), Some(4401));
        assert_eq!(code(&[init], subscribe), None);
        assert_eq!(code(&[init, subscribe], subscribe), Some(4409));
        assert_eq!(
            code(&[init, subscribe, r#"{"type":"complete","id":"a"}"#], subscribe),
            None
        );
        for bad in [
            "no JSON",
            "{}",
            r#"{"type":"start"}"#,
            r#"{"type":"subscribe","id":"b"}"#,
        ] {
            assert_eq!(code(&[init], bad), Some(4400), "{bad}");
        }
    }
}
