//! Asking a language model that answers well, badly, late or never.

use std::time::Duration;

use scv_domain::explanation::Prompt;
use scv_llm::{Answer, Chat, LlmError, LlmSettings, MAX_ANSWER_BYTES};
use serde_json::json;

use crate::support::chat::{StandIn, Turn, event, finish};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(120);

/// Shorter than any answer, where none comes.
const SHORT: Duration = Duration::from_millis(100);

/// Asks a stand-in, keeps the pieces that came before the end, and lets the stand-in go on with each.
async fn ask_within(stand_in: &StandIn, patience: (Duration, Duration)) -> (Result<Answer, LlmError>, Vec<String>) {
    ask_at(&stand_in.url, patience, || stand_in.go_on(1)).await
}

async fn ask_at(
    url: &str,
    (silence, longest): (Duration, Duration),
    heard: impl Fn(),
) -> (Result<Answer, LlmError>, Vec<String>) {
    let settings = LlmSettings {
        url: url.parse().unwrap(),
        model: "some-model".to_owned(),
        key: Some("secret".to_owned().into()),
        silence,
        longest,
    };
    let prompt = Prompt {
        system: "how".to_owned(),
        user: "what".to_owned(),
    };
    let mut pieces = Vec::new();
    let answer = Chat::new(settings)
        .unwrap()
        .ask(&prompt, |piece| {
            pieces.push(piece.to_owned());
            heard();
        })
        .await;
    (answer, pieces)
}

async fn ask(turns: impl IntoIterator<Item = Turn>) -> (Result<Answer, LlmError>, Vec<String>, usize) {
    let stand_in = StandIn::start(turns);
    let (answer, pieces) = ask_within(&stand_in, (LONG, LONG)).await;
    (answer, pieces, stand_in.asked().len())
}

fn whole(text: &str) -> Result<Answer, LlmError> {
    Ok(Answer {
        text: text.to_owned(),
        complete: true,
    })
}

#[tokio::test]
async fn an_answer_comes_piece_by_piece_to_a_question_in_the_protocols_words() {
    let stand_in = StandIn::start([Turn::says(&["They ", "agree."])]);
    let (answer, pieces) = ask_within(&stand_in, (LONG, LONG)).await;
    assert_eq!(answer, whole("They agree."));
    assert_eq!(pieces, ["They ", "agree."]);
    let asked = stand_in.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/v1/chat/completions");
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer secret"));
    let messages = json!([{ "role": "system", "content": "how" }, { "role": "user", "content": "what" }]);
    assert_eq!(
        asked[0].body,
        json!({ "model": "some-model", "stream": true, "messages": messages })
    );
}

#[tokio::test]
async fn a_stream_is_read_wherever_it_is_cut_and_whatever_else_stands_in_it() {
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
        let (answer, _, asked) = ask([Turn::streams(stream.as_bytes().chunks(length))]).await;
        assert_eq!((answer, asked), (whole("Größe 日本!"), 1), "{length}");
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_stream_is_understood_too() {
    let message = json!({ "role": "assistant", "content": "They agree." });
    let body = json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string();
    let (answer, pieces, _) = ask([Turn::sends("application/json", &body)]).await;
    assert_eq!(answer, whole("They agree."));
    assert_eq!(pieces, ["They agree."]);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_pass_is_not() {
    let good = Turn::says(&["Well."]);
    let recovered = [
        Turn::refuses(429).come_again("0"),
        Turn::refuses(500),
        Turn::refuses(503).come_again("0"),
        Turn::streams([""; 0]).then_cut(),
        Turn::streams(["data: {\"error\":{\"code\":429,\"message\":\"later\"}}\n\n"]),
    ];
    for turn in recovered {
        let (answer, _, asked) = ask([turn, good.clone()]).await;
        assert_eq!((answer, asked), (whole("Well."), 2));
    }
    for status in [400, 401, 403, 404, 302] {
        let (answer, _, asked) = ask([Turn::refuses(status), good.clone()]).await;
        let said = answer.unwrap_err().to_string();
        assert!(said.contains(&format!("answers {status} ")), "{said}");
        assert!(
            !said.contains("sk-123"),
            "what the endpoint says is not for everyone: {said}"
        );
        assert_eq!(asked, 1);
    }
}

#[tokio::test]
async fn three_attempts_are_enough_and_an_hour_is_not_waited_for() {
    let (answer, _, asked) = ask([Turn::refuses(500)]).await;
    let said = answer.unwrap_err().to_string();
    assert_eq!(said, "the language model's endpoint answers 500 Internal Server Error");
    assert_eq!(asked, 3);
    let (answer, _, asked) = ask([Turn::refuses(429).come_again("3600"), Turn::says(&["Well."])]).await;
    assert!(matches!(answer, Err(LlmError::Refused { .. })), "{answer:?}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_silent_endpoint_is_given_up() {
    let stand_in = StandIn::start([Turn::silent()]);
    let (answer, _) = ask_within(&stand_in, (SHORT, LONG)).await;
    assert_eq!(answer, Err(LlmError::Silent(SHORT)));
    assert_eq!(stand_in.asked().len(), 3);
    let stand_in = StandIn::start([Turn::silent()]);
    let (answer, _) = ask_within(&stand_in, (LONG, SHORT)).await;
    assert_eq!(answer, Err(LlmError::TooSlow(SHORT)));
    assert_eq!(stand_in.asked().len(), 1);
}

#[tokio::test]
async fn nobody_who_listens_is_an_error_too() {
    // Bound and closed again: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (answer, _) = ask_at(&format!("http://{address}/v1"), (LONG, LONG), || {}).await;
    assert!(matches!(answer, Err(LlmError::Unreachable { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let begun = || Turn::streams([event("They ")]);
    let broken = [
        (begun().then_cut(), LlmError::BrokenOff),
        (begun(), LlmError::BrokenOff),
    ];
    for (turn, expected) in broken {
        let (answer, pieces, asked) = ask([turn, Turn::says(&["Well."])]).await;
        assert_eq!((answer, asked), (Err(expected), 1));
        assert_eq!(pieces, ["They "]);
    }
    let reported = Turn::streams([
        event("They "),
        "data: {\"error\":{\"message\":\"out of memory\"}}\n\n".to_owned(),
    ]);
    let (answer, _, asked) = ask([reported]).await;
    assert!(matches!(answer, Err(LlmError::Reported { .. })), "{answer:?}");
    assert_eq!(asked, 1);
    let silent = StandIn::start([begun().then_silent()]);
    // Long enough for the piece to come, and short enough to wait for.
    let patience = Duration::from_secs(2);
    let (answer, pieces) = ask_within(&silent, (patience, LONG)).await;
    assert_eq!(answer, Err(LlmError::Silent(patience)));
    assert_eq!((pieces.len(), silent.asked().len()), (1, 1));
}

#[tokio::test]
async fn what_is_no_answer_is_told_from_one() {
    let malformed = [
        Turn::streams(["data: {\"choices\": [\n\n"]),
        Turn::streams([b"data: \xff\xfe\n\n"]),
        Turn::sends("text/html", "<html>welcome</html>"),
        Turn::sends("application/json", "{}"),
        Turn::sends("application/json", "[1, 2"),
    ];
    for turn in malformed {
        let (answer, pieces, asked) = ask([turn]).await;
        assert!(matches!(answer, Err(LlmError::Malformed { .. })), "{answer:?}");
        assert_eq!((pieces.len(), asked), (0, 1));
    }
    let (answer, _, asked) = ask([Turn::says(&[])]).await;
    assert_eq!((answer, asked), (Err(LlmError::Empty), 1));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    // Letters of three bytes, so that the limit falls within one.
    let piece = "語".repeat(1000);
    let endless = vec![piece.as_str(); 100];
    let (answer, _, _) = ask([Turn::says(&endless)]).await;
    let answer = answer.unwrap();
    assert!(!answer.complete);
    assert_eq!(answer.text.len(), MAX_ANSWER_BYTES - MAX_ANSWER_BYTES % 3);
    let short = Turn::streams([event("They"), finish("length"), "data: [DONE]\n\n".to_owned()]);
    let (answer, _, _) = ask([short]).await;
    assert!(!answer.unwrap().complete);
}
