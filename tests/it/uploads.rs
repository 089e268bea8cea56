//! Uploads: the multipart request specification and its limits, which are checked while the body arrives.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::{self, Client, first_error};
use crate::support::process::{Installation, Process};
use crate::support::server::Server;

const OPERATIONS: &str = r#"{"query":"{ serverInfo { version } }"}"#;

async fn send(api: &Client, form: Form) -> (u16, Value) {
    let request = client::http()
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

/// Starts a request with files whose body is written by hand.
async fn start_request(server: &Server, body: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(server.api.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nGraphQL-Preflight: 1\r\nContent-Length: 100000000\r\n\
                Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    connection
}

/// The response to it, whether the connection is closed properly or not.
async fn read_response(mut connection: TcpStream) -> String {
    let (mut response, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(bytes @ 1..) = connection.read(&mut chunk).await {
        response.extend_from_slice(&chunk[..bytes]);
    }
    String::from_utf8(response).unwrap()
}

#[tokio::test]
async fn the_size_of_one_file_and_of_all_files_is_limited() {
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
        (&[1_001][..], "the file \"file\" is larger than 1000 bytes"),
        (&[1_000, 501], "the files are larger than 1500 bytes"),
    ] {
        let (status, response) = send(beyond).await;
        let (code, message) = first_error(&response);
        assert_eq!((status, code.as_str()), (413, "PAYLOAD_TOO_LARGE"), "{message}");
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_size_of_a_request_without_files_is_limited() {
    let server = Server::with(|config| config.limits.body_bytes = 1_000).await;
    for (bytes, status) in [(1_000, 200), (1_001, 413)] {
        let request = client::http().post(format!("{}/graphql", server.api.url));
        let request = request.header("content-type", "application/json");
        let response = request.body(format!("{OPERATIONS:bytes$}")).send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_while_it_arrives() {
    let server = Server::with(|config| config.limits.file_bytes = 1_000).await;
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a\"\r\n\r\n".to_vec();
    body.resize(body.len() + 2_000, b'a');
    // The rest of the announced body is never sent.
    let response = read_response(start_request(&server, &body).await).await;
    assert!(
        response.starts_with("HTTP/1.1 413") && response.contains("the file \\\"a\\\" is larger"),
        "{response}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn endless_lines_are_not_kept_in_memory() {
    let server = Server::start().await;
    for start in ["--x\r\nContent-Disposition: ", "never a boundary"] {
        let mut body = start.as_bytes().to_vec();
        body.resize((1 << 20) + (64 << 10), b'a');
        let response = read_response(start_request(&server, &body).await).await;
        assert!(response.starts_with("HTTP/1.1 413"), "{start}: {response}");
        assert!(response.contains("belong neither to a file"), "{response}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn missing_parts_and_invalid_operations_are_refused_with_a_reason() {
    let server = Server::start().await;
    let list = format!("[{OPERATIONS}]");
    for (form, words) in [
        (Form::new().text("map", "{}"), "`operations` is missing"),
        (Form::new().text("operations", OPERATIONS), "`map` is missing"),
        (Form::new().text("operations", "{").text("map", "{}"), "must be JSON"),
        (
            Form::new().text("operations", list).text("map", "{}"),
            "a batch cannot have files",
        ),
    ] {
        let (status, response) = send(&server.api, form).await;
        let (code, message) = first_error(&response);
        assert_eq!((status, code.as_str()), (400, "BAD_USER_INPUT"));
        assert!(message.contains(words), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_may_be_used_by_several_variables_and_in_lists() {
    let server = Server::start().await;
    let predict = "mutation($a: PredictInput!, $b: PredictInput!) {
        a: predict(input: $a) { preprocessingSteps } b: predict(input: $b) { preprocessingSteps } }";
    let unknown = json!({ "versionId": "VmVyc2lvbjo5OTk", "image": null });
    let operations = json!({ "query": predict, "variables": { "a": unknown, "b": unknown } });
    let map = json!({ "0": ["variables.a.image", "variables.b.image"] });
    let form = Form::new()
        .text("operations", operations.to_string())
        .text("map", map.to_string());
    let (_, response) = send(&server.api, with_files(form, &[10])).await;
    let errors = response["errors"].as_array().unwrap();
    let codes: Vec<_> = errors.iter().map(|error| &error["extensions"]["code"]).collect();
    assert_eq!(
        codes,
        ["NOT_FOUND", "NOT_FOUND"],
        "both fields have the file: {response:#}"
    );

    let create = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { version { id } } }";
    let model = server.api.model("m").await;
    let input = json!({ "modelId": model, "dataset": "digits", "onnx": null, "onnxData": [null, null] });
    let operations = json!({ "query": create, "variables": { "input": input } });
    let map = json!({ "0": ["variables.input.onnx"], "1": ["variables.input.onnxData.0"], "2": ["variables.input.onnxData.1"] });
    let form = Form::new()
        .text("operations", operations.to_string())
        .text("map", map.to_string());
    let (_, response) = send(&server.api, with_files(form, &[10, 20, 30])).await;
    let (code, message) = first_error(&response);
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(
        !message.contains("Upload"),
        "all three files arrived and were read: {message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_text_cannot_stand_for_a_missing_file() {
    let server = Server::start().await;
    let predict = "mutation($i: PredictInput!) { predict(input: $i) { preprocessingSteps } }";
    for number in ["0", "7", "-1", "", "99999999999999999999"] {
        let image = format!("#__graphql_file__:{number}");
        let input = json!({ "versionId": "VmVyc2lvbjo5OTk", "image": image });
        let (code, message) = server.api.error(predict, json!({ "i": input })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{message}");
        assert!(message.contains("a file that is missing from the request"), "{message}");
        let literal = format!(
            "mutation {{ predict(input: {{ versionId: \"x\", image: \"{image}\" }}) {{ preprocessingSteps }} }}"
        );
        assert_eq!(server.api.error(&literal, json!({})).await.0, "BAD_USER_INPUT");
    }
    // Also not with the number after the last file.
    let operations = json!({ "query": predict, "variables": { "i": { "versionId": "VmVyc2lvbjo5OTk", "image": "#__graphql_file__:1" } } });
    let form = Form::new().text("operations", operations.to_string()).text("map", "{}");
    let (_, response) = send(&server.api, with_files(form, &[10])).await;
    assert_eq!(first_error(&response).0, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_upload_limit_of_one_client_does_not_affect_others() {
    let server = Server::with(|config| config.limits.client_uploads = 1).await;
    let ada = server.api.as_account("ada", "READ").await;
    let input = json!({ "versionId": "VmVyc2lvbjo5OTk", "image": null });
    let predict = "mutation($input: PredictInput!) { predict(input: $input) { preprocessingSteps } }";
    let upload = async |client: &Client| {
        let response = client.upload(predict, json!({ "input": input }), &[("input.image", b"?")]);
        first_error(&response.await.unwrap()).0
    };
    assert_eq!(upload(&server.api).await, "NOT_FOUND");
    // An upload without a token that never ends. The server refuses it if the previous one has not ended yet.
    let body = b"--x\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a\"\r\n\r\nabc";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let slow = loop {
        let slow = start_request(&server, body).await;
        if upload(&server.api).await == "OVERLOADED" {
            break slow;
        }
        assert!(std::time::Instant::now() < end, "the slow upload gets no permit");
    };
    assert_eq!(upload(&ada).await, "NOT_FOUND", "other clients are not affected");
    drop(slow);
    while upload(&server.api).await != "NOT_FOUND" {
        assert!(
            std::time::Instant::now() < end,
            "the client that disconnected still holds its permit"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn files_are_written_below_the_data_directory_while_they_arrive() {
    let installation = Installation::with_database().await;
    let mut server = Process::start(&installation).await;
    let body = "--b\r\ncontent-disposition: form-data; name=\"operations\"\r\n\r\n\
                {\"query\":\"mutation($f: Upload!) { importDataset(input: {name: \\\"n\\\", trainImages: $f}) { job { id } } }\",\"variables\":{\"f\":null}}\r\n\
                --b\r\ncontent-disposition: form-data; name=\"map\"\r\n\r\n{\"0\":[\"variables.f\"]}\r\n\
                --b\r\ncontent-disposition: form-data; name=\"0\"; filename=\"f\"\r\n\r\nthe beginning of a file";
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ngraphql-preflight: 1\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        body.len() + 1_000
    );
    let address = server.api.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();

    // A file without a name is seen only where the process has it open.
    let open_files = format!("/proc/{}/fd", server.id());
    let unnamed = || {
        let links = fs::read_dir(&open_files).unwrap().flatten();
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .find(|path| path.starts_with(installation.data_dir()) && path.to_string_lossy().ends_with(" (deleted)"))
    };
    let end = Instant::now() + Duration::from_secs(60);
    while unnamed().is_none() {
        assert!(Instant::now() < end, "no file is written in the data directory");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(connection);
    assert!(server.terminate().success());
}
