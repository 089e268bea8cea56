//! Bodies of responses.

use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use serde_json::{Value, json};

use super::{GRAPHQL_RESPONSE, header, post, request};
use crate::support::networks::perceptron;
use crate::support::server::Server;

#[tokio::test]
async fn long_responses_are_compressed_with_a_coding_that_the_client_accepts() {
    let server = Server::start().await;
    let api = &server.api;
    let long = json!({ "query": "{ __schema { types { name description fields { name description } } } }" });
    let short = json!({ "query": "{ models { totalCount } }" });
    let send = async |body: &Value, accept: &str| {
        let request = request(api, Method::POST).header(ACCEPT_ENCODING, accept).json(body);
        request.send().await.unwrap()
    };
    let plain = send(&long, "identity").await;
    assert_eq!(header(&plain, CONTENT_ENCODING), "");
    assert!(header(&plain, VARY).contains("accept-encoding"));
    let plain = plain.bytes().await.unwrap();
    for (accept, coding) in [("gzip, br, zstd", "br"), ("br, gzip", "br"), ("gzip", "gzip")] {
        let packed = send(&long, accept).await;
        assert_eq!(header(&packed, CONTENT_ENCODING), coding);
        let bytes = packed.bytes().await.unwrap();
        assert!(
            bytes.len() < plain.len() / 3,
            "{coding}: {} of {}",
            bytes.len(),
            plain.len()
        );
        let mut unpacked = Vec::new();
        if coding == "br" {
            brotli::BrotliDecompress(&mut &bytes[..], &mut unpacked).unwrap();
        } else {
            std::io::copy(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked).unwrap();
        }
        assert_eq!(unpacked, plain, "{coding}");
    }
    assert_eq!(header(&send(&short, "gzip").await, CONTENT_ENCODING), "");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fields_have_the_order_in_which_they_were_requested() {
    let server = Server::start().await;
    let fields = [
        "viewer",
        "scope",
        "account",
        "models",
        "totalCount",
        "pageInfo",
        "hasNextPage",
        "nodes",
        "serverInfo",
    ];
    let query = "{ viewer { scope account } models(first: 1) { totalCount pageInfo { hasNextPage } nodes { id } }
                   serverInfo { device } }";
    for accept in [GRAPHQL_RESPONSE, "text/event-stream"] {
        for _ in 0..20 {
            let response = post(&server.api, accept, &json!({ "query": query }))
                .await
                .text()
                .await
                .unwrap();
            let positions = fields.map(|field| response.find(&format!("\"{field}\"")).unwrap());
            assert!(positions.is_sorted(), "{response}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_error_in_a_non_null_field_makes_the_parent_null() {
    let server = Server::start().await;
    let api = &server.api;
    let mut versions = Vec::new();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let model = api.model(name).await;
        versions.push(
            api.train_and_wait(&model, perceptron(), json!({ "epochs": 1, "seed": seed }))
                .await,
        );
    }
    let query = "query($id: ID!) { version(id: $id) { number layers { nodes { id } } } }";
    let found = api.data(query, json!({ "id": versions[0] })).await;
    let layer = &found["version"]["layers"]["nodes"][0]["id"];
    let query = "query($id: ID!) { serverInfo { version } layer(id: $id) {
        name similar(first: 1) { edges { rank significance(permutations: 10) { pValue } } } } }";
    let response = api.execute(query, json!({ "id": layer })).await.unwrap();
    assert_eq!(
        response["errors"][0]["path"],
        json!(["layer", "similar", "edges", 0, "significance"])
    );
    assert_eq!(response["data"]["layer"], Value::Null, "{response:#}");
    assert!(response["data"]["serverInfo"]["version"].is_string());
    server.stop().await.unwrap();
}
