//! Requests to the model, to the routes and to judges: one task each, owned here; dropping it stops the
//! vendor too. What they say comes through the call's inbox.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bolo_agent::LlmConfig;
use bolo_conversation::{
    AnswerId, Finish, Input, JudgeKind, Message, Role, TokenUse, Tool, ToolCall, ToolChoice, TurnId,
};
use bolo_providers::{Ask, AskMessage, AskTool, Delta, Error, ErrorKind, Llm, Sent};
use futures_util::StreamExt;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{faults::fault, judging, library::KnowledgeSource, routes::RouteSource};

/// That a model thinks aloud is told so often.
const THOUGHTS: Duration = Duration::from_secs(1);
/// Deltas that lie ready are told as one.
const AT_ONCE: usize = 32;

/// What tasks of a call tell its loop.
#[derive(Debug)]
pub(crate) enum News {
    /// A fact for the machine.
    Input(Input),
    /// What a reasoning model thought aloud, for the log; comes before `AnswerDone`.
    Thought { answer: AnswerId, text: String },
    /// From now on this model answers, not the agent's own.
    Model { vendor: String, model: String },
    /// A judge's verdict, for the machine, and its tokens.
    Judged {
        id: u32,
        yes: bool,
        used: Option<TokenUse>,
    },
    /// The record says to whom the caller goes, or it could not be written.
    HandedOver(bool),
    /// All that another node needs is written.
    Left,
    /// The hang-up was carried out as far as it can be.
    HungUp,
    /// The record says that the call was stopped or is over.
    NotWanted,
    /// The record says that another node has the call.
    TakenOver,
}

/// Counts what a request may cost for which no bill comes: characters of what was asked, and of what came so
/// far.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    asked: u64,
    sent: Sent,
    came: Arc<AtomicU64>,
}

impl Meter {
    fn of(ask: &Ask) -> Self {
        let texts = ask.messages.iter().filter_map(|m| m.content.as_ref());
        Self {
            asked: texts.map(|text| text.chars().count() as u64).sum(),
            sent: ask.sent.clone(),
            came: Arc::default(),
        }
    }

    pub(crate) fn came(&self, text: &str) {
        let more = text.chars().count() as u64;
        self.came.fetch_add(more, Ordering::Relaxed);
    }

    /// The bill of a request that was cut.
    pub(crate) fn of_cut(&self) -> TokenUse {
        TokenUse {
            input: self.asked / 4 * self.sent.times(),
            output: self.came.load(Ordering::Relaxed) / 4,
            cached: 0,
            estimated: true,
        }
    }

    /// The bill of one that failed: a request that was refused costs nothing, one that had begun does.
    pub(crate) fn of_failed(&self) -> Option<TokenUse> {
        Some(self.of_cut()).filter(|tokens| tokens.output > 0)
    }
}

struct Running {
    _task: AbortOnDropHandle<()>,
    meter: Meter,
}

/// See the module.
pub(crate) struct Mind {
    llm: Arc<dyn Llm>,
    config: LlmConfig,
    /// Which model answers, and whose it is.
    model: String,
    vendor: String,
    routes: Option<RouteSource>,
    knowledge: Option<Arc<KnowledgeSource>>,
    cache_key: String,
    news: mpsc::Sender<News>,
    asks: BTreeMap<u32, Running>,
    route: Option<AbortOnDropHandle<()>>,
    judges: BTreeMap<u32, Running>,
}

impl Mind {
    pub(crate) fn new(
        llm: Arc<dyn Llm>,
        config: LlmConfig,
        routes: Option<RouteSource>,
        cache_key: String,
        news: mpsc::Sender<News>,
    ) -> Self {
        Self {
            llm,
            model: config.model.clone(),
            vendor: config.provider.clone(),
            config,
            routes,
            knowledge: None,
            cache_key,
            news,
            asks: BTreeMap::new(),
            route: None,
            judges: BTreeMap::new(),
        }
    }

    /// Each request to the model is given passages of these.
    pub(crate) fn knowing(self, knowledge: KnowledgeSource) -> Self {
        Self {
            knowledge: Some(Arc::new(knowledge)),
            ..self
        }
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Vendor and model that answer.
    pub(crate) fn who(&self) -> (&str, &str) {
        (&self.vendor, &self.model)
    }

    pub(crate) fn answered_by(&mut self, vendor: String, model: String) {
        (self.vendor, self.model) = (vendor, model);
    }

    /// Asks the model.
    pub(crate) fn ask(
        &mut self,
        answer: AnswerId,
        messages: Vec<Message>,
        tools: Vec<Tool>,
        choice: ToolChoice,
        temperature: f32,
    ) {
        let ask = Ask {
            config: self.config.clone(),
            temperature,
            messages: messages.into_iter().map(message).collect(),
            tools: tools.into_iter().map(tool).collect(),
            tool_choice: tool_choice(choice),
            json: self.config.request_json,
            cache_key: self.cache_key.clone(),
            sent: Sent::default(),
        };
        let meter = Meter::of(&ask);
        let (llm, knowledge) = (self.llm.clone(), self.knowledge.clone());
        let (counted, news) = (meter.clone(), self.news.clone());
        let task = async move {
            let mut ask = ask;
            if let Some(knowledge) = knowledge {
                ask.messages.extend(knowledge.message(&ask.messages).await);
            }
            answer_task(llm, ask, answer, counted, news).await;
        };
        let _task = AbortOnDropHandle::new(tokio::spawn(task));
        self.asks.insert(answer.0, Running { _task, meter });
    }

    /// Drops a request; what it will have cost.
    pub(crate) fn cancel(&mut self, answer: AnswerId) -> Option<TokenUse> {
        Some(self.asks.remove(&answer.0)?.meter.of_cut())
    }

    /// The request has failed; what it will have cost.
    pub(crate) fn failed(&mut self, answer: AnswerId) -> Option<TokenUse> {
        self.asks.remove(&answer.0)?.meter.of_failed()
    }

    /// The request has ended by itself.
    pub(crate) fn ended(&mut self, answer: AnswerId) {
        self.asks.remove(&answer.0);
    }

    /// So has a judge.
    pub(crate) fn judged(&mut self, id: u32) {
        self.judges.remove(&id);
    }

    /// Drops all that is still asked; what it will have cost.
    pub(crate) fn cut(&mut self) -> Vec<TokenUse> {
        let (asks, judges) = (&mut self.asks, &mut self.judges);
        let all = [std::mem::take(asks), std::mem::take(judges)];
        let running = all.iter().flat_map(BTreeMap::values);
        running.map(|running| running.meter.of_cut()).collect()
    }

    /// Asks the routes; a failure is a miss.
    pub(crate) fn ask_route(&mut self, turn: TurnId, text: String) {
        let (routes, news) = (self.routes.clone(), self.news.clone());
        self.route = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let decision = match routes {
                Some(routes) => routes
                    .decide(text)
                    .await
                    .inspect_err(|error| tracing::warn!(%error, "routes could not be asked"))
                    .ok(),
                None => None,
            };
            let (hit, scores) =
                decision.map_or((None, None), |decision| (decision.hit, decision.scores));
            tell(&news, News::Input(Input::Routed { turn, hit, scores })).await;
        })));
    }

    /// Asks a judge in the background; a failure is a no.
    pub(crate) fn ask_judge(&mut self, id: u32, kind: JudgeKind, messages: Vec<Message>) {
        let ask = Ask {
            config: LlmConfig {
                max_tokens: 20,
                ..self.config.clone()
            },
            temperature: 0.0,
            messages: messages.into_iter().map(message).collect(),
            tools: Vec::new(),
            tool_choice: bolo_providers::ToolChoice::None,
            json: true,
            cache_key: self.cache_key.clone(),
            sent: Sent::default(),
        };
        let key = match kind {
            JudgeKind::HangUp => "hangup",
            JudgeKind::Voicemail => "is_voicemail",
        };
        let (llm, news, meter) = (self.llm.clone(), self.news.clone(), Meter::of(&ask));
        let counted = meter.clone();
        let task = tokio::spawn(async move {
            let (yes, used) = judging::judge(llm, ask, key, &counted, &news).await;
            tell(&news, News::Judged { id, yes, used }).await;
        });
        let _task = AbortOnDropHandle::new(task);
        self.judges.insert(id, Running { _task, meter });
    }
}

async fn answer_task(
    llm: Arc<dyn Llm>,
    ask: Ask,
    answer: AnswerId,
    meter: Meter,
    news: mpsc::Sender<News>,
) {
    let (mut thought, mut thought_at) = (String::new(), None);
    let (vendor, mut deltas) = (llm.name(), llm.answer(ask).ready_chunks(AT_ONCE));
    while let Some(chunk) = deltas.next().await {
        let mut text = String::new();
        for delta in chunk {
            if let Ok(Delta::Text(more)) = delta {
                meter.came(&more);
                text.push_str(&more);
                continue;
            }
            if !text.is_empty() {
                let text = std::mem::take(&mut text);
                tell(&news, News::Input(Input::Token { answer, text })).await;
            }
            let input = match delta {
                Ok(Delta::Text(_)) => continue,
                Ok(Delta::Reasoning(more)) => {
                    meter.came(&more);
                    thought.push_str(&more);
                    if thought_at.is_none_or(|at: Instant| at.elapsed() >= THOUGHTS) {
                        thought_at = Some(Instant::now());
                        tell(&news, News::Input(Input::Thinking { answer })).await;
                    }
                    continue;
                }
                Ok(Delta::Calling(name)) => {
                    tell(&news, News::Input(Input::ToolNamed { answer, name })).await;
                    continue;
                }
                Ok(Delta::Model { vendor, model }) => {
                    tell(&news, News::Model { vendor, model }).await;
                    continue;
                }
                Ok(Delta::Calls(calls)) => {
                    let call = |call: bolo_providers::Called| ToolCall {
                        id: call.id,
                        name: call.name,
                        arguments: call.arguments,
                    };
                    let calls = calls.into_iter().map(call).collect();
                    tell(&news, News::Input(Input::ToolCalls { answer, calls })).await;
                    continue;
                }
                Ok(Delta::Done {
                    finish,
                    input,
                    output,
                    cached,
                    estimated,
                }) => {
                    if !thought.is_empty() {
                        tell(
                            &news,
                            News::Thought {
                                answer,
                                text: std::mem::take(&mut thought),
                            },
                        )
                        .await;
                    }
                    let finish = match finish {
                        "length" => Finish::Length,
                        "tool_calls" => Finish::ToolCalls,
                        "content_filter" => Finish::ContentFilter,
                        _ => Finish::Stop,
                    };
                    Input::AnswerDone {
                        answer,
                        finish,
                        usage: TokenUse {
                            input,
                            output,
                            cached,
                            estimated,
                        },
                    }
                }
                Err(error) => Input::AnswerFailed {
                    answer,
                    fault: fault(&error),
                },
            };
            tell(&news, News::Input(input)).await;
            return;
        }
        if !text.is_empty() {
            tell(&news, News::Input(Input::Token { answer, text })).await;
        }
    }
    let error = Error {
        kind: ErrorKind::Dropped,
        vendor,
        role: "llm",
        cause: "connection lost".into(),
        retry_after: None,
    };
    tell(
        &news,
        News::Input(Input::AnswerFailed {
            answer,
            fault: fault(&error),
        }),
    )
    .await;
}

/// A closed inbox means that the call is over: nobody asks any more.
pub(crate) async fn tell(news: &mpsc::Sender<News>, what: News) {
    let _ = news.send(what).await;
}

fn message(message: Message) -> AskMessage {
    AskMessage {
        role: match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        },
        content: message.content,
        tool_calls: message
            .tool_calls
            .into_iter()
            .map(|call| (call.id, call.name, call.arguments))
            .collect(),
        tool_call_id: message.tool_call_id,
    }
}

fn tool_choice(choice: ToolChoice) -> bolo_providers::ToolChoice {
    match choice {
        ToolChoice::Auto => bolo_providers::ToolChoice::Auto,
        ToolChoice::None => bolo_providers::ToolChoice::None,
        ToolChoice::Forced(name) => bolo_providers::ToolChoice::Forced(name),
    }
}

fn tool(tool: Tool) -> AskTool {
    AskTool {
        name: tool.name,
        description: tool.description,
        parameters: tool.parameters,
    }
}

#[cfg(test)]
mod tests;
