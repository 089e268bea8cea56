//! The client of a language model, with endpoints that respond properly, wrongly, late or never.

use std::time::Duration;

use scv_domain::explanation::Prompt;
use scv_llm::{Chat, Completion, LlmError, LlmSettings, MAX_COMPLETION_BYTES};
use serde_json::json;

use crate::support::chat::{FakeLlm, Reply, event, finish};

/// A timeout that no test reaches.
const LONG: Duration = Duration::from_secs(120);

/// A timeout for endpoints that never respond.
const SHORT: Duration = Duration::from_millis(100);

/// Requests a completion from a fake model and collects its pieces. Each piece releases the next chunk.
async fn complete_within(llm: &FakeLlm, timeouts: (Duration, Duration)) -> (Result<Completion, LlmError>, Vec<String>) {
    complete_at(&llm.url, timeouts, || llm.release(1)).await
}

async fn complete_at(
    url: &str,
    (idle_timeout, total_timeout): (Duration, Duration),
    on_piece: impl Fn(),
) -> (Result<Completion, LlmError>, Vec<String>) {
    let settings = LlmSettings {
        url: url.parse().unwrap(),
        model: "some-model".to_owned(),
        key: Some("secret".to_owned().into()),
        idle_timeout,
        total_timeout,
    };
    let prompt = Prompt {
        system: "how".to_owned(),
        user: "what".to_owned(),
    };
    let mut pieces = Vec::new();
    let completion = Chat::new(settings)
        .unwrap()
        .complete(&prompt, |piece| {
            pieces.push(piece.to_owned());
            on_piece();
        })
        .await;
    (completion, pieces)
}

/// Requests a completion with endless timeouts; returns it with its pieces and the number of requests.
async fn complete(replies: impl IntoIterator<Item = Reply>) -> (Result<Completion, LlmError>, Vec<String>, usize) {
    let llm = FakeLlm::start(replies);
    let (completion, pieces) = complete_within(&llm, (LONG, LONG)).await;
    (completion, pieces, llm.requests().len())
}

fn whole(text: &str) -> Result<Completion, LlmError> {
    Ok(Completion {
        text: text.to_owned(),
        complete: true,
    })
}

#[tokio::test]
async fn a_request_follows_the_protocol_and_its_completion_arrives_in_pieces() {
    let llm = FakeLlm::start([Reply::says(&["They ", "agree."])]);
    let (completion, pieces) = complete_within(&llm, (LONG, LONG)).await;
    assert_eq!(completion, whole("They agree."));
    assert_eq!(pieces, ["They ", "agree."]);
    let requests = llm.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[0].authorization.as_deref(), Some("Bearer secret"));
    let messages = json!([{ "role": "system", "content": "how" }, { "role": "user", "content": "what" }]);
    assert_eq!(
        requests[0].body,
        json!({ "model": "some-model", "stream": true, "messages": messages })
    );
}

#[tokio::test]
async fn a_stream_is_read_with_any_chunk_size_and_with_other_events() {
    let stream = [
        ": please wait\r\n\r\n".to_owned(),
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\r\n\r\n".to_owned(),
        event("Größe "),
        "event: message\nid: 7\n".to_owned() + &event("日本"),
        event("!"),
        finish("stop"),
        "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    for length in [1, 2, 7, stream.len()] {
        let (completion, _, requests) = complete([Reply::streams(stream.as_bytes().chunks(length))]).await;
        assert_eq!((completion, requests), (whole("Größe 日本!"), 1), "{length}");
    }
}

#[tokio::test]
async fn an_endpoint_without_streaming_is_supported() {
    let message = json!({ "role": "assistant", "content": "They agree." });
    let body = json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string();
    let (completion, pieces, _) = complete([Reply::sends("application/json", &body)]).await;
    assert_eq!(completion, whole("They agree."));
    assert_eq!(pieces, ["They agree."]);
}

#[tokio::test]
async fn only_transient_errors_are_retried() {
    let good = Reply::says(&["Well."]);
    let recovered = [
        Reply::fails_with(429).with_retry_after("0"),
        Reply::fails_with(500),
        Reply::fails_with(503).with_retry_after("0"),
        Reply::streams([""; 0]).then_disconnects(),
        Reply::streams(["data: {\"error\":{\"code\":429,\"message\":\"later\"}}\n\n"]),
    ];
    for reply in recovered {
        let (completion, _, requests) = complete([reply, good.clone()]).await;
        assert_eq!((completion, requests), (whole("Well."), 2));
    }
    for status in [400, 401, 403, 404, 302] {
        let (completion, _, requests) = complete([Reply::fails_with(status), good.clone()]).await;
        let message = completion.unwrap_err().to_string();
        assert!(message.contains(&format!("returned {status} ")), "{message}");
        assert!(
            !message.contains("sk-123"),
            "the message of the endpoint is not shown: {message}"
        );
        assert_eq!(requests, 1);
    }
}

#[tokio::test]
async fn there_are_at_most_three_attempts_and_no_long_waits() {
    let (completion, _, requests) = complete([Reply::fails_with(500)]).await;
    let message = completion.unwrap_err().to_string();
    assert_eq!(
        message,
        "the language model's endpoint returned 500 Internal Server Error"
    );
    assert_eq!(requests, 3);
    let (completion, _, requests) =
        complete([Reply::fails_with(429).with_retry_after("3600"), Reply::says(&["Well."])]).await;
    assert!(matches!(completion, Err(LlmError::Refused { .. })), "{completion:?}");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn an_endpoint_that_never_responds_times_out() {
    let llm = FakeLlm::start([Reply::silent()]);
    let (completion, _) = complete_within(&llm, (SHORT, LONG)).await;
    assert_eq!(completion, Err(LlmError::IdleTimeout(SHORT)));
    assert_eq!(llm.requests().len(), 3);
    let llm = FakeLlm::start([Reply::silent()]);
    let (completion, _) = complete_within(&llm, (LONG, SHORT)).await;
    assert_eq!(completion, Err(LlmError::Timeout(SHORT)));
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test]
async fn an_unreachable_endpoint_is_an_error() {
    // Bound and closed again, so that nothing listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (completion, _) = complete_at(&format!("http://{address}/v1"), (LONG, LONG), || {}).await;
    assert!(
        matches!(completion, Err(LlmError::Unreachable { .. })),
        "{completion:?}"
    );
}

#[tokio::test]
async fn a_completion_that_has_started_is_not_requested_again() {
    let started = || Reply::streams([event("They ")]);
    let broken = [
        (started().then_disconnects(), LlmError::Interrupted),
        (started(), LlmError::Interrupted),
    ];
    for (reply, expected) in broken {
        let (completion, pieces, requests) = complete([reply, Reply::says(&["Well."])]).await;
        assert_eq!((completion, requests), (Err(expected), 1));
        assert_eq!(pieces, ["They "]);
    }
    let reported = Reply::streams([
        event("They "),
        "data: {\"error\":{\"message\":\"out of memory\"}}\n\n".to_owned(),
    ]);
    let (completion, _, requests) = complete([reported]).await;
    assert!(matches!(completion, Err(LlmError::Reported { .. })), "{completion:?}");
    assert_eq!(requests, 1);
    let stalling = FakeLlm::start([started().then_stalls()]);
    // Long enough for the piece to arrive, and short enough to wait for.
    let timeout = Duration::from_secs(2);
    let (completion, pieces) = complete_within(&stalling, (timeout, LONG)).await;
    assert_eq!(completion, Err(LlmError::IdleTimeout(timeout)));
    assert_eq!((pieces.len(), stalling.requests().len()), (1, 1));
}

#[tokio::test]
async fn malformed_and_empty_responses_are_errors() {
    let malformed = [
        Reply::streams(["data: {\"choices\": [\n\n"]),
        Reply::streams([b"data: \xff\xfe\n\n"]),
        Reply::sends("text/html", "<html>welcome</html>"),
        Reply::sends("application/json", "{}"),
        Reply::sends("application/json", "[1, 2"),
    ];
    for reply in malformed {
        let (completion, pieces, requests) = complete([reply]).await;
        assert!(matches!(completion, Err(LlmError::Malformed { .. })), "{completion:?}");
        assert_eq!((pieces.len(), requests), (0, 1));
    }
    let (completion, _, requests) = complete([Reply::says(&[])]).await;
    assert_eq!((completion, requests), (Err(LlmError::Empty), 1));
}

#[tokio::test]
async fn a_completion_is_truncated_at_the_limit_and_marked_as_incomplete() {
    // Characters of three bytes, so that the limit is within one.
    let piece = "語".repeat(1000);
    let endless = vec![piece.as_str(); 100];
    let (completion, _, _) = complete([Reply::says(&endless)]).await;
    let completion = completion.unwrap();
    assert!(!completion.complete);
    assert_eq!(completion.text.len(), MAX_COMPLETION_BYTES - MAX_COMPLETION_BYTES % 3);
    let short = Reply::streams([event("They"), finish("length"), "data: [DONE]\n\n".to_owned()]);
    let (completion, _, _) = complete([short]).await;
    assert!(!completion.unwrap().complete);
}
