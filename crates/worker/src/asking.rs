//! Models that are asked about a call that is over: what they draw from its transcript. Source: runtime.md
//! R183, R186; api.md §17.

use std::time::Duration;

use bolo_agent::{Disposition, LlmConfig};
use bolo_execution::{Cost, LlmUsage, Record};
use bolo_providers::{
    Ask, Keys,
    llm::{self, Whole},
};
use bolo_store::{Error, StepDone};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{Worker, post_call::Came};

/// A model's answer that is no JSON is asked for again (R183).
const ANSWERS: usize = 3;
/// Dispositions of one call that are asked at once.
const AT_ONCE: usize = 4;
/// What is not decided by then stays undecided.
const ALL_DISPOSITIONS: Duration = Duration::from_secs(90);

/// What a model said, and what it used.
struct Answer {
    text: String,
    provider: String,
    model: String,
    usage: LlmUsage,
}

/// A question that came to nothing, and what it used all the same.
struct Unanswered {
    why: String,
    spent: Option<Answer>,
}

impl Answer {
    fn of(whole: Whole, provider: String) -> Self {
        Self {
            text: whole.text,
            provider,
            model: whole.model,
            usage: LlmUsage {
                input: whole.input,
                output: whole.output,
                cached: whole.cached,
                estimated: whole.estimated,
                vendor: String::new(),
            },
        }
    }
}

impl Worker {
    /// A JSON object from the transcript; what is none is asked for again.
    pub(crate) async fn extract(
        &self,
        record: &Record,
        model: &LlmConfig,
        system: String,
        transcript: &str,
    ) -> Result<Came, Error> {
        let mut answers = Vec::new();
        for _ in 0..ANSWERS {
            let messages = [system.clone(), transcript.to_owned()];
            let answer = match self.ask_own(record, model, messages, true).await? {
                Ok(answer) => answer,
                Err(Unanswered { why, spent }) => {
                    answers.extend(spent);
                    return Ok(Came {
                        done: self.paid(record, &answers),
                        faults: vec![why],
                    });
                }
            };
            let found = json_object(&answer.text);
            answers.push(answer);
            if let Some(found) = found {
                return Ok(Came::to(StepDone {
                    extracted: Some(with(record, found)),
                    ..self.paid(record, &answers)
                }));
            }
        }
        Ok(Came {
            // Paid for all the same.
            done: self.paid(record, &answers),
            faults: vec!["the model's extraction is no JSON".to_owned()],
        })
    }

    /// The transcript in a paragraph.
    pub(crate) async fn sum_up(
        &self,
        record: &Record,
        model: &LlmConfig,
        system: String,
        transcript: &str,
    ) -> Result<Came, Error> {
        let messages = [system, transcript.to_owned()];
        let answer = self.ask_own(record, model, messages, false).await?;
        Ok(match answer {
            Ok(answer) => Came::to(StepDone {
                summary: Some(answer.text.trim().to_owned()),
                ..self.paid(record, &[answer])
            }),
            Err(Unanswered { why, spent }) => Came {
                done: self.paid(record, spent.as_slice()),
                faults: vec![why],
            },
        })
    }

    /// What the agent's dispositions say of the transcript, each its own model. One that is not decided is
    /// left out.
    pub(crate) async fn decide(
        &self,
        record: &Record,
        dispositions: &[Disposition],
        own: &LlmConfig,
        transcript: &str,
    ) -> Result<Came, Error> {
        let keys = Keys(self.store.secrets(record.account).await?);
        let date = chrono::DateTime::from_timestamp_millis(began_at(record));
        let date = date.map(|date| date.to_rfc3339());
        let until = Instant::now() + ALL_DISPOSITIONS;
        let asked: Vec<_> = dispositions
            .iter()
            .map(|disposition| {
                let messages = disposition.prompt(transcript, date.as_deref());
                self.ask_disposition(record, disposition, messages, own, (&keys, until))
                    .boxed()
            })
            .collect();
        let answers: Vec<Result<Answer, Unanswered>> =
            stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let (mut decided, mut paid, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (disposition, answer) in dispositions.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    decided.push((disposition, disposition.verdict(&answer.text)));
                    paid.push(answer);
                }
                Err(Unanswered { why, spent }) => {
                    faults.push(format!("disposition {:?}: {why}", disposition.name));
                    paid.extend(spent);
                }
            }
        }
        let extracted = (!decided.is_empty()).then(|| with(record, Disposition::grouped(decided)));
        let done = StepDone {
            extracted,
            ..self.paid(record, &paid)
        };
        Ok(Came { done, faults })
    }

    async fn ask_disposition(
        &self,
        record: &Record,
        disposition: &Disposition,
        messages: [String; 2],
        own: &LlmConfig,
        (keys, until): (&Keys, Instant),
    ) -> Result<Result<Answer, Unanswered>, Error> {
        let custom = (self.store)
            .custom_model(record.account, &disposition.model)
            .await?;
        let models = disposition.models(own, custom);
        let until = Some(until);
        Ok(self
            .ask_model(record, models, messages, true, (keys, until))
            .await)
    }

    /// Asks a task's own model.
    async fn ask_own(
        &self,
        record: &Record,
        model: &LlmConfig,
        messages: [String; 2],
        json: bool,
    ) -> Result<Result<Answer, Unanswered>, Error> {
        let keys = Keys(self.store.secrets(record.account).await?);
        let models = (model.clone(), None);
        Ok(self
            .ask_model(record, models, messages, json, (&keys, None))
            .await)
    }

    /// One question to the first of these models that can be asked with the account's keys.
    async fn ask_model(
        &self,
        record: &Record,
        models: (LlmConfig, Option<LlmConfig>),
        messages: [String; 2],
        json: bool,
        (keys, until): (&Keys, Option<Instant>),
    ) -> Result<Answer, Unanswered> {
        let (llm, config) = (self.vendors.llm_or(models, keys)).map_err(|error| Unanswered {
            why: error.to_string(),
            spent: None,
        })?;
        let provider = config.provider.clone();
        let ask = Ask::plain(config, messages, json, record.agent.to_string());
        match llm::whole(&*llm, ask, until).await {
            Ok(whole) => Ok(Answer::of(whole, provider)),
            Err(broken) => Err(Unanswered {
                why: broken.to_string(),
                spent: broken.spent.map(|spent| Answer::of(*spent, provider)),
            }),
        }
    }

    /// What the attempt used and cost with these answers.
    fn paid(&self, record: &Record, answers: &[Answer]) -> StepDone {
        if answers.is_empty() {
            return StepDone::default();
        }
        let mut usage = record.usage.clone().unwrap_or_default();
        let mut cost = record.cost.unwrap_or_default();
        for answer in answers {
            let cents = (self.llm_cents)(&answer.provider, &answer.model, &answer.usage);
            cost = cost
                + Cost {
                    llm: cents,
                    ..Cost::default()
                };
            *usage.llm_model.entry(answer.model.clone()).or_default() += answer.usage.clone();
        }
        StepDone {
            usage: Some(usage),
            cost: Some(cost),
            ..StepDone::default()
        }
    }
}

/// When the conversation began, epoch ms.
pub(crate) fn began_at(record: &Record) -> i64 {
    record.answered_at.unwrap_or(record.created_at)
}

/// What is known of the call, and this.
fn with(record: &Record, found: Map<String, Value>) -> Value {
    let mut extracted = match &record.extracted {
        Some(Value::Object(known)) => known.clone(),
        _ => Map::new(),
    };
    extracted.extend(found);
    Value::Object(extracted)
}

/// The object in a model's answer, with or without a fence around it.
fn json_object(text: &str) -> Option<Map<String, Value>> {
    let (start, end) = (text.find('{')?, text.rfind('}')?);
    serde_json::from_str(text.get(start..=end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_found_in_what_models_put_around_it() {
        for text in [
            r#"{"paid": true}"#,
            "```json\n{\"paid\": true}\n```",
            "Here it is: {\"paid\": true}.",
        ] {
            assert_eq!(
                json_object(text).map(Value::Object),
                Some(serde_json::json!({ "paid": true }))
            );
        }
        assert_eq!(json_object("nothing was paid"), None);
        assert_eq!(json_object("} {"), None);
    }
}
