//! GraphQL over HTTP according to its specification: methods, media types, statuses, compression and events.

mod browsers;
mod documents;
mod events;
mod files;
mod methods;
mod responses;
mod specification;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::support::client::{self, Client};

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

fn request(api: &Client, method: Method) -> RequestBuilder {
    client::http().request(method, format!("{}/graphql", api.url))
}

async fn post(api: &Client, accept: &str, body: &Value) -> Response {
    let request = request(api, Method::POST).header(ACCEPT, accept).json(body);
    request.send().await.unwrap()
}

/// The text of the events that answer a request.
async fn events(api: &Client, body: &Value) -> String {
    let response = post(api, "text/event-stream", body).await;
    assert_eq!(header(&response, CONTENT_TYPE), "text/event-stream; charset=utf-8");
    response.text().await.unwrap()
}

fn header(response: &Response, name: HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
