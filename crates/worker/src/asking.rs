//! Models that are asked about a call that is over: what they draw from its transcript. Source: runtime.md
//! R183, R186; api.md §17.

use std::time::Duration;

use bolo_agent::{Disposition, LlmConfig};
use bolo_execution::{Cost, LlmUsage, Record};
use bolo_providers::{Ask, Keys, llm};
use bolo_store::{Error, StepDone};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

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
                Err(why) => return Ok(Came::to_nothing(why)),
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
            Err(why) => Came::to_nothing(why),
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
                let asked = self.ask_disposition(record, disposition, messages, own, &keys);
                let in_time = timeout_at(until, asked);
                in_time
                    .map(|answer| {
                        answer.unwrap_or_else(|_| Ok(Err("not answered in time".to_owned())))
                    })
                    .boxed()
            })
            .collect();
        let answers: Vec<Result<Answer, String>> =
            stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let (mut decided, mut paid, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (disposition, answer) in dispositions.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    decided.push((disposition, disposition.verdict(&answer.text)));
                    paid.push(answer);
                }
                Err(why) => faults.push(format!("disposition {:?}: {why}", disposition.name)),
            }
        }
        let done = if decided.is_empty() {
            StepDone::default()
        } else {
            StepDone {
                extracted: Some(with(record, Disposition::grouped(decided))),
                ..self.paid(record, &paid)
            }
        };
        Ok(Came { done, faults })
    }

    async fn ask_disposition(
        &self,
        record: &Record,
        disposition: &Disposition,
        messages: [String; 2],
        own: &LlmConfig,
        keys: &Keys,
    ) -> Result<Result<Answer, String>, Error> {
        let custom = (self.store)
            .custom_model(record.account, &disposition.model)
            .await?;
        let models = disposition.models(own, custom);
        Ok(self.ask_model(record, models, messages, true, keys).await)
    }

    /// Asks a task's own model.
    async fn ask_own(
        &self,
        record: &Record,
        model: &LlmConfig,
        messages: [String; 2],
        json: bool,
    ) -> Result<Result<Answer, String>, Error> {
        let keys = Keys(self.store.secrets(record.account).await?);
        let models = (model.clone(), None);
        Ok(self.ask_model(record, models, messages, json, &keys).await)
    }

    /// One question to the first of these models that can be asked with the account's keys.
    async fn ask_model(
        &self,
        record: &Record,
        models: (LlmConfig, Option<LlmConfig>),
        messages: [String; 2],
        json: bool,
        keys: &Keys,
    ) -> Result<Answer, String> {
        let text = |error: bolo_providers::Error| error.to_string();
        let (llm, config) = self.vendors.llm_or(models, keys).map_err(text)?;
        let provider = config.provider.clone();
        let ask = Ask::plain(config, messages, json, record.agent.to_string());
        let whole = llm::whole(&*llm, ask).await.map_err(text)?;
        Ok(Answer {
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
        })
    }

    /// What the attempt used and cost with these answers.
    fn paid(&self, record: &Record, answers: &[Answer]) -> StepDone {
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
