//! Long-lived connections: WebSockets and event streams, with and without errors.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::client::{self, Client};
use crate::support::server::Server;
use crate::support::socket::Subscription;

const JOB: &str = "subscription($id: ID!) { job(id: $id) { status } }";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A new WebSocket before its first message, or the status of the refusal.
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

async fn send(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// A new WebSocket after its first message.
async fn begin(api: &Client) -> Socket {
    let mut socket = open(api).await.unwrap();
    send(&mut socket, &json!({ "type": "connection_init" })).await;
    socket
}

async fn receive(socket: &mut Socket) -> Message {
    socket.next().await.unwrap().unwrap()
}

fn close_code(message: &Message) -> Option<u16> {
    match message {
        Message::Close(Some(frame)) => Some(frame.code.into()),
        _ => None,
    }
}

#[tokio::test]
async fn pings_of_the_protocol_and_of_the_socket_get_pongs() {
    let server = Server::start().await;
    let mut socket = open(&server.api).await.unwrap();
    send(&mut socket, &json!({ "type": "connection_init" })).await;
    assert!(receive(&mut socket).await.to_string().contains("connection_ack"));
    send(&mut socket, &json!({ "type": "ping" })).await;
    assert!(receive(&mut socket).await.to_string().contains("pong"));
    socket.send(Message::Ping("of the socket".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Message::Pong("of the socket".into()));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_size_of_a_message_is_limited() {
    let server = Server::start().await;
    for (bytes, expected) in [(256 << 10, None), ((256 << 10) + 1, Some(1009))] {
        let mut socket = open(&server.api).await.unwrap();
        let init = json!({ "type": "connection_init" }).to_string();
        let padding = " ".repeat(bytes - init.len());
        socket.send(Message::text(init + &padding)).await.unwrap();
        assert_eq!(close_code(&receive(&mut socket).await), expected, "{bytes}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn sockets_whose_clients_say_nothing_have_a_small_share_of_their_own() {
    let server = Server::with(|config| config.limits.beginning_sockets = 1).await;
    let first = open(&server.api).await.unwrap();
    assert_eq!(open(&server.api).await.unwrap_err(), 503);
    drop(first);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut begun = loop {
        if let Ok(socket) = open(&server.api).await {
            break socket;
        }
        assert!(std::time::Instant::now() < end, "the closed socket is still counted");
    };
    // A client that has begun is not one of them.
    send(&mut begun, &json!({ "type": "connection_init" })).await;
    assert!(receive(&mut begun).await.to_string().contains("connection_ack"));
    assert!(open(&server.api).await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_number_of_sockets_per_client_is_limited() {
    let server = Server::with(|config| config.limits.client_sockets = 1).await;
    let mut first = begin(&server.api).await;
    assert!(receive(&mut first).await.to_string().contains("connection_ack"));
    let refused = receive(&mut begin(&server.api).await).await;
    assert!(refused.to_string().contains("you have 1 WebSockets"), "{refused}");
    // Another token is another client, whatever its address.
    let ada = server.api.as_account("ada", "READ").await;
    let watched = Subscription::start(&ada, "{ __typename }", json!({}))
        .await
        .next()
        .await;
    assert_eq!(watched.unwrap()["data"]["__typename"], "Query");
    drop(first);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while receive(&mut begin(&server.api).await)
        .await
        .to_string()
        .contains("you have")
    {
        assert!(std::time::Instant::now() < end, "the closed socket is still counted");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_shuts_down_closes_subscriptions_with_code_1001() {
    let server = Server::start().await;
    let job = server.api.endless_job().await;
    let mut watched = Subscription::start(&server.api, JOB, json!({ "id": job })).await;
    assert!(watched.next().await.unwrap()["data"]["job"].is_object());
    let stopping = tokio::spawn(server.stop());
    assert_eq!(watched.close_code().await, 1001);
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_an_event_stream_releases_its_subscription() {
    let server = Server::with(|config| config.limits.subscriptions = 1).await;
    let job = server.api.endless_job().await;
    let http = client::http();
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
            "the stream of the disconnected client is still open"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscription_ends_with_an_error_when_its_token_is_revoked() {
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
    let mut event = watched.next().await.unwrap();
    while event["data"]["job"].is_object() {
        event = watched.next().await.unwrap();
    }
    assert!(event.to_string().contains("UNAUTHENTICATED"), "{event:#}");
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscription_ends_with_an_error_when_its_token_expires() {
    let server = Server::start().await;
    let job = server.api.endless_job().await;
    let reader = server.api.as_account("a", "READ").await;
    let mut watched = Subscription::start(&reader, JOB, json!({ "id": job })).await;
    assert!(watched.next().await.unwrap()["data"]["job"].is_object());
    server
        .execute(
            "update token set expires_at = now() where account_id = (select account_id from account where name = 'a')",
        )
        .await;
    let mut event = watched.next().await.unwrap();
    while event["data"]["job"].is_object() {
        event = watched.next().await.unwrap();
    }
    assert!(
        event.to_string().contains("the token has expired or was revoked"),
        "{event:#}"
    );
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_sends_pings_of_its_own() {
    let server = Server::start().await;
    let mut socket = begin(&server.api).await;
    assert!(receive(&mut socket).await.to_string().contains("connection_ack"));
    assert_eq!(receive(&mut socket).await.to_string(), r#"{"type":"ping"}"#);
    server.stop().await.unwrap();
}
