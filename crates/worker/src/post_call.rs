//! What is done once a call has ended: extraction, summary, webhook tasks, in the agent's order; then the
//! record is complete. A step that fails leaves its field empty, and the rest goes on. Source: runtime.md
//! R181 to R187.

use std::{sync::Arc, time::Duration};

use bolo_agent::{Agent, LlmConfig, PostCallTask};
use bolo_execution::{Change, Component, Cost, Entry, EntryKind, LlmUsage, Record, Status};
use bolo_providers::{Ask, AskMessage, Delta, Keys, ToolChoice};
use bolo_store::{Error, Facts, StepDone};
use futures_util::StreamExt;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Worker,
    clock::{ms, now_ms},
    dial::unless_late,
};

/// Ended calls that are worked on at once, by this node.
const CALLS_AT_ONCE: usize = 16;
/// A claim is taken up by another after this long: longer than any step lasts.
const LEASE: Duration = Duration::from_secs(120);
/// A model's answer that is no JSON is asked for again (R183).
const ANSWERS: usize = 3;
/// Waits before the tries of a webhook task.
const WEBHOOK_TRIES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// What a model said, and what it used.
struct Answer {
    text: String,
    model: String,
    usage: LlmUsage,
}

impl Worker {
    pub(crate) async fn post_call_loop(
        self: Arc<Self>,
        woken: Arc<Notify>,
        stop: CancellationToken,
    ) {
        let mut calls = JoinSet::new();
        loop {
            let wait = self.post_calls_due(&mut calls).await;
            tokio::select! {
                biased;
                // A step that is dropped is done again by whoever claims the call next.
                () = stop.cancelled() => return,
                Some(ended) = calls.join_next(), if !calls.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a post-call task failed");
                    }
                }
                () = woken.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts what is due; tells how long to wait for more.
    async fn post_calls_due(self: &Arc<Self>, calls: &mut JoinSet<()>) -> Duration {
        let poll = self.settings.timings.poll;
        let free = (CALLS_AT_ONCE - calls.len()) as i64;
        let claimed = self.store.claim_post_calls(now_ms(), ms(LEASE), free).await;
        match claimed {
            Ok(claimed) => {
                for record in claimed {
                    let worker = self.clone();
                    calls.spawn(async move {
                        let id = record.id;
                        if let Err(error) = worker.work_off(record).await {
                            tracing::error!(execution = %id, %error, "an ended call's tasks wait");
                        }
                    });
                }
            }
            Err(error) => tracing::error!(%error, "can't claim ended calls"),
        }
        poll
    }

    /// The tasks of a call that has ended, from the one that is next on.
    async fn work_off(&self, mut record: Record) -> Result<(), Error> {
        let ended = Record {
            status: Status::Completed,
            ..record.clone()
        };
        let tasks = match ended.retry_after() {
            // A machine answered and the call is tried again: there is nothing to draw from.
            Some(_) => Vec::new(),
            None => self.post_call_tasks(&record).await?,
        };
        while let Some((step, task)) = next(&record, &tasks) {
            let done = match self.run_task(&record, task).await? {
                Ok(done) => done,
                Err(why) => {
                    tracing::warn!(execution = %record.id, step, why, "a post-call task came to nothing");
                    let entry = Entry::new(Component::System, EntryKind::Error, "", why);
                    (self.store)
                        .append_log(record.account, record.id, entry, now_ms())
                        .await?;
                    StepDone::default()
                }
            };
            record = match self
                .store
                .finish_step(record.id, step, done, now_ms())
                .await
            {
                Ok(record) => record,
                // Another worker is further on, or the call was finished without what is missing.
                Err(Error::Conflict(why)) => {
                    tracing::debug!(execution = %record.id, why, "not ours to go on with");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        }
        let complete = self
            .change(&record, Change::Recorded, Facts::default())
            .await;
        unless_late(complete.map(drop))
    }

    /// What the call's agent wants done after it; nothing where the agent does not run any more.
    pub(crate) async fn post_call_tasks(
        &self,
        record: &Record,
    ) -> Result<Vec<PostCallTask>, Error> {
        let stored = self
            .store
            .agent_version(record.account, record.agent, record.agent_version)
            .await;
        match stored {
            Ok(stored) => Ok(Agent::parse(&stored.body)
                .map(|agent| agent.post_call)
                .unwrap_or_default()),
            Err(Error::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// One step. The inner error says why it came to nothing.
    async fn run_task(
        &self,
        record: &Record,
        task: &PostCallTask,
    ) -> Result<Result<StepDone, String>, Error> {
        let transcript = record.transcript.as_deref().unwrap_or_default();
        // Nobody has said anything that could be drawn from (R184).
        let is_silent = !transcript.lines().any(|line| line.starts_with("user: "));
        Ok(match task {
            PostCallTask::Webhook { url } => Ok(StepDone {
                webhook_told: Some(self.send_extracted(record, url).await),
                ..StepDone::default()
            }),
            _ if is_silent => Ok(StepDone::default()),
            PostCallTask::Extraction {
                prompt,
                details,
                model,
            } => {
                let system = extraction_prompt(prompt.as_deref(), details.as_deref(), record);
                self.extract(record, model, &system, transcript).await?
            }
            PostCallTask::Summarization { details, model } => {
                let system = summary_prompt(details.as_deref());
                let answer = self
                    .ask_model(record, model, &system, transcript, false)
                    .await?;
                answer.map(|answer| StepDone {
                    summary: Some(answer.text.trim().to_owned()),
                    ..self.paid(record, model, &[answer])
                })
            }
        })
    }

    /// A JSON object from the transcript; what is none is asked for again.
    async fn extract(
        &self,
        record: &Record,
        model: &LlmConfig,
        system: &str,
        transcript: &str,
    ) -> Result<Result<StepDone, String>, Error> {
        let mut answers = Vec::new();
        for _ in 0..ANSWERS {
            match self
                .ask_model(record, model, system, transcript, true)
                .await?
            {
                Ok(answer) => {
                    let found = json_object(&answer.text);
                    answers.push(answer);
                    if let Some(found) = found {
                        let mut extracted = match &record.extracted {
                            Some(Value::Object(known)) => known.clone(),
                            _ => Map::new(),
                        };
                        extracted.extend(found);
                        return Ok(Ok(StepDone {
                            extracted: Some(Value::Object(extracted)),
                            ..self.paid(record, model, &answers)
                        }));
                    }
                }
                Err(why) => return Ok(Err(why)),
            }
        }
        // Paid for all the same.
        let done = self.paid(record, model, &answers);
        tracing::warn!(execution = %record.id, "the model's extraction is no JSON");
        Ok(Ok(done))
    }

    /// One question to a model, with the account's keys.
    async fn ask_model(
        &self,
        record: &Record,
        model: &LlmConfig,
        system: &str,
        user: &str,
        json: bool,
    ) -> Result<Result<Answer, String>, Error> {
        let keys = Keys(self.store.secrets(record.account).await?);
        let llm = match self.vendors.llm(model, &keys) {
            Ok(llm) => llm,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let message = |role, content: &str| AskMessage {
            role,
            content: Some(content.to_owned()),
            tool_calls: Vec::new(),
            tool_call_id: None,
        };
        let ask = Ask {
            config: model.clone(),
            temperature: 0.0,
            messages: vec![message("system", system), message("user", user)],
            tools: Vec::new(),
            tool_choice: ToolChoice::None,
            json,
            cache_key: record.agent.to_string(),
        };
        let mut answer = Answer {
            text: String::new(),
            model: model.model.clone(),
            usage: LlmUsage::default(),
        };
        let mut deltas = llm.answer(ask);
        while let Some(delta) = deltas.next().await {
            match delta {
                Ok(Delta::Text(text)) => answer.text.push_str(&text),
                Ok(Delta::Model(name)) => answer.model = name,
                Ok(Delta::Done {
                    input,
                    output,
                    cached,
                    estimated,
                    ..
                }) => {
                    answer.usage = LlmUsage {
                        input,
                        output,
                        cached,
                        estimated,
                    };
                }
                Ok(Delta::Reasoning(_) | Delta::Calling(_) | Delta::Calls(_)) => {}
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        Ok(Ok(answer))
    }

    /// What the attempt used and cost with these answers.
    fn paid(&self, record: &Record, model: &LlmConfig, answers: &[Answer]) -> StepDone {
        let mut usage = record.usage.clone().unwrap_or_default();
        let mut cost = record.cost.unwrap_or_default();
        for answer in answers {
            let cents = (self.llm_cents)(&model.provider, &answer.model, &answer.usage);
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

    /// Sends what was extracted; whether the receiver took it (R185).
    async fn send_extracted(&self, record: &Record, url: &url::Url) -> bool {
        let body = record.extracted.clone().unwrap_or(Value::Null).to_string();
        for wait in WEBHOOK_TRIES {
            tokio::time::sleep(wait).await;
            let request = match self.webhooks.post(url.clone()) {
                Ok(request) => request,
                Err(error) => {
                    tracing::warn!(execution = %record.id, %error, "a webhook task's address can't be used");
                    return false;
                }
            };
            let sent = request
                .timeout(self.settings.timings.webhook_limit)
                .header(CONTENT_TYPE, "application/json")
                // The same on every try: a receiver may have taken the one that seemed lost.
                .header("webhook-id", format!("{}-extraction", record.id))
                .body(body.clone())
                .send()
                .await;
            if sent.is_ok_and(|response| response.status().is_success()) {
                return true;
            }
        }
        tracing::warn!(execution = %record.id, "a webhook task's receiver did not take it");
        false
    }
}

/// The step that is next, if one is left.
fn next<'t>(record: &Record, tasks: &'t [PostCallTask]) -> Option<(i64, &'t PostCallTask)> {
    let step = record.post_call_step?;
    let task = tasks.get(usize::try_from(step).ok()?)?;
    Some((step, task))
}

fn extraction_prompt(prompt: Option<&str>, details: Option<&str>, record: &Record) -> String {
    let at = record.answered_at.unwrap_or(record.created_at);
    let date = chrono::DateTime::from_timestamp_millis(at)
        .map(|time| time.format("%A, %-d %B %Y, %H:%M UTC").to_string())
        .unwrap_or_default();
    let zone = record.user_data.get("timezone").and_then(Value::as_str);
    let zone = zone.map_or_else(String::new, |zone| {
        format!(" The user's time zone is {zone}.")
    });
    let wanted = [prompt, details]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n");
    format!(
        "You draw facts from the transcript of a phone call between an assistant and a user. The call began on \
         {date}.{zone} Answer in English with one JSON object and nothing else; keys in snake_case; null for \
         what the transcript does not say. Wanted:\n{wanted}"
    )
}

fn summary_prompt(details: Option<&str>) -> String {
    let heed = details.map_or_else(String::new, |details| format!(" Heed: {details}"));
    format!(
        "Summarise the transcript of a phone call between an assistant and a user in one neutral paragraph: who \
         wanted what, what was agreed, what is open. Answer with the paragraph alone.{heed}"
    )
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
