//! Subscriptions over a WebSocket, in the protocol `graphql-transport-ws`.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::client::Client;

/// One subscription on its own socket.
pub struct Subscription {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Subscription {
    /// Subscribes.
    pub async fn start(api: &Client, query: &str, variables: Value) -> Self {
        Self::start_with(api, json!({ "query": query, "variables": variables })).await
    }

    /// Subscribes with a request body of any members.
    pub async fn start_with(api: &Client, request_body: Value) -> Self {
        let url = format!("{}/graphql/ws", api.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let subscribe = json!({ "id": "1", "type": "subscribe", "payload": request_body });
        // As browsers do it: they cannot send a header with the upgrade request.
        let credentials = api
            .token
            .as_ref()
            .map(|token| json!({ "authorization": format!("Bearer {token}") }));
        let init = json!({ "type": "connection_init", "payload": credentials });
        for message in [init, subscribe] {
            socket.send(Message::text(message.to_string())).await.unwrap();
        }
        Self { socket }
    }

    /// Sends another operation over the same socket.
    pub async fn send(&mut self, query: &str) {
        let subscribe = json!({ "id": "2", "type": "subscribe", "payload": { "query": query } });
        self.socket.send(Message::text(subscribe.to_string())).await.unwrap();
    }

    /// The code with which the server closes the socket.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(Some(frame)) = self.socket.next().await.unwrap().unwrap() {
                return frame.code.into();
            }
        }
    }

    /// The next event; `None` once the server has completed the subscription.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let message = self.socket.next().await.unwrap().unwrap();
            let Ok(text) = message.to_text() else { continue };
            let mut message: Value = serde_json::from_str(text).unwrap_or_default();
            match message["type"].as_str() {
                Some("next" | "error") => return Some(message["payload"].take()),
                Some("complete") => return None,
                _ => {}
            }
        }
    }
}
