//! GraphQL over WebSocket, by the graphql-transport-ws protocol.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session};
use async_graphql::http::{WebSocket, WebSocketProtocols, WsMessage};
use async_graphql::{Data, Request, Response};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream, Stream};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval_at, sleep, timeout};

use super::caller::Credential;
use super::documents::DOCUMENT_ID;
use super::error::HttpError;
use super::executor::{Executor, SEND_TIMEOUT};
use super::origin::Origins;
use crate::graphql::execute::error_response;
use scv_api::error::code;

/// The only WebSocket subprotocol that the server supports.
const PROTOCOL: &str = "graphql-transport-ws";

/// The largest message. Requests over WebSocket have no files.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// How long a client may take to send `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the server sends a ping. A client that sends nothing for three times as long is considered gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Opens a WebSocket. The origin is checked here, because browsers let any page open a WebSocket to any server.
pub async fn subscribe(
    executor: web::Data<Executor>,
    origins: web::Data<Origins>,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    if let Err(error) = executor.callers().check_host(&request) {
        return Ok(error.to_text_response());
    }
    if !origins.allows(&request) {
        return Ok(HttpError::foreign_origin().to_text_response());
    }
    let address = executor.callers().address_of(&request);
    if let Err(error) = executor.callers().count_from(address) {
        return Ok(error.to_text_response());
    }
    let Some(permit) = executor.try_begin_socket(address) else {
        return Ok(HttpError::overloaded().to_text_response());
    };
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let is_offered = offered
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','))
        .any(|offer| offer.trim() == PROTOCOL);
    if request.headers().contains_key(header::SEC_WEBSOCKET_KEY) && !is_offered {
        return Ok(HttpResponse::BadRequest().body(format!("unsupported WebSocket protocol: offer {PROTOCOL}\n")));
    }
    let (response, session, messages) = actix_ws::handle_with_protocols(&request, payload, &[PROTOCOL])?;
    let messages = messages
        .max_frame_size(MAX_MESSAGE_BYTES)
        .aggregate_continuations()
        .max_continuation_size(MAX_MESSAGE_BYTES);
    // The session of a browser is not that of pages of other origins, which may be allowed all the same.
    let credential = Credential::of(&request).unwrap_or_default();
    let init = ConnectionInit { credential, address };
    let permit = SocketPermit::new(permit);
    actix_web::rt::spawn(serve_connection(
        Executor::clone(&executor),
        (init, permit),
        session,
        messages,
    ));
    Ok(response)
}

/// How a client identifies itself when it opens a connection.
#[derive(Debug, Clone)]
struct ConnectionInit {
    credential: Option<Credential>,
    address: Option<IpAddr>,
}

/// The permit of a connection: of its address until its client has identified itself, and then of the client.
#[derive(Debug, Clone)]
struct SocketPermit(Arc<Mutex<OwnedSemaphorePermit>>);

impl SocketPermit {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    fn exchange(&self, permit: OwnedSemaphorePermit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

/// Executes the requests of a connection on behalf of its client.
#[derive(Clone)]
struct ConnectionExecutor(Executor);

impl async_graphql::Executor for ConnectionExecutor {
    async fn execute(&self, request: Request) -> Response {
        // Over WebSocket, every request is executed as a stream.
        let mut responses = self.execute_stream(request, None);
        responses.next().await.unwrap_or_default()
    }

    fn execute_stream(&self, request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let init = session
            .as_ref()
            .and_then(|session| session.get(&TypeId::of::<ConnectionInit>()));
        let Some(init) = init.and_then(|init| init.downcast_ref::<ConnectionInit>()).cloned() else {
            let message = "the connection is not initialised: send `connection_init` first";
            return stream::iter([error_response(code::UNAUTHENTICATED, message)]).boxed();
        };
        let executor = self.0.clone();
        // Authenticated for each request, because the token may have expired since the connection was opened.
        let responses = async move {
            match executor
                .callers()
                .authenticate(init.credential.as_ref(), init.address)
                .await
            {
                Ok(caller) => executor.execute_stream(caller, executor.prepare(request)),
                Err(error) => stream::iter([error_response(error.code, &error.message)]).boxed(),
            }
        };
        stream::once(responses).flatten().boxed()
    }
}

/// Why a connection closes: a code of the protocol or of WebSocket itself, and a description.
type Closing = (u16, String);

/// The state of a connection that both directions share.
#[derive(Debug, Default)]
struct State {
    /// Whether the client has sent `connection_init`.
    is_initialised: bool,
    /// The ids of operations that have not ended.
    active: HashSet<String>,
    /// Those of them for which an `error` has been sent.
    failed: HashSet<String>,
    close_reason: Option<Closing>,
}

impl State {
    /// Applies a message of the client.
    ///
    /// # Errors
    /// The message violates the protocol, so the connection has to close.
    fn receive(&mut self, text: &[u8]) -> Result<(), Closing> {
        let Ok(message) = serde_json::from_slice::<Value>(text) else {
            return Err((4400, "the message is not JSON".to_owned()));
        };
        let id = message["id"].as_str().unwrap_or_default();
        match message["type"].as_str() {
            Some("connection_init") if self.is_initialised => {
                Err((4429, "Too many initialisation requests".to_owned()))
            }
            Some("connection_init") => {
                self.is_initialised = true;
                Ok(())
            }
            Some("subscribe") if !self.is_initialised => Err((4401, "Unauthorized".to_owned())),
            Some("subscribe") if id.is_empty() => Err((4400, "`id` is missing".to_owned())),
            Some("subscribe") if !has_document(&message["payload"]) => {
                Err((4400, "`payload.query` must be a string".to_owned()))
            }
            Some("subscribe") if !self.active.insert(id.to_owned()) => {
                Err((4409, format!("Subscriber for {id} already exists")))
            }
            Some("complete") => {
                self.active.remove(id);
                self.failed.remove(id);
                Ok(())
            }
            Some("subscribe" | "ping" | "pong") => Ok(()),
            _ => Err((4400, "the message has no `type` of the protocol".to_owned())),
        }
    }

    /// The message to send for a message of async-graphql, if any. For an operation that could not be executed,
    /// async-graphql sends `next` and `complete`; the protocol demands a single `error`.
    fn translate(&mut self, text: String) -> Option<String> {
        let has_errors = text.contains(r#""data":null,"errors":"#);
        let may_end = text.contains(r#""type":"complete""#);
        if !has_errors && !may_end {
            return Some(text);
        }
        let Ok(mut message) = serde_json::from_str::<Value>(&text) else {
            return Some(text);
        };
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        if message["type"] == "complete" {
            self.active.remove(&id);
            return (!self.failed.remove(&id)).then_some(text);
        }
        let errors = message["payload"]["errors"].take();
        let has_no_path = |error: &Value| error.get("path").is_none();
        match errors.as_array() {
            Some(list) if has_errors && list.iter().all(has_no_path) => {
                self.failed.insert(id.clone());
                Some(json!({ "id": id, "type": "error", "payload": errors }).to_string())
            }
            _ => Some(text),
        }
    }
}

async fn serve_connection(
    executor: Executor,
    (init, permit): (ConnectionInit, SocketPermit),
    mut session: Session,
    messages: AggregatedMessageStream,
) {
    let state = Rc::new(RefCell::new(State::default()));
    let shutdown = executor.shutdown().clone();
    let messages = client_messages(messages, session.clone(), Rc::clone(&state));
    let (identifying, is_denied) = (executor.clone(), Arc::new(AtomicBool::new(false)));
    // Held until the connection ends.
    let _held = permit.clone();
    let socket = WebSocket::new(ConnectionExecutor(executor), messages, WebSocketProtocols::GraphQLWS);
    let socket = socket.keepalive_timeout(3 * PING_INTERVAL).on_connection_init({
        let is_denied = Arc::clone(&is_denied);
        // Browsers cannot send the header with a WebSocket, so `connection_init` may contain it.
        async move |payload: Value| {
            let member = ["authorization", "Authorization"]
                .iter()
                .find_map(|name| payload[*name].as_str());
            let init = ConnectionInit {
                credential: member.map_or(init.credential, Credential::of_authorization),
                ..init
            };
            let callers = identifying.callers();
            let caller = callers.authenticate(init.credential.as_ref(), init.address).await;
            let caller = caller.map_err(|error| {
                is_denied.store(error.code == code::UNAUTHENTICATED, Ordering::Relaxed);
                async_graphql::Error::new(error.message)
            })?;
            let of_client = identifying.try_open_socket(&caller).ok_or_else(|| {
                let limit = identifying.limits().client_sockets;
                async_graphql::Error::new(format!(
                    "you have {limit} WebSockets, which is the limit for one client: close one of them"
                ))
            })?;
            permit.exchange(of_client);
            let mut data = Data::default();
            data.insert(init);
            Ok(data)
        }
    });
    let mut socket = std::pin::pin!(socket);
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let mut init_timeout = std::pin::pin!(sleep(INIT_TIMEOUT));
    let (code, description) = loop {
        let text = tokio::select! {
            biased;
            () = shutdown.cancelled() => break (1001, "the server is shutting down".to_owned()),
            () = &mut init_timeout, if !state.borrow().is_initialised => {
                break (4408, "Connection initialisation timeout".to_owned());
            }
            message = socket.next() => match message {
                Some(WsMessage::Text(text)) => state.borrow_mut().translate(text),
                Some(WsMessage::Close(_, reason)) if is_denied.load(Ordering::Relaxed) => {
                    break (4403, format!("Forbidden: {reason}"));
                }
                Some(WsMessage::Close(code, reason)) => break (code, reason),
                // The stream of client messages has ended: the client closed, or violated the protocol.
                None => break state.borrow_mut().close_reason.take().unwrap_or((1000, String::new())),
            },
            // A ping of the GraphQL protocol, which its clients answer.
            _ = ping.tick() => Some(r#"{"type":"ping"}"#.to_owned()),
        };
        let Some(text) = text else { continue };
        // A client that reads nothing for this long is gone.
        if !matches!(timeout(SEND_TIMEOUT, session.text(text)).await, Ok(Ok(()))) {
            return;
        }
    };
    let code = CloseCode::from(code);
    let description = Some(description).filter(|description| !description.is_empty());
    // If this fails, the client is gone already.
    let _ = timeout(SEND_TIMEOUT, session.close(Some(CloseReason { code, description }))).await;
}

/// The messages of a client, up to the first that violates the protocol. Answers WebSocket pings.
fn client_messages(
    messages: AggregatedMessageStream,
    session: Session,
    state: Rc<RefCell<State>>,
) -> impl Stream<Item = web::Bytes> {
    stream::unfold(
        (messages, session, state),
        async |(mut messages, mut session, state)| {
            loop {
                let text = match messages.recv().await? {
                    Ok(AggregatedMessage::Text(text)) => text.into_bytes(),
                    Ok(AggregatedMessage::Binary(bytes)) => bytes,
                    Ok(AggregatedMessage::Ping(bytes)) => {
                        session.pong(&bytes).await.ok()?;
                        continue;
                    }
                    Ok(AggregatedMessage::Pong(_)) => continue,
                    Ok(AggregatedMessage::Close(_)) => return None,
                    Err(ProtocolError::Overflow) => {
                        let message = format!("the message is larger than {MAX_MESSAGE_BYTES} bytes");
                        state.borrow_mut().close_reason = Some((1009, message));
                        return None;
                    }
                    Err(error) => {
                        state.borrow_mut().close_reason = Some((4400, error.to_string()));
                        return None;
                    }
                };
                let received = state.borrow_mut().receive(&text);
                if let Err(closing) = received {
                    state.borrow_mut().close_reason = Some(closing);
                    return None;
                }
                return Some((with_document_extension(text), (messages, session, state)));
            }
        },
    )
}

/// Whether a request has a document or names one.
fn has_document(payload: &Value) -> bool {
    payload["query"].is_string() || payload["extensions"].is_object() || payload[DOCUMENT_ID].is_string()
}

/// Moves `documentId` of a message to the extensions, where async-graphql keeps it for the executor.
fn with_document_extension(text: web::Bytes) -> web::Bytes {
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
    fn an_operation_that_was_not_executed_ends_with_an_error_and_no_complete() {
        let mut state = State::default();
        let mut send = |text: &str| state.translate(text.to_owned());
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
    fn a_protocol_violation_closes_the_connection_with_its_code() {
        let subscribe = r#"{"type":"subscribe","id":"a","payload":{"query":"{ a }"}}"#;
        let code = |before: &[&str], last: &str| {
            let mut state = State::default();
            for text in before {
                assert!(state.receive(text.as_bytes()).is_ok(), "{text}");
            }
            state.receive(last.as_bytes()).err().map(|(code, _)| code)
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
