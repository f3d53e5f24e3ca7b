//! An answer that nobody hears: asked in two messages, read to its end at once.

use bolo_agent::LlmConfig;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{
    Ask, AskMessage, Delta, Llm, Sent, ToolChoice,
    gathered::{estimate, estimated_input},
};
use crate::{Error, ErrorKind};

/// What a model said, and what it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What it said.
    pub text: String,
    /// Who said it: the model that was asked, or its fallback.
    pub model: String,
    /// Prompt tokens.
    pub input: u64,
    /// Completion tokens.
    pub output: u64,
    /// Of the prompt, from the vendor's cache.
    pub cached: u64,
    /// The vendor sent no usage: counted as characters / 4.
    pub estimated: bool,
}

/// An answer that did not come to its end.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Broken {
    /// Why.
    pub error: Error,
    /// What came of it, for its bill, which is estimated; `None` where the model was not set to work.
    pub spent: Option<Box<Whole>>,
}

impl Ask {
    /// A task and what to do it on, without tools and as exactly as a model can.
    pub fn plain(
        config: LlmConfig,
        [system, user]: [String; 2],
        json: bool,
        cache_key: String,
    ) -> Self {
        let message = |role, content| AskMessage {
            role,
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: None,
        };
        Self {
            config,
            temperature: 0.0,
            messages: vec![message("system", system), message("user", user)],
            tools: Vec::new(),
            tool_choice: ToolChoice::None,
            json,
            cache_key,
            sent: Sent::default(),
        }
    }
}

impl Whole {
    /// Adds what came; how many characters of it are billed.
    fn take(&mut self, delta: Delta) -> usize {
        match delta {
            Delta::Text(piece) => {
                self.text.push_str(&piece);
                return piece.chars().count();
            }
            Delta::Reasoning(thought) => return thought.chars().count(),
            Delta::Model { model, .. } => self.model = model,
            Delta::Done {
                input,
                output,
                cached,
                estimated,
                ..
            } => {
                (self.input, self.output) = (input, output);
                (self.cached, self.estimated) = (cached, estimated);
            }
            Delta::Calling(_) | Delta::Calls(_) => {}
        }
        0
    }
}

/// Asks, and waits for the whole answer, at the longest until then.
pub async fn whole(llm: &dyn Llm, ask: Ask, until: Option<Instant>) -> Result<Whole, Broken> {
    let mut whole = Whole {
        text: String::new(),
        model: ask.config.model.clone(),
        input: estimated_input(&ask),
        output: 0,
        cached: 0,
        estimated: true,
    };
    let sent = ask.sent.clone();
    let (mut came, mut deltas) = (0, llm.answer(ask));
    let reading = async {
        while let Some(delta) = deltas.next().await {
            came += whole.take(delta?);
        }
        Ok::<_, Error>(())
    };
    let ended = match until {
        Some(until) => timeout_at(until, reading).await,
        None => Ok(reading.await),
    };
    let (error, is_cut) = match ended {
        Ok(Ok(())) => return Ok(whole),
        Ok(Err(error)) => (error, false),
        Err(_) => (late(llm.name()), true),
    };
    whole.input *= sent.times();
    whole.output = estimate(came);
    // Who has refused is not paid.
    let spent = (is_cut || came > 0).then(|| Box::new(whole));
    Err(Broken { error, spent })
}

fn late(vendor: &'static str) -> Error {
    Error {
        kind: ErrorKind::Timeout,
        vendor,
        role: "llm",
        cause: "not answered in time".into(),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::time::Duration;

    use super::*;
    use crate::testing::{ScriptedLlm, ask, done};

    const UNTIL: Duration = Duration::from_secs(5);

    /// 11 characters are asked: 3 tokens.
    async fn spent(
        wait: Duration,
        said: Vec<Result<Delta, Error>>,
    ) -> (ErrorKind, Option<(u64, u64)>) {
        let llm = ScriptedLlm::new("scripted", vec![(wait, said)]);
        let until = Instant::now() + UNTIL;
        let broken = whole(&*llm, ask("m"), Some(until)).await.unwrap_err();
        let tokens = broken.spent.map(|spent| {
            assert!(spent.estimated);
            (spent.input, spent.output)
        });
        (broken.error.kind, tokens)
    }

    #[tokio::test(start_paused = true)] // R186
    async fn what_was_cut_or_broke_off_is_paid_for_and_a_refusal_is_not() {
        let text = || Ok(Delta::Text("12345678".into()));
        let thought = || Ok(Delta::Reasoning("1234".into()));
        let down = || Err(late("scripted"));
        let cut = spent(UNTIL * 2, vec![text()]).await;
        assert_eq!(cut, (ErrorKind::Timeout, Some((3, 0))));
        let broke_off = spent(Duration::ZERO, vec![thought(), text(), down()]).await;
        assert_eq!(broke_off.1, Some((3, 3)));
        assert_eq!(spent(Duration::ZERO, vec![down()]).await.1, None);
    }

    #[tokio::test]
    async fn a_bill_that_came_is_the_bill() {
        let said = vec![Ok(Delta::Text("Hi".into())), Ok(done(10))];
        let llm = ScriptedLlm::new("scripted", vec![(Duration::ZERO, said)]);
        let whole = whole(&*llm, ask("m"), None).await.unwrap();
        assert_eq!(
            (whole.text.as_str(), whole.input, whole.estimated),
            ("Hi", 10, false)
        );
    }
}
