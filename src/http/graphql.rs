//! GraphQL over HTTP, by its specification: POST, GET for queries, and events by the graphql-sse protocol.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::parser::types::OperationType;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::{self, Stream};
use tokio::time::{Instant, interval_at};

use super::compression::{accepted_encoding, encoded};
use super::error::HttpError;
use super::executor::{Executor, PreparedRequest};
use super::origin::Origins;
use super::request::{BodyRules, GraphqlRequest, ReceivedBody, from_query_string, has_files};
use super::response_format::{ResponseFormat, held};
use super::socket;
use crate::graphql::execute::{Caller, Executed, error_response};
use scv_api::error::code;
use scv_api::response::to_json;
use scv_service::metrics::METRICS;
use scv_service::{AnswerBody, Question, QuestionForm};

/// How often a stream of events sends a comment, so that proxies do not close it as idle.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(12);

/// `/graphql` for queries, mutations and events; `/graphql/ws` for subscriptions over WebSocket.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/graphql")
                .route(web::get().to(get))
                .route(web::post().to(post))
                .default_service(web::to(other_method)),
        )
        .route("/graphql/ws", web::get().to(socket::subscribe));
}

/// Handles a GET, which only reads: any page can make a browser send one, and any proxy may repeat it.
async fn get(executor: web::Data<Executor>, origins: web::Data<Origins>, request: HttpRequest) -> HttpResponse {
    let Some(format) = ResponseFormat::accepted_by(&request) else {
        return not_acceptable();
    };
    if !origins.allows(&request) {
        return refuse(format, &HttpError::foreign_origin());
    }
    let caller = match executor.callers().identify(&request).await {
        Ok(caller) => caller,
        Err(error) => return refuse(format, &error),
    };
    let asked = Asked::of(
        &request,
        format,
        &caller,
        QuestionForm::QueryString,
        request.query_string().to_owned().into(),
    );
    if let Some(answer) = kept(&executor, asked.as_ref()).await {
        return uncacheable(answer);
    }
    let request = match from_query_string(&request) {
        Ok(request) => request,
        Err(error) => return refuse(format, &error),
    };
    let prepared = executor.prepare(request);
    if prepared.operation() == Some(OperationType::Mutation) {
        let response = error_response(code::BAD_USER_INPUT, "GET only reads: send mutations with POST");
        let mut response = format.refusal(StatusCode::METHOD_NOT_ALLOWED, &response);
        let allowed = header::HeaderValue::from_static("POST");
        response.headers_mut().insert(header::ALLOW, allowed);
        return response;
    }
    uncacheable(respond(&executor, format, caller, prepared, asked).await)
}

/// A response to a GET. The catalogue changes, and the response depends on the caller as well as on the address.
fn uncacheable(mut response: HttpResponse) -> HttpResponse {
    let caching = header::HeaderValue::from_static("private, no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    response
}

async fn post(executor: web::Data<Executor>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(format) = ResponseFormat::accepted_by(&request) else {
        return not_acceptable();
    };
    // Before the body is read, so that files of unauthorised callers are not received.
    let caller = match executor.callers().identify(&request).await {
        Ok(caller) => caller,
        Err(error) => return refuse(format, &error),
    };
    let permit = if has_files(&request) {
        let Some(permit) = executor.try_upload(&caller) else {
            return refuse(format, &HttpError::overloaded());
        };
        Some(permit)
    } else {
        None
    };
    let memory = executor.memory().empty();
    let rules = BodyRules {
        limits: executor.limits(),
        memory: &memory,
        check: &|request| executor.check_before_files(&caller, request),
    };
    let received = ReceivedBody::read(&request, payload.into_inner(), &rules).await;
    let (asked, requests) = match received {
        Ok(ReceivedBody::Json(text)) => {
            let asked = Asked::of(&request, format, &caller, QuestionForm::Json, text.clone());
            if let Some(answer) = kept(&executor, asked.as_ref()).await {
                return answer;
            }
            (asked, GraphqlRequest::from_json(&text, executor.limits()))
        }
        Ok(ReceivedBody::Upload(requests)) => (None, Ok(requests)),
        Err(error) => return refuse(format, &error),
    };
    match requests {
        Ok(GraphqlRequest::Single(request)) => {
            let prepared = executor.prepare(*request).holding(permit);
            respond(&executor, format, caller, prepared, asked).await
        }
        Ok(GraphqlRequest::Batch(_)) if format == ResponseFormat::Events => refuse_batch(format),
        Ok(GraphqlRequest::Batch(requests)) => {
            if let Err(error) = executor.callers().count_more(&caller, requests.len() - 1) {
                return refuse(format, &error);
            }
            let prepared = requests.into_iter().map(|request| executor.prepare(request));
            let executed = join_all(prepared.map(|prepared| executor.execute(caller, prepared, None))).await;
            let responses: Vec<_> = executed.into_iter().map(|executed| executed.response).collect();
            format.batch_response(&responses)
        }
        Err(error) => refuse(format, &error),
    }
}

/// What is asked for, if its answer can be kept.
struct Asked {
    question: Question,
    encoding: Option<header::ContentEncoding>,
}

impl Asked {
    fn of(
        request: &HttpRequest,
        format: ResponseFormat,
        caller: &Caller,
        form: QuestionForm,
        text: web::Bytes,
    ) -> Option<Self> {
        let encoding = accepted_encoding(request);
        let question = Question {
            account: caller.access.account,
            scope: caller.access.scope,
            media_type: format.content_type(),
            encoding: encoding.map(|encoding| encoding.as_str()),
            form,
            text,
        };
        (format != ResponseFormat::Events).then_some(Self { question, encoding })
    }

    /// Keeps a response, and returns it.
    async fn keep(self, executor: &Executor, generation: i64, executed: &Executed) -> Option<HttpResponse> {
        let body = to_json(&executed.response).ok()?;
        let (encoding, bytes) = encoded(self.encoding, body).await.ok()?;
        let body = AnswerBody {
            encoding: encoding.map(|encoding| encoding.as_str()),
            bytes,
        };
        let media_type = self.question.media_type;
        executor.keep_answer(self.question, generation, body.clone()).await;
        // The cache has a limit of its own.
        let bytes = held(body.bytes, executed.memory.clone());
        Some(answer(media_type, AnswerBody { bytes, ..body }))
    }
}

/// The response to what is asked for, if it is kept.
async fn kept(executor: &Executor, asked: Option<&Asked>) -> Option<HttpResponse> {
    let question = &asked?.question;
    let body = executor.kept_answer(question).await?;
    // While it is sent slowly, the cache may drop it. Without memory for that it is answered like any other request.
    let memory = executor.memory().try_reserve(body.bytes.len() as u64).ok()?;
    let bytes = held(body.bytes, Some(Arc::new(memory)));
    Some(answer(question.media_type, AnswerBody { bytes, ..body }))
}

fn answer(media_type: &'static str, body: AnswerBody) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type(media_type);
    if let Some(encoding) = body.encoding {
        response.insert_header((header::CONTENT_ENCODING, encoding));
    }
    response.body(body.bytes)
}

/// Executes a request and builds its response.
async fn respond(
    executor: &Executor,
    format: ResponseFormat,
    caller: Caller,
    prepared: PreparedRequest,
    asked: Option<Asked>,
) -> HttpResponse {
    match format {
        ResponseFormat::Json | ResponseFormat::GraphqlResponse => {
            let generation = executor.generation_for(&prepared).await;
            let executed = executor.execute(caller, prepared, generation).await;
            let kept = match (asked, generation) {
                (Some(asked), Some(generation)) if executed.is_lasting => {
                    asked.keep(executor, generation, &executed).await
                }
                _ => None,
            };
            kept.unwrap_or_else(|| format.response(&executed))
        }
        ResponseFormat::Events => HttpResponse::Ok()
            .content_type("text/event-stream; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            // Stops proxies from buffering small pieces.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(events(executor, caller, prepared)),
    }
}

/// The responses as events: `next` for each, `complete` after the last, and comments in between that keep the
/// connection alive.
fn events(
    executor: &Executor,
    caller: Caller,
    prepared: PreparedRequest,
) -> impl Stream<Item = serde_json::Result<web::Bytes>> + use<> {
    let responses = executor.execute_stream(caller, prepared);
    let events = responses.map(|response| {
        let body = to_json(&response)?;
        Ok([b"event: next\ndata: ".as_slice(), &body, b"\n\n"].concat().into())
    });
    // A server that stops has not sent every event. Without `complete`, the client subscribes again, at another server.
    let shutdown = executor.shutdown().clone();
    let end = stream::once(async move { shutdown.is_cancelled() }).filter_map(async |is_stopped| {
        let complete = web::Bytes::from_static(b"event: complete\ndata:\n\n");
        (!is_stopped).then_some(Ok(complete))
    });
    // A colon starts a comment.
    let interval = interval_at(Instant::now() + KEEP_ALIVE_INTERVAL, KEEP_ALIVE_INTERVAL);
    let comments = stream::unfold(interval, async |mut interval| {
        interval.tick().await;
        Some((Ok(web::Bytes::from_static(b":\n\n")), interval))
    });
    // The comments never end, so `None` marks the end of the events.
    let events = events.chain(end).map(Some).chain(stream::iter([None]));
    stream::select(events, comments.map(Some))
        .take_while(|event| {
            let continues = event.is_some();
            async move { continues }
        })
        .filter_map(async |event| event)
}

async fn other_method(request: HttpRequest) -> HttpResponse {
    let mut response = match *request.method() {
        Method::OPTIONS => HttpResponse::NoContent(),
        _ => HttpResponse::MethodNotAllowed(),
    };
    response.insert_header((header::ALLOW, "GET, POST, OPTIONS")).finish()
}

fn not_acceptable() -> HttpResponse {
    HttpResponse::NotAcceptable().body(
        "responses are available as application/graphql-response+json, application/json or text/event-stream: accept one \
         of them\n",
    )
}

fn refuse(format: ResponseFormat, error: &HttpError) -> HttpResponse {
    METRICS.count_refusal(error.code);
    let mut response = format.refusal(error.status, &error_response(error.code, &error.message));
    for (name, value) in error.headers() {
        response.headers_mut().insert(name, value);
    }
    response
}

fn refuse_batch(format: ResponseFormat) -> HttpResponse {
    let message = "a batch cannot be answered with text/event-stream: send its requests one by one";
    format.refusal(StatusCode::BAD_REQUEST, &error_response(code::BAD_USER_INPUT, message))
}
