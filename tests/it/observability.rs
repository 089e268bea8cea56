//! What operators see of a request: its name in the log, and its trace.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

use crate::support::process::{Place, Process};
use crate::support::server::Server;

#[tokio::test]
async fn an_answer_bears_the_name_of_its_request() {
    let server = Server::start().await;
    let name = async |given: &str| {
        let request = reqwest::Client::new().get(format!("{}/healthz", server.api.url));
        let response = request.header("x-request-id", given).send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(name("a-name.of_7").await, "a-name.of_7");
    for strange in ["", "with spaces", &"x".repeat(65)] {
        let own = name(strange).await;
        assert!(own != strange && own.len() == 32, "{own}");
    }
    server.stop().await.unwrap();
}

/// How long a trace may be on its way: a hundred times what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector of traces that keeps what it is sent.
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
async fn a_request_is_found_in_the_log_and_in_the_trace_it_belongs_to() {
    let (url, spans) = collector().await;
    let place = Place::with_database().await;
    let mut command = place.serve();
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .env("SCV_LOG", "info,scv=debug")
        // Milliseconds, as OpenTelemetry has it.
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let mut process = Process::run(&place, command).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = reqwest::Client::new().post(format!("{}/graphql", process.api.url));
    let response = request
        .header("x-request-id", "looked-for")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({ "query": "{ models { totalCount nodes { id } } }" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    process.log_has("looked-for").await;
    let end = Instant::now() + PATIENCE;
    let of_trace = loop {
        let sent = spans.lock().unwrap().clone();
        let of_trace = sent.into_iter().filter(|span| hex::encode(&span.trace_id) == trace);
        let of_trace: Vec<_> = of_trace.collect();
        if of_trace.iter().any(|span| span.name == "http.request") {
            break of_trace;
        }
        assert!(Instant::now() < end, "no trace is sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(process.terminate().success());
    let request = of_trace.iter().find(|span| span.name == "http.request").unwrap();
    assert_eq!(hex::encode(&request.parent_span_id), "00f067aa0ba902b7");
}
