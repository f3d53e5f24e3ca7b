//! What is done once a call has ended: extraction, summary, webhook tasks, in the agent's order, then its
//! dispositions; then the record is complete. A step that fails leaves its field empty, and the rest goes on.
//! Source: runtime.md R181 to R187.

use std::{sync::Arc, time::Duration};

use bolo_agent::{Agent, Disposition, LlmConfig, PostCallTask};
use bolo_execution::{Change, Component, Entry, EntryKind, Record, Status};
use bolo_store::{Error, Facts, StepDone, Work};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    Worker,
    asking::began_at,
    clock::{ms, now_ms},
    dial::unless_late,
};

/// Ended calls that are worked on at once, by this node.
const CALLS_AT_ONCE: usize = 16;
/// A step that takes longer comes to nothing.
const STEP: Duration = Duration::from_secs(100);
/// A claim is taken up by another after this long: longer than any step lasts.
const LEASE: Duration = Duration::from_secs(120);

/// What is done in one go.
pub(crate) enum Step {
    Task(PostCallTask),
    /// All that the agent asks; where a disposition's model can't be had, its own answers.
    Dispositions(Vec<Disposition>, LlmConfig),
}

/// What a step came to, and what of it failed.
pub(crate) struct Came {
    pub(crate) done: StepDone,
    pub(crate) faults: Vec<String>,
}

impl Came {
    pub(crate) fn to(done: StepDone) -> Self {
        let faults = Vec::new();
        Self { done, faults }
    }

    pub(crate) fn to_nothing(why: String) -> Self {
        Self {
            done: StepDone::default(),
            faults: vec![why],
        }
    }
}

impl Worker {
    pub(crate) async fn post_call_loop(self: Arc<Self>, stop: CancellationToken) {
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
                () = self.store.signals().worker_woken(Work::PostCalls) => {}
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

    /// The steps of a call that has ended, from the one that is next on.
    async fn work_off(&self, mut record: Record) -> Result<(), Error> {
        let ended = Record {
            status: Status::Completed,
            ..record.clone()
        };
        let steps = match ended.retry_after() {
            // A machine answered and the call is tried again: there is nothing to draw from.
            Some(_) => Vec::new(),
            None => self.post_call_steps(&record).await?,
        };
        while let Some((nth, step)) = next(&record, &steps) {
            let ran = tokio::time::timeout(STEP, self.run_step(&record, nth, step)).await;
            let came = match ran {
                Ok(came) => came?,
                Err(_) => Some(Came::to_nothing("it took too long".to_owned())),
            };
            let Some(Came { done, faults }) = came else {
                return Ok(()); // claimed again when it is known
            };
            for why in faults {
                tracing::warn!(execution = %record.id, step = nth, why, "a post-call task came to nothing");
                let entry = Entry::new(Component::System, EntryKind::Error, "", why);
                (self.store)
                    .append_log(record.account, record.id, entry, now_ms())
                    .await?;
            }
            record = match self.store.finish_step(record.id, nth, done, now_ms()).await {
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
    pub(crate) async fn post_call_steps(&self, record: &Record) -> Result<Vec<Step>, Error> {
        let (account, id) = (record.account, record.agent);
        let stored = match (self.store)
            .agent_version(account, id, record.agent_version)
            .await
        {
            Ok(stored) => stored,
            Err(Error::NotFound) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let Ok(agent) = Agent::parse(&stored.body) else {
            return Ok(Vec::new());
        };
        let documents = self.store.dispositions_of(account, id).await?;
        let asked: Vec<Disposition> = documents
            .iter()
            .filter_map(|document| Disposition::parse(&document.body).ok())
            .collect();
        let mut tasks = agent.post_call;
        if !asked.is_empty() {
            tasks.retain(|task| !matches!(task, PostCallTask::CustomQuestions { .. }));
        }
        let mut steps: Vec<Step> = tasks.into_iter().map(Step::Task).collect();
        if !asked.is_empty() {
            steps.push(Step::Dispositions(asked, agent.conversation.llm.config));
        }
        Ok(steps)
    }

    /// One step; `None` = what it comes to is not known yet, and its call falls due again.
    async fn run_step(
        &self,
        record: &Record,
        nth: i64,
        step: &Step,
    ) -> Result<Option<Came>, Error> {
        let transcript = record.transcript.as_deref().unwrap_or_default();
        // Nobody has said anything that could be drawn from (R184).
        let is_silent = !transcript.lines().any(|line| line.starts_with("user: "));
        let came = match step {
            Step::Task(PostCallTask::Webhook { url }) => {
                return self.send_extracted(record, nth, url).await;
            }
            _ if is_silent => Came::to(StepDone::default()),
            Step::Task(PostCallTask::Extraction {
                prompt,
                details,
                model,
            }) => {
                let system = extraction_prompt(prompt.as_deref(), details.as_deref(), record);
                self.extract(record, model, system, transcript).await?
            }
            Step::Task(PostCallTask::CustomQuestions { questions, model }) => {
                let keys = "Each numbered name is a key, with what to draw for it:";
                let system = extraction_prompt(Some(keys), Some(questions), record);
                self.extract(record, model, system, transcript).await?
            }
            Step::Task(PostCallTask::Summarization { details, model }) => {
                let system = summary_prompt(details.as_deref());
                self.sum_up(record, model, system, transcript).await?
            }
            Step::Dispositions(asked, own) => self.decide(record, asked, own, transcript).await?,
        };
        Ok(Some(came))
    }

    /// Has what was extracted delivered as webhooks are, and waits some time to hear whether the receiver took
    /// it (R185). What it takes later is written down then.
    async fn send_extracted(
        &self,
        record: &Record,
        nth: i64,
        url: &url::Url,
    ) -> Result<Option<Came>, Error> {
        let body = record.extracted.clone().unwrap_or(Value::Null).to_string();
        let patience = ms(self.settings.timings.webhook_task);
        let told = (self.store)
            .tell_extracted(record, nth, url, &body, patience, now_ms())
            .await?;
        Ok(told.map(|told| {
            Came::to(StepDone {
                webhook_told: Some(told),
                ..StepDone::default()
            })
        }))
    }
}

/// The step that is next, if one is left.
fn next<'t>(record: &Record, steps: &'t [Step]) -> Option<(i64, &'t Step)> {
    let nth = record.post_call_step?;
    let step = steps.get(usize::try_from(nth).ok()?)?;
    Some((nth, step))
}

fn extraction_prompt(prompt: Option<&str>, details: Option<&str>, record: &Record) -> String {
    let date = chrono::DateTime::from_timestamp_millis(began_at(record))
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
