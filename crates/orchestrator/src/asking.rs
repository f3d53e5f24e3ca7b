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
use bolo_providers::{Ask, AskMessage, AskTool, Delta, Error, ErrorKind, Llm};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{faults::fault, library::KnowledgeSource, routes::RouteSource};

/// A judge that takes longer says no (R155).
const JUDGE: Duration = Duration::from_secs(3);
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
    /// Tokens of a judge, which no input tells of.
    Used(TokenUse),
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

struct Running {
    _task: AbortOnDropHandle<()>,
    /// Characters of the request, and of what came so far.
    sent: u64,
    came: Arc<AtomicU64>,
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
    judges: BTreeMap<u32, AbortOnDropHandle<()>>,
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
        };
        let sent = characters(&ask.messages);
        let came = Arc::new(AtomicU64::new(0));
        let (llm, knowledge) = (self.llm.clone(), self.knowledge.clone());
        let (counted, news) = (came.clone(), self.news.clone());
        let task = async move {
            let mut ask = ask;
            if let Some(knowledge) = knowledge {
                ask.messages.extend(knowledge.message(&ask.messages).await);
            }
            answer_task(llm, ask, answer, counted, news).await;
        };
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.asks.insert(
            answer.0,
            Running {
                _task: task,
                sent,
                came,
            },
        );
    }

    /// Drops a request, or one that broke off; what it will have cost.
    pub(crate) fn cancel(&mut self, answer: AnswerId) -> Option<TokenUse> {
        let running = self.asks.remove(&answer.0)?;
        Some(TokenUse {
            input: running.sent / 4,
            output: running.came.load(Ordering::Relaxed) / 4,
            cached: 0,
            estimated: true,
        })
    }

    /// The request has ended by itself.
    pub(crate) fn ended(&mut self, answer: AnswerId) {
        self.asks.remove(&answer.0);
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
        };
        let key = match kind {
            JudgeKind::HangUp => "hangup",
            JudgeKind::Voicemail => "is_voicemail",
        };
        let (llm, news) = (self.llm.clone(), self.news.clone());
        self.judges.retain(|_, judge| !judge.is_finished());
        let task = tokio::spawn(async move {
            let yes = tokio::time::timeout(JUDGE, judge(llm, ask, key, &news))
                .await
                .unwrap_or(false);
            tell(&news, News::Input(Input::Judged { id, yes })).await;
        });
        self.judges.insert(id, AbortOnDropHandle::new(task));
    }
}

async fn answer_task(
    llm: Arc<dyn Llm>,
    ask: Ask,
    answer: AnswerId,
    came: Arc<AtomicU64>,
    news: mpsc::Sender<News>,
) {
    let mut thought = String::new();
    let (vendor, mut deltas) = (llm.name(), llm.answer(ask).ready_chunks(AT_ONCE));
    while let Some(chunk) = deltas.next().await {
        let mut text = String::new();
        for delta in chunk {
            if let Ok(Delta::Text(more)) = delta {
                came.fetch_add(more.chars().count() as u64, Ordering::Relaxed);
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
                    thought.push_str(&more);
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

async fn judge(llm: Arc<dyn Llm>, ask: Ask, key: &str, news: &mpsc::Sender<News>) -> bool {
    let mut text = String::new();
    let mut deltas = llm.answer(ask);
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(Delta::Text(more)) => text.push_str(&more),
            Ok(Delta::Reasoning(_) | Delta::Calling(_) | Delta::Calls(_)) => {}
            Ok(Delta::Model { vendor, model }) => tell(news, News::Model { vendor, model }).await,
            Ok(Delta::Done {
                input,
                output,
                cached,
                estimated,
                ..
            }) => {
                tell(
                    news,
                    News::Used(TokenUse {
                        input,
                        output,
                        cached,
                        estimated,
                    }),
                )
                .await;
            }
            Err(error) => {
                tracing::warn!(%error, "a judge failed");
                return false;
            }
        }
    }
    verdict(&text, key)
}

/// Reads `{"<key>": "Yes"}`, also within a code fence.
fn verdict(text: &str, key: &str) -> bool {
    let json = text
        .find('{')
        .zip(text.rfind('}'))
        .and_then(|(from, to)| text.get(from..=to));
    let value: Option<serde_json::Value> = json.and_then(|json| serde_json::from_str(json).ok());
    match value.as_ref().and_then(|value| value.get(key)) {
        Some(serde_json::Value::String(word)) => word.trim().eq_ignore_ascii_case("yes"),
        Some(serde_json::Value::Bool(yes)) => *yes,
        _ => false,
    }
}

/// A closed inbox means that the call is over: nobody asks any more.
async fn tell(news: &mpsc::Sender<News>, what: News) {
    let _ = news.send(what).await;
}

fn characters(messages: &[AskMessage]) -> u64 {
    messages
        .iter()
        .filter_map(|message| message.content.as_ref())
        .map(|text| text.chars().count() as u64)
        .sum()
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
mod tests {
    use super::verdict;

    #[test]
    fn a_verdict_is_read_from_json_fenced_or_not_and_anything_else_is_a_no() {
        assert!(verdict(r#"{"hangup":"Yes"}"#, "hangup"));
        assert!(verdict("```json\n{\"hangup\": \"yes\"}\n```", "hangup"));
        assert!(verdict(r#"{"hangup":true}"#, "hangup"));
        assert!(!verdict(r#"{"hangup":"No"}"#, "hangup"));
        assert!(!verdict(r#"{"voicemail":"Yes"}"#, "hangup"));
        assert!(!verdict("Yes", "hangup"));
        assert!(!verdict("} {", "hangup"));
    }
}
