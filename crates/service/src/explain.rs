//! Explaining why two layers are alike: by a language model where there is one, else by rules.
//!
//! An explanation is written by a task of its own. All who ask for the same one watch that task, from its beginning whenever
//! they come; if they go away it still comes to its end, and the next to ask find it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::watch;

use super::cache::MeteredCache;
use super::{Library, ServiceError};
use scv_domain::explanation::{Explanation, Facts, Language, Prompt, Source};
use scv_domain::version::Layer;
use scv_llm::Chat;

/// Explanations that are written at a time; one more is told that the server is busy.
const MAX_CONCURRENT: usize = 16;

/// How explanations are written.
#[derive(Debug, Clone)]
pub struct ExplanationSettings {
    /// Who writes them; the rules if nobody is set.
    pub chat: Option<Chat>,
    /// What they are written in if nothing is said.
    pub language: Language,
    /// Bytes of explanations that are kept.
    pub cache_bytes: u64,
}

/// Who writes explanations, and what was written.
pub(super) struct Explainer {
    chat: Option<Chat>,
    language: Language,
    pub(super) written: MeteredCache<String, Arc<Explanation>>,
    begun: Mutex<HashMap<String, watch::Receiver<Progress>>>,
}

/// How far an explanation has come.
#[derive(Debug, Clone, Default)]
struct Progress {
    text: String,
    outcome: Option<Result<Arc<Explanation>, ServiceError>>,
}

/// A part of an explanation on its way.
#[derive(Debug, Clone)]
pub enum ExplanationPart {
    /// The next piece of what the language model writes.
    Piece(String),
    /// All of it, which ends it. If it comes from the rules, the pieces given before are void.
    Whole(Arc<Explanation>),
}

/// An explanation on its way.
#[derive(Debug)]
pub struct ExplanationInProgress {
    progress: watch::Receiver<Progress>,
    /// Bytes of the text that were given out.
    given: usize,
    over: bool,
}

impl Explainer {
    pub(super) fn new(settings: ExplanationSettings) -> Self {
        Self {
            chat: settings.chat,
            language: settings.language,
            written: MeteredCache::new(
                "explanations",
                settings.cache_bytes,
                |key: &String, explanation: &Arc<Explanation>| {
                    (key.len() + explanation.text.len() + size_of::<Explanation>()) as u64
                },
            ),
            begun: Mutex::default(),
        }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Progress>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes an explanation off the list of those being written, however its task ends.
struct Begun {
    explainer: Arc<Explainer>,
    key: String,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.explainer.begun().remove(&self.key);
    }
}

impl Library {
    /// Explains why a layer is like another, in a language or else in the one that is set.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for one layer in both places, `OVERLOADED` if too many are being written.
    pub async fn explain(
        &self,
        layer: Layer,
        other: Layer,
        language: Option<Language>,
    ) -> Result<ExplanationInProgress, ServiceError> {
        if layer.id == other.id {
            return Err(ServiceError::bad_input(
                "a layer is like itself in every way: give two different layers",
            ));
        }
        let explainer = &self.explainer;
        let language = language.unwrap_or_else(|| explainer.language.clone());
        let model = explainer.chat.as_ref().map_or("", Chat::model);
        let generation = self.store.generation().await?;
        // Ranks are among the layers that the viewer sees.
        let viewer = self.access.viewer();
        let key = serde_json::json!([generation, layer.id, other.id, language.as_str(), model, viewer]).to_string();
        if let Some(written) = explainer.written.peek(&key).await {
            explainer.written.count(true);
            return Ok(ExplanationInProgress::over(written));
        }
        let mut all = explainer.begun();
        let in_progress = all.get(&key);
        explainer.written.count(in_progress.is_some());
        if let Some(progress) = in_progress {
            return Ok(ExplanationInProgress::new(progress.clone()));
        }
        if all.len() >= MAX_CONCURRENT {
            return Err(ServiceError::Overloaded);
        }
        let (progress, watched) = watch::channel(Progress::default());
        all.insert(key.clone(), watched.clone());
        let begun = Begun {
            explainer: Arc::clone(explainer),
            key,
        };
        let library = self.clone();
        tokio::spawn(async move {
            let outcome = library.written(&begun.key, (layer, other), language, &progress).await;
            drop(begun);
            progress.send_modify(|progress| progress.outcome = Some(outcome));
        });
        Ok(ExplanationInProgress::new(watched))
    }

    /// The explanation of that key, written unless another task was first.
    async fn written(
        &self,
        key: &str,
        (layer, other): (Layer, Layer),
        language: Language,
        progress: &watch::Sender<Progress>,
    ) -> Result<Arc<Explanation>, ServiceError> {
        let written = &self.explainer.written;
        if let Some(written) = written.peek(&key.to_owned()).await {
            return Ok(written);
        }
        let facts = self.facts(&layer, &other).await?;
        let explanation = Arc::new(self.put_into_words(&facts, language, progress).await);
        // What the rules say is made anew, since next time the language model may answer.
        if explanation.source == Source::Llm {
            written.insert(key.to_owned(), Arc::clone(&explanation)).await;
        }
        Ok(explanation)
    }

    async fn put_into_words(
        &self,
        facts: &Facts,
        language: Language,
        progress: &watch::Sender<Progress>,
    ) -> Explanation {
        let Some(chat) = &self.explainer.chat else {
            let reason = "no language model is set up on this server (`scv serve --llm-url` sets one)";
            return from_rules(facts, reason.to_owned());
        };
        let prompt = Prompt::new(facts, &language);
        let asked = chat.ask(&prompt, |piece| {
            progress.send_modify(|progress| progress.text.push_str(piece));
        });
        match asked.await {
            Ok(answer) => Explanation {
                text: answer.text,
                source: Source::Llm,
                reason: None,
                model: Some(chat.model().to_owned()),
                language,
                complete: answer.complete,
                ..from_rules(facts, String::new())
            },
            Err(error) => {
                tracing::warn!(%error, said = error.said(), "the language model did not explain");
                from_rules(facts, error.to_string())
            }
        }
    }
}

fn from_rules(facts: &Facts, reason: String) -> Explanation {
    Explanation {
        layer: facts.one.layer.id,
        other_layer: facts.other.layer.id,
        text: facts.in_words(),
        source: Source::Rules,
        reason: Some(reason),
        model: None,
        language: Language::english(),
        complete: true,
        likeness: facts.likeness.clone(),
        common: facts.common(),
    }
}

impl ExplanationInProgress {
    fn new(progress: watch::Receiver<Progress>) -> Self {
        Self {
            progress,
            given: 0,
            over: false,
        }
    }

    fn over(explanation: Arc<Explanation>) -> Self {
        let (_, progress) = watch::channel(Progress {
            text: String::new(),
            outcome: Some(Ok(explanation)),
        });
        Self::new(progress)
    }

    /// The explanation, once it is there.
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

    /// Its parts as they come, the whole last.
    pub fn parts(self) -> impl Stream<Item = Result<ExplanationPart, ServiceError>> {
        stream::unfold(self, async |mut explanation| {
            if explanation.over {
                return None;
            }
            let part = explanation.next().await;
            explanation.over = !matches!(part, Ok(ExplanationPart::Piece(_)));
            Some((part, explanation))
        })
    }

    async fn next(&mut self) -> Result<ExplanationPart, ServiceError> {
        let given = self.given;
        let is_news = |progress: &Progress| progress.text.len() > given || progress.outcome.is_some();
        let news = self.progress.wait_for(is_news).await.map_err(ServiceError::internal)?;
        if let Some(piece) = news.text.get(given..).filter(|piece| !piece.is_empty()) {
            self.given = news.text.len();
            return Ok(ExplanationPart::Piece(piece.to_owned()));
        }
        match &news.outcome {
            Some(outcome) => outcome.clone().map(ExplanationPart::Whole),
            None => Err(ServiceError::internal(anyhow::anyhow!(
                "there is no news of an explanation"
            ))),
        }
    }
}
