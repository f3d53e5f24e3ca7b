//! Tools as they are run: a request built from the agent's templates, sent once, logged, told to the
//! machine (R10, R104-R108, R113).

mod request;

use std::{sync::Arc, time::Duration};

use bolo_agent::{
    Agent, JsonTemplate, Secret, Tool, ToolAction, ToolWebhook, Transfer, Values, Variables,
};
use bolo_conversation::{CallFacts, Input, ToolOutcome, TransferOutcome};
use bolo_execution::{Component, E164, Entry, EntryKind, Record};
use bolo_providers::PublicClient;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::{asking::News, journal::Journal};
use request::{Built, Failure, logged, send};

/// A webhook before a tool (R108), and a controller of transfers.
const TELLING: Duration = Duration::from_secs(10);

/// The tools of one call.
pub(crate) struct Toolbox {
    work: Arc<Work>,
    /// What was sent runs on when the call is over (R10): it belongs to the node, and a drain waits for it.
    tasks: TaskTracker,
}

/// What a task that runs a tool needs.
#[derive(Clone)]
struct Work {
    agent: Arc<Agent>,
    variables: Variables,
    /// `call_sid`, `stream_sid`, `execution_id`.
    owned: Map<String, Value>,
    /// What webhooks and controllers are told besides.
    told: Map<String, Value>,
    http: PublicClient,
    journal: Arc<dyn Journal>,
    news: mpsc::Sender<News>,
}

/// How a transfer is begun.
pub(crate) enum Handover {
    /// By the carrier, to this number.
    Carrier(E164),
    /// By the customer's controller, who was told.
    Controller,
    /// Not at all; for the model.
    Impossible(String),
}

impl Toolbox {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is another source; a struct would only repeat them"
    )]
    pub(crate) fn new(
        agent: Arc<Agent>,
        facts: &CallFacts,
        record: &Record,
        call_sid: &str,
        http: PublicClient,
        journal: Arc<dyn Journal>,
        news: mpsc::Sender<News>,
        tasks: TaskTracker,
    ) -> Self {
        let text = |name: &str, value: &str| (name.to_owned(), Value::String(value.to_owned()));
        let execution = record.id.to_string();
        let owned = Map::from_iter([
            text("call_sid", call_sid),
            text("stream_sid", ""),
            text("execution_id", &execution),
        ]);
        let told = Map::from_iter([
            text("execution_id", &execution),
            text("agent_id", &record.agent.to_string()),
            text("provider", &record.provider),
            text("from_number", &record.from),
            text("to_number", &record.to),
        ]);
        let work = Work {
            agent,
            variables: facts.variables.clone(),
            owned,
            told,
            http,
            journal,
            news,
        };
        Self {
            work: Arc::new(work),
            tasks,
        }
    }

    /// The carrier streams under this id from now on (R104).
    pub(crate) fn streams(&mut self, id: &str) {
        let work = Arc::make_mut(&mut self.work);
        work.owned.insert("stream_sid".to_owned(), id.into());
    }

    /// Runs a tool, and its webhook beside it (R108); what it comes to is told as `ToolReturned`.
    pub(crate) fn run(
        &self,
        run: u32,
        name: String,
        arguments: Map<String, Value>,
        context: Map<String, Value>,
    ) {
        let work = self.work.clone();
        if let Some(tool) = work.tool(&name) {
            self.tell_webhook(tool, &arguments);
        }
        self.tasks.spawn(async move {
            let outcome = work.run(run, &name, &arguments, context).await;
            work.tell(Input::ToolReturned { run, outcome }).await;
        });
    }

    /// Begins a transfer.
    pub(crate) fn transfer(&self, name: &str, arguments: Map<String, Value>) -> Handover {
        let work = &self.work;
        let Some((tool, transfer)) = work.tool(name).and_then(|tool| match &tool.action {
            ToolAction::Transfer(transfer) => Some((tool, transfer)),
            ToolAction::Request(_) => None,
        }) else {
            return Handover::Impossible("there is no such transfer".to_owned());
        };
        let number = match work.number(transfer, &arguments) {
            Ok(number) => number,
            Err(why) => return Handover::Impossible(why),
        };
        self.tell_webhook(tool, &arguments);
        if transfer.controller.is_none() {
            return match number.parse() {
                Ok(number) => Handover::Carrier(number),
                Err(error) => {
                    Handover::Impossible(format!("{number:?} is no number to transfer to: {error}"))
                }
            };
        }
        let (work, name) = (self.work.clone(), name.to_owned());
        self.tasks.spawn(async move {
            if let Err(why) = work.ask_controller(&name, number, arguments).await {
                let outcome = TransferOutcome::Failed { why };
                work.tell(Input::TransferChanged { outcome }).await;
            }
        });
        Handover::Controller
    }

    fn tell_webhook(&self, tool: &Tool, arguments: &Map<String, Value>) {
        if let Some(webhook) = tool.webhook.clone() {
            let (work, name, arguments) = (self.work.clone(), tool.name.clone(), arguments.clone());
            self.tasks
                .spawn(async move { work.tell_webhook(&name, &webhook, &arguments).await });
        }
    }
}

impl Work {
    fn tool(&self, name: &str) -> Option<&Tool> {
        let mut tools = self.agent.conversation.tools.iter();
        tools.find(|tool| tool.name == name)
    }

    fn values<'a>(&'a self, arguments: &'a Map<String, Value>) -> Values<'a> {
        Values {
            owned: &self.owned,
            arguments,
            variables: &self.variables,
        }
    }

    async fn tell(&self, input: Input) {
        // A closed inbox means that the call is over: the log has the result.
        let _ = self.news.send(News::Input(input)).await;
    }

    async fn run(
        &self,
        run: u32,
        name: &str,
        arguments: &Map<String, Value>,
        context: Map<String, Value>,
    ) -> ToolOutcome {
        let failed = |why: String| ToolOutcome::Failed { why };
        let Some((tool, request)) = self.tool(name).and_then(|tool| match &tool.action {
            ToolAction::Request(request) => Some((tool, request)),
            ToolAction::Transfer(_) => None,
        }) else {
            return failed("there is no such tool".to_owned());
        };
        let mut variables = self.variables.clone();
        variables.context.extend(context);
        let values = Values {
            variables: &variables,
            ..self.values(arguments)
        };
        let built = match Built::new(request, values) {
            Ok(built) => built,
            Err(why) => return failed(why),
        };
        let limit = Duration::from_millis(tool.timeout_ms);
        match self.send(name, &format!("tool-{run}"), built, limit).await {
            Ok(body) => ToolOutcome::Answered {
                body: request::told(request.answers, body),
            },
            Err(failure) => failed(failure.to_string()),
        }
    }

    /// Sends a request, with both of its lines in the log.
    async fn send(
        &self,
        name: &str,
        leg: &str,
        built: Built,
        limit: Duration,
    ) -> Result<String, Failure> {
        let entry = |kind, data: String| {
            let mut entry = Entry::new(Component::Tool, kind, "", data).leg(leg);
            entry.tool_name = Some(name.to_owned());
            entry
        };
        let request = entry(EntryKind::Request, built.sent.clone())
            .with("method", built.method.as_str())
            .with("url", built.shown_url())
            .with("headers", logged(&built.headers));
        self.log(request);
        let begun = tokio::time::Instant::now();
        let sent = send(&self.http, built, limit).await;
        let ms = begun.elapsed().as_millis() as u64;
        let answer = match &sent {
            Ok((status, body)) => entry(EntryKind::Response, body.clone()).with("status", *status),
            Err(failure) => {
                tracing::info!(tool = name, why = failure.class(), "a tool failed");
                let answer = entry(EntryKind::Error, failure.to_string());
                match failure.status() {
                    Some(status) => answer.with("status", status),
                    None => answer,
                }
            }
        };
        self.log(answer.with("ms", ms));
        sent.map(|(_, body)| body)
    }

    fn log(&self, entry: Entry) {
        if let Err(error) = self.journal.entry(entry) {
            tracing::warn!(%error, "a tool is missing in the raw log");
        }
    }

    async fn tell_webhook(
        &self,
        name: &str,
        webhook: &ToolWebhook,
        arguments: &Map<String, Value>,
    ) {
        let body = fill(webhook.param.as_ref(), self.values(arguments));
        let built = body.and_then(|mut body| {
            body.extend(self.told.clone());
            Built::post(webhook.url.clone(), &body, &IndexMap::new(), None)
        });
        match built {
            // It is told; what it answers changes nothing.
            Ok(built) => drop(self.send(name, "webhook", built, TELLING).await),
            Err(why) => tracing::info!(tool = name, why, "a tool's webhook can't be told"),
        }
    }

    /// Whom to transfer to; with a controller it may be anything.
    fn number(
        &self,
        transfer: &Transfer,
        arguments: &Map<String, Value>,
    ) -> Result<String, String> {
        let param = fill(Some(&transfer.param), self.values(arguments))?;
        let number = param.get("call_transfer_number").map(bolo_agent::plain);
        Ok(number.unwrap_or_default())
    }

    async fn ask_controller(
        &self,
        name: &str,
        number: String,
        arguments: Map<String, Value>,
    ) -> Result<(), String> {
        let Some(Tool {
            action:
                ToolAction::Transfer(Transfer {
                    controller: Some(controller),
                    ..
                }),
            ..
        }) = self.tool(name)
        else {
            return Err("there is no controller".to_owned());
        };
        let url = controller.url.fill(self.values(&arguments));
        let url = url
            .parse()
            .map_err(|_| "the controller's address is none".to_owned())?;
        let mut body = self.owned.clone();
        for key in ["provider", "from_number"] {
            body.insert(
                key.to_owned(),
                self.told.get(key).cloned().unwrap_or_default(),
            );
        }
        body.insert("call_transfer_number".to_owned(), number.into());
        body.insert("args".to_owned(), Value::Object(arguments));
        let headers: &IndexMap<String, Secret> = &controller.headers;
        let built = Built::post(url, &body, headers, controller.api_token.as_ref())?;
        let sent = self.send(name, "transfer", built, TELLING).await;
        sent.map(drop).map_err(|failure| failure.to_string())
    }
}

/// A template's object.
fn fill(template: Option<&JsonTemplate>, values: Values<'_>) -> Result<Map<String, Value>, String> {
    let Some(template) = template else {
        return Ok(Map::new());
    };
    match template.fill(values) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("the tool's parameters are no object".to_owned()),
        Err(error) => Err(format!("the tool's parameters are no JSON: {error}")),
    }
}
