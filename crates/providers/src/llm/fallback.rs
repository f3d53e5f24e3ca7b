//! A list of models for one call: when the one at work can't answer, the next takes over and stays
//! (R194, R197).

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use bolo_agent::LlmConfig;
use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream::{self, BoxStream},
};

use crate::{Ask, Delta, Error, ErrorKind, Llm};

/// The same model is asked three times, by whoever asks, before another is (R194).
const TRIES: u32 = 3;

/// Says of a vendor whether calls may use it, and hears how it went: a breaker (R197).
pub trait Gate: Send + Sync {
    /// Whether to ask this vendor at all.
    fn is_open(&self, vendor: &'static str) -> bool;

    /// An answer of this vendor began, or failed before it did.
    fn note(&self, vendor: &'static str, outcome: Result<(), &Error>);
}

/// Models in the order of preference, each with the configuration it is asked with.
#[derive(Clone)]
pub struct Fallback {
    models: Arc<[(Arc<dyn Llm>, LlmConfig)]>,
    gate: Arc<dyn Gate>,
    /// Which is at work, and its failures in a row.
    at: Arc<AtomicUsize>,
    failures: Arc<AtomicU32>,
}

impl Fallback {
    /// `first` is the agent's own model.
    pub fn new(
        first: (Arc<dyn Llm>, LlmConfig),
        others: Vec<(Arc<dyn Llm>, LlmConfig)>,
        gate: Arc<dyn Gate>,
    ) -> Self {
        Self {
            models: std::iter::once(first).chain(others).collect(),
            gate,
            at: Arc::default(),
            failures: Arc::default(),
        }
    }

    /// The model at work: skips those whose vendor is shut out, but not the last.
    fn current(&self) -> usize {
        let last = self.models.len() - 1;
        let mut at = self.at.load(Ordering::Relaxed);
        while at < last && !self.gate.is_open(self.models[at].0.name()) {
            at += 1;
        }
        self.turn_to(at);
        at
    }

    fn turn_to(&self, at: usize) {
        if self.at.swap(at, Ordering::Relaxed) != at {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the next model takes over after this failure.
    fn gives_up(&self, at: usize, error: &Error) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let is_last = at + 1 == self.models.len();
        !is_last
            && match error.kind {
                ErrorKind::Auth | ErrorKind::Quota | ErrorKind::NotFound => true,
                // Nobody waits longer than a second for a vendor that says so.
                ErrorKind::RateLimited => {
                    failures >= TRIES || error.retry_after.is_some_and(|wait| wait.as_secs() >= 1)
                }
                ErrorKind::Connect
                | ErrorKind::Timeout
                | ErrorKind::Dropped
                | ErrorKind::Server => failures >= TRIES,
                ErrorKind::BadRequest | ErrorKind::Content => false,
            }
    }

    /// The answer of the first model that begins one.
    async fn begin(self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        loop {
            let at = self.current();
            let (llm, config) = &self.models[at];
            let asked = Ask {
                config: LlmConfig {
                    max_tokens: ask.config.max_tokens,
                    ..config.clone()
                },
                ..ask.clone()
            };
            let mut deltas = llm.answer(asked);
            let first = deltas.next().await;
            match &first {
                Some(Err(error)) => {
                    self.gate.note(llm.name(), Err(error));
                    if self.gives_up(at, error) {
                        tracing::warn!(vendor = llm.name(), %error, "the next model takes over");
                        self.turn_to(at + 1);
                        continue;
                    }
                }
                Some(Ok(_)) | None => {
                    self.failures.store(0, Ordering::Relaxed);
                    self.gate.note(llm.name(), Ok(()));
                }
            }
            let model = (at > 0).then(|| {
                Ok(Delta::Model {
                    vendor: config.provider.clone(),
                    model: config.model.clone(),
                })
            });
            return stream::iter(model.into_iter().chain(first))
                .chain(deltas)
                .boxed();
        }
    }
}

impl Llm for Fallback {
    fn name(&self) -> &'static str {
        self.models[self.at.load(Ordering::Relaxed)].0.name()
    }

    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        stream::once(self.clone().begin(ask)).flatten().boxed()
    }

    fn warm(&self) -> BoxFuture<'static, ()> {
        let all = join_all(self.models.iter().map(|(llm, _)| llm.warm()));
        Box::pin(async move {
            all.await;
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::{collections::HashSet, sync::Mutex, time::Duration};

    use super::*;
    use crate::testing::{ScriptedAnswer, ScriptedLlm, ask, done};

    #[derive(Default)]
    struct Doors {
        shut: Mutex<HashSet<&'static str>>,
        noted: Mutex<Vec<(&'static str, bool)>>,
    }

    impl Gate for Doors {
        fn is_open(&self, vendor: &'static str) -> bool {
            !self.shut.lock().unwrap().contains(vendor)
        }

        fn note(&self, vendor: &'static str, outcome: Result<(), &Error>) {
            self.noted.lock().unwrap().push((vendor, outcome.is_ok()));
        }
    }

    fn said(text: &str) -> ScriptedAnswer {
        let deltas = vec![Ok(Delta::Text(text.into())), Ok(done(10))];
        (Duration::ZERO, deltas)
    }

    fn failed(kind: ErrorKind) -> ScriptedAnswer {
        let error = Error {
            kind,
            vendor: "one",
            role: "llm",
            cause: "down".into(),
            retry_after: None,
        };
        (Duration::ZERO, vec![Err(error)])
    }

    fn list(
        one: Vec<ScriptedAnswer>,
        two: Vec<ScriptedAnswer>,
    ) -> (Fallback, Arc<ScriptedLlm>, Arc<Doors>) {
        let doors = Arc::new(Doors::default());
        let other = ScriptedLlm::new("two", two);
        let models = Fallback::new(
            (ScriptedLlm::new("one", one), ask("big").config),
            vec![(other.clone(), ask("small").config)],
            doors.clone(),
        );
        (models, other, doors)
    }

    /// Text, or the cause of the failure, of one more answer.
    async fn next(models: &Fallback) -> String {
        let deltas: Vec<_> = models.answer(ask("big")).collect().await;
        let text = deltas.into_iter().map(|delta| match delta {
            Ok(Delta::Text(text)) => text,
            Ok(Delta::Model { model, .. }) => format!("{model}: "),
            Ok(_) => String::new(),
            Err(error) => error.cause,
        });
        text.collect()
    }

    #[tokio::test] // R194
    async fn three_failures_in_a_row_turn_to_the_next_model_which_stays() {
        let server = || failed(ErrorKind::Server);
        let one = vec![
            server(),
            server(),
            said("fine"),
            server(),
            server(),
            server(),
        ];
        let (models, other, doors) = list(one, vec![said("hi"), said("there")]);
        let mut heard = Vec::new();
        for _ in 0..7 {
            heard.push(next(&models).await);
        }
        assert_eq!(
            heard,
            [
                "down",
                "down",
                "fine",
                "down",
                "down",
                "small: hi",
                "small: there"
            ]
        );
        assert_eq!(other.asked.lock().unwrap()[0].config.model, "small");
        let noted = doors.noted.lock().unwrap();
        assert_eq!(noted.iter().filter(|(name, _)| *name == "one").count(), 6);
        assert_eq!(noted.last(), Some(&("two", true)));
    }

    #[tokio::test] // R194
    async fn a_wrong_key_turns_at_once_and_a_bad_request_never() {
        let (models, ..) = list(vec![failed(ErrorKind::Auth)], vec![said("hi")]);
        assert_eq!(next(&models).await, "small: hi");
        let refused = || failed(ErrorKind::BadRequest);
        let (models, ..) = list(vec![refused(), refused(), refused(), refused()], vec![]);
        for _ in 0..4 {
            assert_eq!(next(&models).await, "down");
        }
    }

    #[tokio::test] // R197
    async fn a_vendor_that_is_shut_out_is_not_asked_but_the_last_always_is() {
        let (models, _, doors) = list(vec![], vec![said("hi"), failed(ErrorKind::Auth)]);
        doors.shut.lock().unwrap().extend(["one", "two"]);
        assert_eq!(next(&models).await, "small: hi");
        assert_eq!(next(&models).await, "small: down");
    }
}
