//! The words of the chat completions protocol, as far as they are spoken here.

use serde::{Deserialize, Serialize};

use scv_domain::explanation::Prompt;

/// What is sent.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    model: &'a str,
    stream: bool,
    messages: [Message<'a>; 2],
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

impl<'a> Request<'a> {
    pub(super) fn new(model: &'a str, prompt: &'a Prompt) -> Self {
        let message = |role, content| Message { role, content };
        Self {
            model,
            stream: true,
            messages: [message("system", &prompt.system), message("user", &prompt.user)],
        }
    }
}

/// What comes back: one event of a stream, or the whole answer of an endpoint that does not stream.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    /// A piece, in a stream.
    #[serde(default)]
    delta: Option<Content>,
    /// All of it, else.
    #[serde(default)]
    message: Option<Content>,
    /// Why the answer ends here, if it does.
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

impl Choice {
    /// What was said.
    pub(super) fn into_text(self) -> String {
        let said = self.delta.or(self.message);
        said.and_then(|said| said.content).unwrap_or_default()
    }
}
