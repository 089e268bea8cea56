//! GraphQL over HTTP, after its specification: POST, GET for queries, and events after the graphql-sse protocol.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::parser::types::OperationType;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::{self, Stream};
use tokio::time::{Instant, interval_at};

use super::asked::{Asked, Refusal, brings_files, of_address};
use super::caller::Caller;
use super::executing::{Executing, Question, Turn, refused};
use super::form::{Body, Form};
use super::origin::Origins;
use super::socket;
use crate::graphql::error::code;
use scv_service::metrics::METRICS;
use scv_service::ServiceError;

/// How often a stream of events says that it lives, for whatever stands between server and client.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(12);

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

/// A GET may be sent by anybody's page and repeated by anything on the way, so it only reads.
async fn get(executing: web::Data<Executing>, origins: web::Data<Origins>, request: HttpRequest) -> HttpResponse {
    let Some(form) = Form::accepted(&request) else {
        return not_acceptable();
    };
    if !origins.admit(&request) {
        return refuse(form, &Refusal::of_foreign_page());
    }
    let caller = match executing.callers().of(&request).await {
        Ok(caller) => caller,
        Err(refusal) => return refuse(form, &refusal),
    };
    let asked = match of_address(&request) {
        Ok(asked) => asked,
        Err(refusal) => return refuse(form, &refusal),
    };
    let question = executing.read(asked);
    if question.operation() == Some(OperationType::Mutation) {
        let response = refused(code::BAD_USER_INPUT, "a GET only reads: send mutations by POST");
        let mut answer = form.refusal(StatusCode::METHOD_NOT_ALLOWED, &response);
        let allowed = header::HeaderValue::from_static("POST");
        answer.headers_mut().insert(header::ALLOW, allowed);
        return answer;
    }
    let mut answer = execute(&executing, form, caller, question, None).await;
    // The catalogue moves on, and who may see what is not in the address.
    let caching = header::HeaderValue::from_static("private, no-cache");
    answer.headers_mut().insert(header::CACHE_CONTROL, caching);
    answer
}

async fn post(executing: web::Data<Executing>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Some(form) = Form::accepted(&request) else {
        return not_acceptable();
    };
    // Before the body is read: files of whoever may not ask are not taken in.
    let caller = match executing.callers().of(&request).await {
        Ok(caller) => caller,
        Err(refusal) => return refuse(form, &refusal),
    };
    let turn = match brings_files(&request) {
        true => executing.upload_turn(&caller).map(Some),
        false => Some(None),
    };
    let Some(turn) = turn else {
        return refuse(form, &Refusal::of(ServiceError::Overloaded));
    };
    match Asked::of_body(&request, payload.into_inner(), executing.limits()).await {
        Ok(Asked::One(asked)) => execute(&executing, form, caller, executing.read(*asked), turn).await,
        Ok(Asked::Many(_)) if form == Form::Events => refuse_list(form),
        Ok(Asked::Many(asked)) => {
            if let Err(refusal) = executing.callers().count_more(&caller, asked.len() - 1) {
                return refuse(form, &refusal);
            }
            let questions = asked.into_iter().map(|request| executing.read(request));
            let responses = join_all(questions.map(|question| executing.execute(caller, question))).await;
            form.answers(&responses)
        }
        Err(refusal) => refuse(form, &refusal),
    }
}

/// The answer to a question. Its files lie on the disk until it is answered, and so long it keeps its turn.
async fn execute(
    executing: &Executing,
    form: Form,
    caller: Caller,
    question: Question,
    turn: Option<Turn>,
) -> HttpResponse {
    match form {
        Form::Json | Form::Response => form.answer(&executing.execute(caller, question).await),
        Form::Events => HttpResponse::Ok()
            .content_type("text/event-stream; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            // For proxies that hold back what comes in small pieces.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(events(executing, caller, question).inspect(move |_| _ = &turn)),
    }
}

/// The answers as events, `next` for each and `complete` behind the last, with signs of life between them.
fn events(
    executing: &Executing,
    caller: Caller,
    question: Question,
) -> impl Stream<Item = serde_json::Result<web::Bytes>> + use<> {
    let answers = executing.execute_stream(caller, question);
    let answers = answers.map(|response| {
        let body = serde_json::to_string(&Body(&response))?;
        Ok(web::Bytes::from(format!("event: next\ndata: {body}\n\n")))
    });
    // A server that stops has not told all: who is not told that this is the end asks another one.
    let shutdown = executing.shutdown().clone();
    let end = stream::once(async move { shutdown.is_cancelled() }).filter_map(async |stopped| {
        let complete = web::Bytes::from_static(b"event: complete\ndata:\n\n");
        (!stopped).then_some(Ok(complete))
    });
    // A colon begins a comment.
    let life = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let life = stream::unfold(life, async |mut life| {
        life.tick().await;
        Some((Ok(web::Bytes::from_static(b":\n\n")), life))
    });
    // Ends with the answers, however long it could go on living.
    let done = answers.chain(end).map(Some).chain(stream::iter([None]));
    stream::select(done, life.map(Some))
        .take_while(|event| {
            let goes_on = event.is_some();
            async move { goes_on }
        })
        .filter_map(async |event| event)
}

async fn other_method(request: HttpRequest) -> HttpResponse {
    let mut answer = match *request.method() {
        Method::OPTIONS => HttpResponse::NoContent(),
        _ => HttpResponse::MethodNotAllowed(),
    };
    answer.insert_header((header::ALLOW, "GET, POST, OPTIONS")).finish()
}

fn not_acceptable() -> HttpResponse {
    HttpResponse::NotAcceptable().body(
        "answers come as application/graphql-response+json, application/json or text/event-stream: accept one of them\n",
    )
}

fn refuse(form: Form, refusal: &Refusal) -> HttpResponse {
    METRICS.count_refusal(refusal.code);
    let mut answer = form.refusal(refusal.status, &refused(refusal.code, &refusal.message));
    for (name, value) in refusal.headers() {
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn refuse_list(form: Form) -> HttpResponse {
    let message = "a stream of events answers one request and not a list of them";
    form.refusal(StatusCode::BAD_REQUEST, &refused(code::BAD_USER_INPUT, message))
}
