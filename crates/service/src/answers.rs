//! Finished answers, kept for as long as they are true.

use bytes::Bytes;

use super::Library;
use super::cache::MeteredCache;
use scv_domain::access::Scope;
use scv_domain::id::AccountId;

/// Everything that an answer depends on besides the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The account of the caller.
    pub account: Option<AccountId>,
    /// What the caller may do.
    pub scope: Scope,
    /// The media type of the answer.
    pub media_type: &'static str,
    /// The encoding that the caller prefers, if it accepts one.
    pub encoding: Option<&'static str>,
    /// How the text is to be read: the same one may be a query string and JSON.
    pub form: QuestionForm,
    /// The text of the request: document, operation and variables as the caller wrote them.
    pub text: Bytes,
}

/// How the text of a request is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuestionForm {
    /// The query string of an address.
    QueryString,
    /// A body in JSON.
    Json,
}

/// An answer as it is sent.
#[derive(Debug, Clone)]
pub struct AnswerBody {
    /// Its encoding, if it is compressed.
    pub encoding: Option<&'static str>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// An answer, with the generation of the catalogue that was read before it was computed. An answer that is newer than its
/// generation says is never wrong; an older one would be.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    generation: i64,
    body: AnswerBody,
}

pub(super) type AnswerCache = MeteredCache<Question, Answer>;

impl AnswerCache {
    pub(super) fn of_answers(byte_limit: u64) -> Self {
        Self::new("answers", byte_limit, |question: &Question, answer: &Answer| {
            (size_of::<Question>() + size_of::<Answer>() + question.text.len() + answer.body.bytes.len()) as u64
        })
    }
}

impl Library {
    /// The answer to a question, if it is kept and the catalogue has not changed since.
    pub async fn kept_answer(&self, question: &Question) -> Option<AnswerBody> {
        let answer = self.answers.peek(question).await?;
        // If the generation cannot be read, the request is executed, and fails with an error of its own.
        let is_true = self.store.generation().await.is_ok_and(|now| now == answer.generation);
        if !is_true {
            return None;
        }
        self.answers.count(true);
        Some(answer.body)
    }

    /// The generation with which an answer may be kept that is computed from now on. `None` if none can be kept.
    pub async fn generation_to_keep(&self) -> Option<i64> {
        if self.answers.byte_limit() == 0 {
            return None;
        }
        self.answers.count(false);
        self.store.generation().await.ok()
    }

    /// Keeps the answer to a question. `generation` was read before the answer was computed, which depends on the question and
    /// the catalogue alone.
    pub async fn keep_answer(&self, question: Question, generation: i64, body: AnswerBody) {
        // Copied: as they were received and written, they may hold up to twice the memory that is counted.
        let question = Question {
            text: Bytes::copy_from_slice(&question.text),
            ..question
        };
        let body = AnswerBody {
            bytes: Bytes::copy_from_slice(&body.bytes),
            ..body
        };
        self.answers.insert(question, Answer { generation, body }).await;
    }
}
