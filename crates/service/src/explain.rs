//! Explanations of why two layers are similar: written by a language model if one is configured, else by rules.
//!
//! Each explanation is written by a task of its own. All callers that request the same explanation watch that task and get its
//! text from the beginning, whenever they join. If they all leave, the task still finishes, and later callers find its result.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::watch;

use super::cache::MeteredCache;
use super::{Library, ServiceError};
use scv_domain::explanation::{Explanation, ExplanationSource, Facts, Language, Prompt};
use scv_domain::id::TokenId;
use scv_domain::version::Layer;
use scv_llm::Chat;

/// Explanations that are written at the same time. A request for another one fails as overloaded.
const MAX_CONCURRENT: usize = 16;

/// Explanations that are written at the same time for one token, or for all callers without one.
const MAX_CLIENT_CONCURRENT: usize = 4;

/// How explanations are written.
#[derive(Debug, Clone)]
pub struct ExplanationSettings {
    /// The language model; rules write them if `None`.
    pub chat: Option<Chat>,
    /// The language of explanations for which the caller names none.
    pub language: Language,
    /// Explanations that the language model writes for an account in a day; after that rules write them.
    pub daily_limit: u32,
    /// Bytes of the cache of explanations.
    pub cache_bytes: u64,
}

/// Writes explanations and caches them.
pub(super) struct Explainer {
    chat: Option<Chat>,
    language: Language,
    pub(super) explanations: MeteredCache<String, Arc<Explanation>>,
    daily_limit: u32,
    in_progress: Mutex<HashMap<String, InProgress>>,
}

/// An explanation that a task writes.
struct InProgress {
    progress: watch::Receiver<Progress>,
    /// The token of the caller that requested it first.
    token: Option<TokenId>,
}

/// How far an explanation has come.
#[derive(Debug, Clone, Default)]
struct Progress {
    text: String,
    outcome: Option<Result<Arc<Explanation>, ServiceError>>,
}

/// A part of an explanation that is being written.
#[derive(Debug, Clone)]
pub enum ExplanationPart {
    /// The next piece of the language model's text.
    Piece(String),
    /// The whole explanation, which is the last part. If rules wrote it, the pieces before it are void.
    Whole(Arc<Explanation>),
}

/// An explanation that is being written.
#[derive(Debug)]
pub struct ExplanationInProgress {
    progress: watch::Receiver<Progress>,
    /// Bytes of the text that the caller has got.
    delivered: usize,
    is_over: bool,
}

impl Explainer {
    pub(super) fn new(settings: ExplanationSettings) -> Self {
        Self {
            chat: settings.chat,
            language: settings.language,
            daily_limit: settings.daily_limit,
            explanations: MeteredCache::new(
                "explanations",
                settings.cache_bytes,
                |key: &String, explanation: &Arc<Explanation>| {
                    (key.len() + explanation.text.len() + size_of::<Explanation>()) as u64
                },
            ),
            in_progress: Mutex::default(),
        }
    }

    fn in_progress(&self) -> MutexGuard<'_, HashMap<String, InProgress>> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes an explanation from those in progress, however its task ends.
struct InProgressGuard {
    explainer: Arc<Explainer>,
    key: String,
}

impl Drop for InProgressGuard {
    fn drop(&mut self) {
        self.explainer.in_progress().remove(&self.key);
    }
}

impl Library {
    /// Explains why two layers are similar, in the requested language or else in the configured one.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for the same layer twice, `OVERLOADED` if too many explanations are being written.
    pub async fn explain(
        &self,
        layer: Layer,
        other: Layer,
        language: Option<Language>,
    ) -> Result<ExplanationInProgress, ServiceError> {
        if layer.id == other.id {
            return Err(ServiceError::bad_input(
                "the two layers are the same: choose two different layers",
            ));
        }
        let explainer = &self.explainer;
        let language = language.unwrap_or_else(|| explainer.language.clone());
        let model = explainer.chat.as_ref().map_or("", Chat::model);
        let generation = self.generation().await?;
        // Ranks are among the layers that the caller sees.
        let viewer = self.access.viewer();
        let key = serde_json::json!([generation, layer.id, other.id, language.as_str(), model, viewer]).to_string();
        if let Some(explanation) = explainer.explanations.peek(&key).await {
            explainer.explanations.count(true);
            return Ok(ExplanationInProgress::finished(explanation));
        }
        let mut all = explainer.in_progress();
        let in_progress = all.get(&key);
        explainer.explanations.count(in_progress.is_some());
        if let Some(known) = in_progress {
            return Ok(ExplanationInProgress::new(known.progress.clone()));
        }
        let token = self.access.token;
        let of_client = all.values().filter(|other| other.token == token).count();
        if all.len() >= MAX_CONCURRENT || of_client >= MAX_CLIENT_CONCURRENT {
            return Err(ServiceError::Overloaded);
        }
        let (progress, watched) = watch::channel(Progress::default());
        let in_progress = InProgress {
            progress: watched.clone(),
            token,
        };
        all.insert(key.clone(), in_progress);
        let guard = InProgressGuard {
            explainer: Arc::clone(explainer),
            key,
        };
        let library = self.clone();
        tokio::spawn(async move {
            let outcome = library
                .find_or_write(&guard.key, (layer, other), language, &progress)
                .await;
            drop(guard);
            progress.send_modify(|progress| progress.outcome = Some(outcome));
        });
        Ok(ExplanationInProgress::new(watched))
    }

    /// The explanation of a key. It is written unless another task was first.
    async fn find_or_write(
        &self,
        key: &str,
        (layer, other): (Layer, Layer),
        language: Language,
        progress: &watch::Sender<Progress>,
    ) -> Result<Arc<Explanation>, ServiceError> {
        let cache = &self.explainer.explanations;
        if let Some(explanation) = cache.peek(&key.to_owned()).await {
            return Ok(explanation);
        }
        let facts = self.facts(&layer, &other, None).await?;
        let explanation = Arc::new(self.write(&facts, language, progress).await?);
        // The text of the rules is not cached, because the language model may respond next time.
        if explanation.source == ExplanationSource::Llm {
            cache.insert(key.to_owned(), Arc::clone(&explanation)).await;
        }
        Ok(explanation)
    }

    async fn write(
        &self,
        facts: &Facts,
        language: Language,
        progress: &watch::Sender<Progress>,
    ) -> Result<Explanation, ServiceError> {
        let Some(chat) = &self.explainer.chat else {
            let reason = "no language model is configured on this server (`scv serve --llm-url` sets one)";
            return Ok(from_rules(facts, reason.to_owned()));
        };
        let limit = self.explainer.daily_limit;
        if !self.store.use_explanation(self.access.account, limit).await? {
            return Ok(from_rules(
                facts,
                format!(
                    "the language model has written {limit} explanations for your account today, which is the limit: request more \
                     tomorrow (`scv serve --max-daily-explanations` sets the limit)"
                ),
            ));
        }
        let prompt = Prompt::new(facts, &language);
        let completion = chat.complete(&prompt, |piece| {
            progress.send_modify(|progress| progress.text.push_str(piece));
        });
        Ok(match completion.await {
            Ok(response) => Explanation {
                text: response.text,
                source: ExplanationSource::Llm,
                reason: None,
                model: Some(chat.model().to_owned()),
                language,
                complete: response.complete,
                ..from_rules(facts, String::new())
            },
            Err(error) => {
                tracing::warn!(%error, details = error.details(), "the language model did not explain");
                from_rules(facts, error.to_string())
            }
        })
    }
}

fn from_rules(facts: &Facts, reason: String) -> Explanation {
    Explanation {
        layer: facts.one.layer.id,
        other_layer: facts.other.layer.id,
        text: facts.to_markdown(),
        source: ExplanationSource::Rules,
        reason: Some(reason),
        model: None,
        language: Language::english(),
        complete: true,
        scores: facts.scores.clone(),
        common: facts.common(),
    }
}

impl ExplanationInProgress {
    fn new(progress: watch::Receiver<Progress>) -> Self {
        Self {
            progress,
            delivered: 0,
            is_over: false,
        }
    }

    fn finished(explanation: Arc<Explanation>) -> Self {
        let (_, progress) = watch::channel(Progress {
            text: String::new(),
            outcome: Some(Ok(explanation)),
        });
        Self::new(progress)
    }

    /// Waits for the whole explanation.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn whole(mut self) -> Result<Arc<Explanation>, ServiceError> {
        loop {
            if let ExplanationPart::Whole(explanation) = self.next().await? {
                return Ok(explanation);
            }
        }
    }

    /// Its parts as they are written, the whole explanation last.
    pub fn parts(self) -> impl Stream<Item = Result<ExplanationPart, ServiceError>> {
        stream::unfold(self, async |mut explanation| {
            if explanation.is_over {
                return None;
            }
            let part = explanation.next().await;
            explanation.is_over = !matches!(part, Ok(ExplanationPart::Piece(_)));
            Some((part, explanation))
        })
    }

    async fn next(&mut self) -> Result<ExplanationPart, ServiceError> {
        let delivered = self.delivered;
        let has_advanced = |progress: &Progress| progress.text.len() > delivered || progress.outcome.is_some();
        let progress = self
            .progress
            .wait_for(has_advanced)
            .await
            .map_err(ServiceError::internal)?;
        if let Some(piece) = progress.text.get(delivered..).filter(|piece| !piece.is_empty()) {
            self.delivered = progress.text.len();
            return Ok(ExplanationPart::Piece(piece.to_owned()));
        }
        match &progress.outcome {
            Some(outcome) => outcome.clone().map(ExplanationPart::Whole),
            None => Err(ServiceError::internal(anyhow::anyhow!(
                "the task of an explanation reported no progress"
            ))),
        }
    }
}
