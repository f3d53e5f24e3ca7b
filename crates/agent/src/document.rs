//! The agent document as a whole.

use serde_json::Value;

use crate::{
    ConversationTask, Fault, Faults, IngestSource, PostCallTask, Tool,
    place::{FaultList, Place},
    task::is_graph,
};

/// A document that was checked; runs as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// `agent_name`.
    pub name: String,
    /// `agent_welcome_message`; `None` = the agent waits for the caller.
    pub welcome: Option<String>,
    /// `webhook_url`.
    pub webhook_url: Option<url::Url>,
    /// `webhook_statuses`: which statuses are sent; `None` = all.
    pub webhook_statuses: Option<Vec<String>>,
    /// `agent_type`; default `other`.
    pub agent_type: String,
    /// Calling hours of the recipient.
    pub guardrails: Option<Guardrails>,
    /// `telephony_provider`, else the conversation task's `input.provider`, when it names a carrier.
    pub telephony_provider: Option<String>,
    /// `ingest_source_config`: where callers are looked up.
    pub ingest: Option<IngestSource>,
    /// The first conversation task.
    pub conversation: ConversationTask,
    /// What is done after a call, in this order.
    pub post_call: Vec<PostCallTask>,
}

/// `calling_guardrails`: hours of the recipient's day, `[start, end)`; equal = always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guardrails {
    /// 0..=23.
    pub start_hour: u8,
    /// 0..=23, not before `start_hour`.
    pub end_hour: u8,
}

/// Statuses that `webhook_statuses` may name: all there are.
pub const WEBHOOK_STATUSES: [&str; 16] = [
    "prepared",
    "scheduled",
    "queued",
    "rescheduled",
    "initiated",
    "ringing",
    "in-progress",
    "call-disconnected",
    "completed",
    "busy",
    "no-answer",
    "balance-low",
    "canceled",
    "failed",
    "stopped",
    "error",
];

const CARRIERS: [&str; 5] = ["twilio", "plivo", "vobiz", "exotel", "sip-trunk"];
/// Those that let whoever is called decline before the two are connected (R115).
const WARM_CARRIERS: [&str; 2] = ["twilio", "plivo"];
/// Not a carrier: whatever the server is set up with.
pub(crate) const ANY_CARRIER: &str = "default";
const CARRIERS_TO_COME: [&str; 2] = ["freeswitch", "database"];

impl Agent {
    /// Reads a body `{agent_config, agent_prompts}` of API v1 or v2, to be run: what this version can't run
    /// is a fault as well. The caller keeps `body`: it is stored and returned verbatim. Faults name paths
    /// from the body's root without `agent_config.` (`tasks[0].tools_config.…`, `agent_name`,
    /// `agent_prompts.task_1.system_prompt`), all at once.
    pub fn parse(body: &Value) -> Result<Self, Faults> {
        let faults = FaultList::default();
        let agent = Self::read(body, &faults);
        let faults = faults.into_all();
        match agent {
            Some(agent) if faults.is_empty() => Ok(agent),
            _ => Err(Faults(faults)),
        }
    }

    /// Checks a body that is to be stored. What is right but can't be run by this version is no fault: it
    /// is returned, and [`Agent::parse`] will refuse it.
    pub fn check(body: &Value) -> Result<Vec<Fault>, Faults> {
        let faults = FaultList::default();
        Self::read(body, &faults);
        match faults.into_parts() {
            (faults, lacks) if faults.is_empty() => Ok(lacks),
            (faults, _) => Err(Faults(faults)),
        }
    }

    fn read(body: &Value, faults: &FaultList) -> Option<Self> {
        let body = Place::new("", Some(body), faults).required()?;
        body.object()?;
        let config = body.at("agent_config").required();
        let prompts = body.at("agent_prompts");
        let prompts = match config.as_ref().is_some_and(prompts_are_its_nodes) {
            true => Some(prompts),
            false => prompts.required(),
        };
        if let Some(prompts) = &prompts {
            prompts.object();
        }
        let config = config?;
        config.object()?;
        // Without prompts there is one fault already; a second one for the missing task tells nothing new.
        Self::read_config(&config.as_root(), prompts.as_ref())
    }

    fn read_config(config: &Place<'_>, prompts: Option<&Place<'_>>) -> Option<Self> {
        let name = config.at("agent_name").required_text().map(str::to_owned);
        let welcome = config
            .at("agent_welcome_message")
            .some_text()
            .map(str::to_owned);
        let webhook_url = config.at("webhook_url").url();
        let webhook_statuses = webhook_statuses(&config.at("webhook_statuses"));
        let agent_type = config
            .at("agent_type")
            .some_text()
            .unwrap_or("other")
            .to_owned();
        let guardrails = Guardrails::read(&config.at("calling_guardrails"));
        let ingest = IngestSource::read(&config.at("ingest_source_config"));
        let telephony_provider = carrier(&config.at("telephony_provider"));
        let (conversation, mut post_call) = tasks(&config.at("tasks"), prompts)?;
        let assistants = config.at("gpt_assistants");
        let own = &conversation.llm.config;
        post_call.extend(PostCallTask::custom_questions(&assistants, own));
        let of_task =
            Some(conversation.input_provider.clone()).filter(|provider| provider != ANY_CARRIER);
        let telephony_provider = telephony_provider
            .filter(|name| name != ANY_CARRIER)
            .or(of_task);
        if let Some(carrier) = &telephony_provider
            && !WARM_CARRIERS.contains(&carrier.as_str())
            && conversation.tools.iter().any(Tool::is_warm_transfer)
        {
            let what = format!("a warm transfer by carrier {carrier:?}");
            config.at("tasks").unsupported(&what);
        }
        Some(Self {
            name: name?,
            welcome,
            webhook_url,
            webhook_statuses,
            agent_type,
            guardrails,
            telephony_provider,
            ingest,
            conversation,
            post_call,
        })
    }

    /// What will work but surely not as meant (R152 and the like), for the log at save.
    pub fn warnings(&self) -> Vec<Fault> {
        let config = &self.conversation.config;
        let silence = config.hangup_after_silence_ms;
        let warn = |key: &str, message: String| Fault {
            path: format!("task_config.{key}"),
            message,
        };
        let mut warnings = Vec::new();
        if config.check_if_user_online && silence > 0 && config.trigger_user_online_ms >= silence {
            let message = format!(
                "never fires: the call ends after {} s of silence",
                silence as f64 / 1000.0
            );
            warnings.push(warn("trigger_user_online_message_after", message));
        }
        if silence >= config.call_terminate_ms {
            warnings.push(warn(
                "hangup_after_silence",
                "never fires: call_terminate comes first".to_owned(),
            ));
        }
        if config.hangup_after_llm_call && config.call_cancellation_prompt.is_none() {
            let message = "has no effect without call_cancellation_prompt".to_owned();
            warnings.push(warn("hangup_after_LLMCall", message));
        }
        warnings
    }
}

impl Guardrails {
    fn read(place: &Place<'_>) -> Option<Self> {
        place.object()?;
        let hour = |key| {
            place
                .at(key)
                .required()
                .and_then(|hour| hour.whole(0..=23))
                .map(|hour| hour as u8)
        };
        let (start, end) = (hour("call_start_hour"), hour("call_end_hour"));
        let (start_hour, end_hour) = (start?, end?);
        if end_hour < start_hour {
            place.at("call_end_hour").fault(format_args!(
                "must not be before call_start_hour, {start_hour}"
            ));
        }
        Some(Self {
            start_hour,
            end_hour,
        })
    }
}

pub(crate) fn webhook_statuses(place: &Place<'_>) -> Option<Vec<String>> {
    let items = place.items()?;
    Some(
        items
            .iter()
            .filter_map(|item| item.word(&WEBHOOK_STATUSES))
            .map(str::to_owned)
            .collect(),
    )
}

/// A carrier that runs, or `default`.
pub(crate) fn carrier(place: &Place<'_>) -> Option<String> {
    let runs = [&CARRIERS[..], &[ANY_CARRIER]].concat();
    place
        .choice("carrier", &runs, &CARRIERS_TO_COME)
        .map(str::to_owned)
}

/// The one conversation among the tasks, and what follows it; a task that can't be done is refused, none is
/// passed over.
fn tasks(
    tasks: &Place<'_>,
    prompts: Option<&Place<'_>>,
) -> Option<(ConversationTask, Vec<PostCallTask>)> {
    let items = tasks.clone().required()?.items()?;
    let mut found = None;
    let mut post_call = Vec::new();
    let mut count = 0;
    for (index, task) in items.iter().enumerate() {
        let Some(kind) = kind(task) else { continue };
        let prompt = prompts.map(|prompts| {
            prompts
                .at(&format!("task_{}", index + 1))
                .at("system_prompt")
        });
        if kind != CONVERSATION {
            post_call.extend(PostCallTask::read(task, kind, prompt.as_ref()));
            continue;
        }
        count += 1;
        if count == 1 {
            found = ConversationTask::read(task, prompt.as_ref());
        } else {
            ConversationTask::read(task, None);
            task.unsupported("a second conversation task");
        }
    }
    if count == 0 {
        tasks.fault("must hold a task of type conversation");
    }
    Some((found?, post_call))
}

/// Graphs bring the prompts of their nodes along.
fn prompts_are_its_nodes(config: &Place<'_>) -> bool {
    let tasks = config.at("tasks");
    let tasks = Some(tasks)
        .filter(Place::is_list)
        .and_then(|tasks| tasks.items());
    let mut talks = (tasks.iter().flatten())
        .filter(|task| {
            let kind = task.at("task_type");
            kind.value().is_none_or(|kind| kind == "conversation")
        })
        .peekable();
    talks.peek().is_some() && talks.all(is_graph)
}

const CONVERSATION: &str = "conversation";

/// The type of a task.
fn kind(task: &Place<'_>) -> Option<&'static str> {
    let runs = [CONVERSATION, "extraction", "summarization", "webhook"];
    let kind = task.at("task_type");
    task.object()?;
    if kind.is_present() {
        kind.choice("task type", &runs, &["notification"])
    } else {
        Some(CONVERSATION)
    }
}
