//! A slow first token is hedged: after a wait the same request goes out a second time, the first to
//! speak wins, the other is dropped (wire-providers.md §10.5). Both are accounted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::{self, BoxStream},
};
use tokio::time::sleep;

use super::gathered::estimated_input;
use crate::{Ask, Delta, Error, Llm};

type Deltas = BoxStream<'static, Result<Delta, Error>>;
type First = Option<Result<Delta, Error>>;

/// At most one answer in so many is hedged, counted over the process …
const EVERY: u32 = 10;
/// … after so many in a row.
const IN_A_ROW: u32 = 5;

/// How many answers may still be hedged; shared by the calls of a process. A vendor that is slow for all
/// must not get twice the load.
#[derive(Debug, Clone)]
pub(crate) struct Allowance(Arc<AtomicU32>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(EVERY * IN_A_ROW)))
    }
}

impl Allowance {
    fn earn(&self) {
        let more = |had: u32| Some((had + 1).min(EVERY * IN_A_ROW));
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        let less = |had: u32| had.checked_sub(EVERY);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

/// See the module.
pub(crate) struct Hedged {
    llm: Arc<dyn Llm>,
    after: Duration,
    allowance: Allowance,
}

impl Hedged {
    pub(crate) fn new(llm: Arc<dyn Llm>, after: Duration, allowance: Allowance) -> Self {
        Self {
            llm,
            after,
            allowance,
        }
    }
}

impl Llm for Hedged {
    fn name(&self) -> &'static str {
        self.llm.name()
    }

    fn answer(&self, ask: Ask) -> Deltas {
        let (llm, after, allowance) = (self.llm.clone(), self.after, self.allowance.clone());
        let racing = async move {
            allowance.earn();
            let one = begun(llm.answer(ask.clone()));
            let one = match select(one, sleep(after).boxed()).await {
                Either::Left((begun, _)) => return begun,
                Either::Right(((), one)) => one,
            };
            if !allowance.spend() {
                return one.await;
            }
            tracing::info!(vendor = llm.name(), "no first token: asked a second time");
            let lost = estimated_input(&ask);
            let sent = ask.sent.clone();
            sent.again();
            let (first, deltas) = race(one, begun(llm.answer(ask))).await;
            if !matches!(first, Some(Ok(_))) {
                sent.in_vain();
            }
            (first, with_loser(deltas, lost))
        };
        stream::once(racing)
            .flat_map(|(first, deltas)| stream::iter(first).chain(deltas))
            .boxed()
    }

    fn warm(&self) -> BoxFuture<'static, ()> {
        self.llm.warm()
    }
}

/// The first word, and what follows it.
fn begun(mut deltas: Deltas) -> BoxFuture<'static, (First, Deltas)> {
    async move {
        let first = deltas.next().await;
        (first, deltas)
    }
    .boxed()
}

/// The first to speak; one that fails leaves it to the other.
async fn race(
    one: BoxFuture<'static, (First, Deltas)>,
    other: BoxFuture<'static, (First, Deltas)>,
) -> (First, Deltas) {
    let (won, left) = match select(one, other).await {
        Either::Left(ended) => ended,
        Either::Right(ended) => ended,
    };
    match won.0 {
        Some(Ok(_)) => won,
        Some(Err(_)) | None => left.await,
    }
}

/// Adds the prompt of the request that lost to the bill.
fn with_loser(deltas: Deltas, lost: u64) -> Deltas {
    let add = move |delta| match delta {
        Ok(Delta::Done {
            finish,
            input,
            output,
            cached,
            ..
        }) => Ok(Delta::Done {
            finish,
            input: input + lost,
            output,
            cached,
            estimated: true,
        }),
        other => other,
    };
    deltas.map(add).boxed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::{
        ErrorKind,
        testing::{ScriptedAnswer, ScriptedLlm, ask, done},
    };

    const AFTER: Duration = Duration::from_millis(700);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn said(text: &str) -> Vec<Result<Delta, Error>> {
        vec![Ok(Delta::Text(text.into())), Ok(done(10))]
    }

    fn failed() -> Vec<Result<Delta, Error>> {
        vec![Err(Error {
            kind: ErrorKind::Server,
            vendor: "scripted",
            role: "llm",
            cause: "down".into(),
            retry_after: None,
        })]
    }

    /// The text of the answer, its bill, and how often the model was asked.
    async fn run(answers: Vec<ScriptedAnswer>) -> (String, u64, bool, usize) {
        let llm = ScriptedLlm::new("scripted", answers);
        let hedged = Hedged::new(llm.clone(), AFTER, Allowance::default());
        let deltas: Vec<_> = hedged.answer(ask("m")).collect().await;
        let (mut text, mut bill) = (String::new(), (0, false));
        for delta in deltas {
            match delta {
                Ok(Delta::Text(more)) => text.push_str(&more),
                Ok(Delta::Done {
                    input, estimated, ..
                }) => bill = (input, estimated),
                Ok(other) => panic!("{other:?}"),
                Err(error) => text.push_str(&error.cause),
            }
        }
        let asked = llm.asked.lock().unwrap().len();
        (text, bill.0, bill.1, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_is_asked_for_once() {
        let got = run(vec![(ms(600), said("one"))]).await;
        assert_eq!(got, ("one".into(), 10, false, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_speak_wins_and_both_are_billed() {
        // 11 characters were asked: 3 tokens.
        let got = run(vec![(ms(5000), said("one")), (ms(300), said("two"))]).await;
        assert_eq!(got, ("two".into(), 13, true, 2));
        let got = run(vec![(ms(800), said("one")), (ms(300), said("two"))]).await;
        assert_eq!(got, ("one".into(), 13, true, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_fails_leaves_it_to_the_other() {
        let got = run(vec![(ms(900), failed()), (ms(400), said("two"))]).await;
        assert_eq!(got, ("two".into(), 13, true, 2));
        let got = run(vec![(ms(900), said("one")), (ms(0), failed())]).await;
        assert_eq!(got, ("one".into(), 13, true, 2));
        let got = run(vec![(ms(900), failed()), (ms(0), failed())]).await;
        assert_eq!(got, ("down".into(), 0, false, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cuts_an_answer_knows_how_often_it_was_asked_for() {
        for (second, times) in [(said("two"), 2), (failed(), 1)] {
            let answers = vec![(ms(900), failed()), (ms(100), second)];
            let llm = ScriptedLlm::new("scripted", answers);
            let ask = ask("m");
            let hedged = Hedged::new(llm, AFTER, Allowance::default());
            let mut deltas = hedged.answer(ask.clone());
            assert!(tokio::time::timeout(AFTER, deltas.next()).await.is_err());
            assert_eq!(ask.sent.times(), 2);
            deltas.next().await;
            assert_eq!(ask.sent.times(), times);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_that_is_slow_for_all_is_not_asked_twice_for_all() {
        let allowance = Allowance::default();
        let mut asked = 0;
        for _ in 0..40 {
            let answers = vec![(ms(900), said("one")), (ms(900), said("two"))];
            let llm = ScriptedLlm::new("scripted", answers);
            let hedged = Hedged::new(llm.clone(), AFTER, allowance.clone());
            hedged.answer(ask("m")).collect::<Vec<_>>().await;
            asked += llm.asked.lock().unwrap().len() - 1;
        }
        // Five in a row, then one in ten.
        assert_eq!(asked, 8);
    }
}
