//! Uploads: the multipart request specification, what each may have, and that it is told while they come.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::{Client, first_error};
use crate::support::server::Server;

const OPERATIONS: &str = r#"{"query":"{ serverInfo { version } }"}"#;

async fn send(api: &Client, form: Form) -> (u16, Value) {
    let request = reqwest::Client::new()
        .post(format!("{}/graphql", api.url))
        .header("graphql-preflight", "1");
    let response = request.multipart(form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn with_files(form: Form, files: &[usize]) -> Form {
    let file = |bytes: &usize| Part::bytes(vec![0; *bytes]).file_name("file");
    let files = files.iter().map(file).enumerate();
    files.fold(form, |form, (index, file)| form.part(index.to_string(), file))
}

/// A request with files whose body is written by hand.
async fn begin(server: &Server, body: &[u8]) -> TcpStream {
    let mut line = TcpStream::connect(server.api.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nGraphQL-Preflight: 1\r\nContent-Length: 100000000\r\n\
                Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n";
    line.write_all(head.as_bytes()).await.unwrap();
    line.write_all(body).await.unwrap();
    line
}

/// What a server answers to it, whether the line is closed in order or not.
async fn answer(mut line: TcpStream) -> String {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(bytes @ 1..) = line.read(&mut piece).await {
        answer.extend_from_slice(&piece[..bytes]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_file_and_all_files_together_have_so_many_bytes_and_no_more() {
    let server = Server::with(|config| {
        config.limits.file_bytes = 1_000;
        config.limits.upload_bytes = 1_500;
    })
    .await;
    let send = async |files: &[usize]| {
        let form = Form::new().text("operations", OPERATIONS).text("map", "{}");
        send(&server.api, with_files(form, files)).await
    };
    for within in [&[1_000][..], &[1_000, 500]] {
        assert_eq!(send(within).await.0, 200, "{within:?}");
    }
    for (beyond, words) in [
        (&[1_001][..], "a file is larger than 1000 bytes"),
        (&[1_000, 501], "the files are larger than 1500 bytes"),
    ] {
        let (status, answer) = send(beyond).await;
        let (code, message) = first_error(&answer);
        assert_eq!((status, code.as_str()), (413, "PAYLOAD_TOO_LARGE"), "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_without_files_has_so_many_bytes_and_no_more() {
    let server = Server::with(|config| config.limits.body_bytes = 1_000).await;
    for (bytes, status) in [(1_000, 200), (1_001, 413)] {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.api.url));
        let request = request.header("content-type", "application/json");
        let response = request.body(format!("{OPERATIONS:bytes$}")).send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused_while_it_comes() {
    let server = Server::with(|config| config.limits.file_bytes = 1_000).await;
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a\"\r\n\r\n".to_vec();
    body.resize(body.len() + 2_000, b'a');
    // The rest of what was announced never comes.
    let answer = answer(begin(&server, &body).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("a file is larger"),
        "{answer}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn lines_without_end_are_not_kept_in_memory() {
    let server = Server::start().await;
    for beginning in ["--x\r\nContent-Disposition: ", "never a boundary"] {
        let mut body = beginning.as_bytes().to_vec();
        body.resize((1 << 20) + (64 << 10), b'a');
        let answer = answer(begin(&server, &body).await).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{beginning}: {answer}");
        assert!(answer.contains("belong neither to a file"), "{answer}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn parts_that_are_missing_or_no_single_request_are_told() {
    let server = Server::start().await;
    let list = format!("[{OPERATIONS}]");
    for (form, words) in [
        (Form::new().text("map", "{}"), "`operations` is missing"),
        (Form::new().text("operations", OPERATIONS), "`map` is missing"),
        (Form::new().text("operations", "{").text("map", "{}"), "must be JSON"),
        (
            Form::new().text("operations", list).text("map", "{}"),
            "files come with one request",
        ),
    ] {
        let (status, answer) = send(&server.api, form).await;
        let (code, message) = first_error(&answer);
        assert_eq!((status, code.as_str()), (400, "BAD_USER_INPUT"));
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_stands_at_several_places_and_in_lists() {
    let server = Server::start().await;
    let predict = "mutation($a: PredictInput!, $b: PredictInput!) {
        a: predict(input: $a) { preparations } b: predict(input: $b) { preparations } }";
    let unknown = json!({ "versionId": "VmVyc2lvbjo5OTk", "image": null });
    let operations = json!({ "query": predict, "variables": { "a": unknown, "b": unknown } });
    let map = json!({ "0": ["variables.a.image", "variables.b.image"] });
    let form = Form::new()
        .text("operations", operations.to_string())
        .text("map", map.to_string());
    let (_, answer) = send(&server.api, with_files(form, &[10])).await;
    let errors = answer["errors"].as_array().unwrap();
    let codes: Vec<_> = errors.iter().map(|error| &error["extensions"]["code"]).collect();
    assert_eq!(codes, ["NOT_FOUND", "NOT_FOUND"], "both have their file: {answer:#}");

    let create = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { version { id } } }";
    let model = server.api.model("m").await;
    let input = json!({ "modelId": model, "dataset": "digits", "onnx": null, "onnxData": [null, null] });
    let operations = json!({ "query": create, "variables": { "input": input } });
    let map = json!({ "0": ["variables.input.onnx"], "1": ["variables.input.onnxData.0"], "2": ["variables.input.onnxData.1"] });
    let form = Form::new()
        .text("operations", operations.to_string())
        .text("map", map.to_string());
    let (_, answer) = send(&server.api, with_files(form, &[10, 20, 30])).await;
    let (code, message) = first_error(&answer);
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(
        !message.contains("Upload"),
        "all three have come and are looked into: {message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_text_does_not_stand_for_a_file_that_did_not_come() {
    let server = Server::start().await;
    let predict = "mutation($i: PredictInput!) { predict(input: $i) { preparations } }";
    for number in ["0", "7", "-1", "", "99999999999999999999"] {
        let image = format!("#__graphql_file__:{number}");
        let input = json!({ "versionId": "VmVyc2lvbjo5OTk", "image": image });
        let (code, message) = server.api.error(predict, json!({ "i": input })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains("did not come along"), "{message}");
        let literal =
            format!("mutation {{ predict(input: {{ versionId: \"x\", image: \"{image}\" }}) {{ preparations }} }}");
        assert_eq!(server.api.error(&literal, json!({})).await.0, "BAD_USER_INPUT");
    }
    // Nor one more than came.
    let operations = json!({ "query": predict, "variables": { "i": { "versionId": "VmVyc2lvbjo5OTk", "image": "#__graphql_file__:1" } } });
    let form = Form::new().text("operations", operations.to_string()).text("map", "{}");
    let (_, answer) = send(&server.api, with_files(form, &[10])).await;
    assert_eq!(first_error(&answer).0, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_takes_the_turns_of_others_to_bring_files() {
    let server = Server::with(|config| config.limits.client_uploads = 1).await;
    let ada = server.api.as_account("ada", "READ").await;
    let input = json!({ "versionId": "VmVyc2lvbjo5OTk", "image": null });
    let predict = "mutation($input: PredictInput!) { predict(input: $input) { preparations } }";
    let bring = async |client: &Client| {
        let answer = client.upload(predict, json!({ "input": input }), &[("input.image", b"?")]);
        first_error(&answer.await.unwrap()).0
    };
    assert_eq!(bring(&server.api).await, "NOT_FOUND");
    // One that never ends, of whoever shows no token. It is refused itself if it comes while the other is answered.
    let body = b"--x\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a\"\r\n\r\nabc";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let slow = loop {
        let slow = begin(&server, body).await;
        if bring(&server.api).await == "OVERLOADED" {
            break slow;
        }
        assert!(std::time::Instant::now() < end, "the slow one takes no turn");
    };
    assert_eq!(bring(&ada).await, "NOT_FOUND", "others go on");
    drop(slow);
    while bring(&server.api).await != "NOT_FOUND" {
        assert!(std::time::Instant::now() < end, "whoever has left still has a turn");
    }
    server.stop().await.unwrap();
}
