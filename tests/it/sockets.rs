//! Lines that stay open: WebSockets and streams of events, when nothing is wrong and when something is.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::socket::Subscription;

const JOB: &str = "subscription($id: ID!) { job(id: $id) { status } }";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A WebSocket on which nothing has been said, or the status of the refusal.
async fn open(api: &Client) -> Result<Socket, u16> {
    let url = format!("{}/graphql/ws", api.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn hear(socket: &mut Socket) -> Message {
    socket.next().await.unwrap().unwrap()
}

fn code(message: &Message) -> Option<u16> {
    match message {
        Message::Close(Some(frame)) => Some(frame.code.into()),
        _ => None,
    }
}

#[tokio::test]
async fn a_client_that_asks_whether_the_server_lives_is_answered() {
    let server = Server::start().await;
    let mut socket = open(&server.api).await.unwrap();
    say(&mut socket, &json!({ "type": "connection_init" })).await;
    assert!(hear(&mut socket).await.to_string().contains("connection_ack"));
    say(&mut socket, &json!({ "type": "ping" })).await;
    assert!(hear(&mut socket).await.to_string().contains("pong"));
    socket.send(Message::Ping("of the line".into())).await.unwrap();
    assert_eq!(hear(&mut socket).await, Message::Pong("of the line".into()));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_has_so_many_bytes_and_no_more() {
    let server = Server::start().await;
    for (bytes, expected) in [(256 << 10, None), ((256 << 10) + 1, Some(1009))] {
        let mut socket = open(&server.api).await.unwrap();
        let init = json!({ "type": "connection_init" }).to_string();
        let padding = " ".repeat(bytes - init.len());
        socket.send(Message::text(init + &padding)).await.unwrap();
        assert_eq!(code(&hear(&mut socket).await), expected, "{bytes}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn so_many_sockets_are_open_from_one_address_and_no_more() {
    let server = Server::with(|config| config.limits.sockets = 1).await;
    let first = open(&server.api).await.unwrap();
    assert_eq!(open(&server.api).await.unwrap_err(), 503);
    drop(first);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while open(&server.api).await.is_err() {
        assert!(
            std::time::Instant::now() < end,
            "the socket that was left is still open"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_whoever_watches() {
    let server = Server::start().await;
    let job = server.api.endless_job().await;
    let mut watched = Subscription::start(&server.api, JOB, json!({ "id": job })).await;
    assert!(watched.next().await.unwrap()["data"]["job"].is_object());
    let stopping = tokio::spawn(server.stop());
    assert_eq!(watched.farewell().await, 1001);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_leaves_a_stream_of_events_makes_room() {
    let server = Server::with(|config| config.limits.subscriptions = 1).await;
    let job = server.api.endless_job().await;
    let http = reqwest::Client::new();
    let watch = async || {
        let request = http
            .post(format!("{}/graphql", server.api.url))
            .header("accept", "text/event-stream");
        let request = request.json(&json!({ "query": JOB, "variables": { "id": job } }));
        let mut events = request.send().await.unwrap();
        let first = events.chunk().await.unwrap().unwrap();
        (events, String::from_utf8(first.to_vec()).unwrap())
    };
    let (first, seen) = watch().await;
    assert!(seen.contains("\"status\""), "{seen}");
    assert!(watch().await.1.contains("OVERLOADED"));
    drop(first);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while watch().await.1.contains("OVERLOADED") {
        assert!(
            std::time::Instant::now() < end,
            "the stream that was left is still open"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_watches_with_a_token_that_ends_is_told_that_it_did() {
    let server = Server::start().await;
    let job = server.api.endless_job().await;
    let reader = server.api.as_account("a", "READ").await;
    let mut watched = Subscription::start(&reader, JOB, json!({ "id": job })).await;
    assert!(watched.next().await.unwrap()["data"]["job"].is_object());
    let own = reader.data("{ tokens { nodes { id } } }", json!({})).await;
    let revoke = "mutation($id: ID!) { revokeToken(input: { id: $id }) { token { id } } }";
    reader
        .data(revoke, json!({ "id": own["tokens"]["nodes"][0]["id"] }))
        .await;
    let mut told = watched.next().await.unwrap();
    while told["data"]["job"].is_object() {
        told = watched.next().await.unwrap();
    }
    assert!(told.to_string().contains("UNAUTHENTICATED"), "{told:#}");
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}
