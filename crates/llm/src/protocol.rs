//! The messages of the chat completions protocol, as far as they are used here.

use serde::{Deserialize, Serialize};

use scv_domain::explanation::Prompt;

/// The body of a request.
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

/// One event of a stream, or the whole response of an endpoint that does not stream.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    /// A piece of the text, in a stream.
    #[serde(default)]
    delta: Option<Content>,
    /// The whole text, if the response is not a stream.
    #[serde(default)]
    message: Option<Content>,
    /// Why the text ends here, if it does.
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

impl Choice {
    /// The text.
    pub(super) fn into_text(self) -> String {
        let content = self.delta.or(self.message);
        content.and_then(|content| content.content).unwrap_or_default()
    }
}
