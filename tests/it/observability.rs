//! What operators see of a request: its id in the log, and its trace.

use crate::support::client;
use crate::support::process::{Installation, Process};
use crate::support::server::Server;

#[tokio::test]
async fn a_response_has_the_id_of_its_request() {
    let server = Server::start().await;
    let id_for = async |given: &str| {
        let request = client::http().get(format!("{}/healthz", server.api.url));
        let response = request.header("x-request-id", given).send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id_for("a-name.of_7").await, "a-name.of_7");
    for invalid in ["", "with spaces", &"x".repeat(65)] {
        let new = id_for(invalid).await;
        assert!(new != invalid && new.len() == 32, "{new}");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_id_of_a_request() {
    let installation = Installation::with_database().await;
    let mut command = installation.serve();
    command.env("SCV_LOG", "info,scv=debug");
    let mut process = Process::run(&installation, command).await;
    let request = client::http().get(format!("{}/healthz", process.api.url));
    let response = request.header("x-request-id", "looked-for").send().await.unwrap();
    assert_eq!(response.status(), 200);
    process.wait_for_log("looked-for").await;
    assert!(process.terminate().success());
}

/// Builds without the feature `otlp` cannot export traces.
#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_otlp_refuses_a_collector_and_says_how_to_build_one() {
    use crate::support::process::run_to_exit;

    let installation = Installation::empty();
    let collector = "http://127.0.0.1:4318";
    let mut by_option = installation.serve();
    by_option.args(["--otlp-endpoint", collector]);
    let mut by_environment = installation.serve();
    by_environment.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
    for mut command in [by_option, by_environment] {
        let (status, message) = run_to_exit(&installation, &mut command);
        assert_eq!(status.code(), Some(1), "{message}");
        assert!(
            message.contains("cannot export traces") && message.contains("--features otlp"),
            "{message}"
        );
        assert!(!installation.data_dir().exists(), "nothing is created before that");
    }
}

#[test]
fn a_collector_does_not_keep_other_commands_than_the_server_from_running() {
    use crate::support::process::run_to_exit;

    let installation = Installation::empty();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scv"));
    command
        .args(["status", "--server", "127.0.0.1:1"])
        .env("SCV_CONFIG", "/dev/null")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    let (status, message) = run_to_exit(&installation, &mut command);
    // The command runs, and then finds no server.
    assert_eq!(status.code(), Some(5), "{message}");
    assert!(message.contains("cannot reach a server"), "{message}");
}

#[cfg(feature = "otlp")]
mod traces {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use actix_web::web::{self, Bytes};
    use actix_web::{App, HttpResponse, HttpServer};
    use prost::Message;
    use serde_json::json;

    use crate::support::client;
    use crate::support::process::{Installation, Process};

    /// How long a trace may take to arrive: a hundred times what it usually takes.
    const TRACE_TIMEOUT: Duration = Duration::from_secs(30);

    // The messages of OpenTelemetry's protocol, with only the fields that the test reads.

    #[derive(Clone, PartialEq, Message)]
    struct ExportTraceServiceRequest {
        #[prost(message, repeated, tag = "1")]
        resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ResourceSpans {
        #[prost(message, repeated, tag = "2")]
        scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Span {
        #[prost(bytes = "vec", tag = "1")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        name: String,
    }

    /// A collector that keeps the spans it receives.
    async fn collector() -> (String, Arc<Mutex<Vec<Span>>>) {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let kept = web::Data::new(Arc::clone(&spans));
        let receive = async |kept: web::Data<Arc<Mutex<Vec<Span>>>>, body: Bytes| {
            let sent = ExportTraceServiceRequest::decode(body).unwrap();
            let scopes = sent
                .resource_spans
                .into_iter()
                .flat_map(|resource| resource.scope_spans);
            kept.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
            HttpResponse::Ok().finish()
        };
        let factory = move || {
            let app = App::new()
                .app_data(kept.clone())
                .app_data(web::PayloadConfig::new(16 << 20));
            app.route("/v1/traces", web::post().to(receive))
        };
        let server = HttpServer::new(factory)
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        (url, spans)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_appears_in_the_log_and_in_the_trace_it_belongs_to() {
        let (url, spans) = collector().await;
        let installation = Installation::with_database().await;
        let mut command = installation.serve();
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
            .env("SCV_LOG", "info,scv=debug")
            // OpenTelemetry's unit is milliseconds.
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
        let mut process = Process::run(&installation, command).await;
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let request = client::http().post(format!("{}/graphql", process.api.url));
        let response = request
            .header("x-request-id", "looked-for")
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
            .json(&json!({ "query": "{ models { totalCount nodes { id } } }" }))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        process.wait_for_log("looked-for").await;
        let end = Instant::now() + TRACE_TIMEOUT;
        let of_trace = loop {
            let sent = spans.lock().unwrap().clone();
            let of_trace = sent.into_iter().filter(|span| hex::encode(&span.trace_id) == trace);
            let of_trace: Vec<_> = of_trace.collect();
            if of_trace.iter().any(|span| span.name == "http.request") {
                break of_trace;
            }
            assert!(Instant::now() < end, "no trace has arrived");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(process.terminate().success());
        let request = of_trace.iter().find(|span| span.name == "http.request").unwrap();
        assert_eq!(hex::encode(&request.parent_span_id), "00f067aa0ba902b7");
    }
}
