//! What a call is to follow: the agent, the call's facts and the runtime's settings, resolved once.
//! Serializable: it heads the event log.

use bolo_agent::{Agent, EndCallTool, LocalText, Route, ToolAction, Variables, fill};
use bolo_execution::{AgentId, Direction, ExecutionId};
use serde::{Deserialize, Serialize};

use crate::phrases::Lines;
use crate::prompt::{prompt, shown};
use crate::{Rules, ToolScript, VoicemailScript};

/// What is known of the call before its media starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The call.
    pub execution: ExecutionId,
    /// Its agent.
    pub agent: AgentId,
    /// Who called whom.
    pub direction: Direction,
    /// The far end.
    pub user_number: String,
    /// Our end.
    pub agent_number: String,
    /// `user_data` and the system variables of R80, time ones fixed at the call's start (R82).
    pub variables: Variables,
}

/// The script of one call. Built by [`Script::new`]; plain data from then on. Times in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Settings of the runtime with the agent's overrides.
    pub rules: Rules,
    /// Facts of the call.
    pub facts: CallFacts,
    /// Language of the agent: that of its voice.
    pub language: String,
    /// Names for the raw log.
    pub names: Names,
    /// What the agent says first; empty = it waits for the caller (R14, R21).
    pub welcome: String,
    /// From media start to the welcome (R15).
    pub welcome_delay_ms: u64,
    /// The transcriber may itself keep a turn open for this long after the last text (R29); 0 until whoever
    /// chooses the transcriber sets it.
    #[serde(default)]
    pub transcriber_pause_ms: u64,
    /// Drop what was said before the welcome's end (R19).
    pub discard_pre_welcome: bool,
    /// The system message (R83).
    pub prompt: String,
    /// The agent's part of it, its variables not filled in.
    #[serde(default)]
    pub template: String,
    /// Of the model.
    pub temperature: f32,
    /// Characters of a later piece for the synthesizer (R88).
    pub buffer_size: usize,
    /// Say long numbers in groups of three (R90).
    pub normalize_numbers: bool,
    /// From the last new text to the answer's first sound (R37).
    pub hold_ms: u64,
    /// Words that cut the agent off; 0 = never (R45, R46).
    pub words_to_interrupt: u32,
    /// Silence after an interruption (R54).
    pub backoff_ms: u64,
    /// Ask before the hold is over (R42).
    pub speculate: bool,
    /// How sure the transcriber must be of a turn's end to ask ahead of it; `None` = never (R41).
    #[serde(default)]
    pub eager_threshold: Option<f32>,
    /// `call_terminate` (R11).
    pub call_cap_ms: u64,
    /// Silence before we hang up; 0 = never (R153).
    pub hangup_after_silence_ms: u64,
    /// The question before that (R151).
    pub online_check: Option<OnlineCheck>,
    /// The last line; may be empty (R156).
    pub goodbye: String,
    /// A goodbye may be cut (R63).
    pub interruptible_goodbye: bool,
    /// How the conversation itself may end the call (R117, R155).
    pub ending: Ending,
    /// Acknowledge a pause that the model causes (R97).
    pub use_fillers: bool,
    /// Keypad input (R162).
    pub dtmf: bool,
    /// How machines that answer are found; `None` = nobody looks (R158).
    #[serde(default)]
    pub voicemail: Option<VoicemailScript>,
    /// Semantic routes in the agent's order (R120).
    pub routes: Vec<RouteScript>,
    /// What the model may call, in the agent's order (R98).
    #[serde(default)]
    pub tools: Vec<ToolScript>,
}

/// Names of models and vendors, as the raw log shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The language model.
    pub model: String,
    /// The transcriber's vendor.
    pub transcriber: String,
    /// The synthesizer's vendor.
    pub synthesizer: String,
}

/// The question whether the caller is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineCheck {
    /// Silence before it.
    pub after_ms: u64,
    /// Its text.
    pub text: String,
}

/// How the conversation itself may end the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It may not.
    Never,
    /// The model is offered `end_call`, with these criteria (R117).
    Tool(String),
    /// A judge is asked after each answer, with these criteria (R155).
    Judge(String),
}

/// What a semantic route says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteScript {
    /// Its name.
    pub name: String,
    /// One answer for all utterances, or one for each; variables filled.
    pub responses: Vec<String>,
}

impl RouteScript {
    fn new(route: &Route, variables: &Variables) -> Self {
        let responses = route
            .responses
            .iter()
            .map(|text| fill(text, variables))
            .collect();
        Self {
            name: route.name.clone(),
            responses,
        }
    }

    /// The answer to the utterance with this index.
    pub fn response(&self, utterance: u32) -> &str {
        let index = if self.responses.len() == 1 {
            0
        } else {
            utterance as usize
        };
        self.responses
            .get(index)
            .map(String::as_str)
            .unwrap_or_default()
    }
}

const DEFAULT_JUDGE: &str = "The conversation is over: the caller said goodbye, asked to end the call, or everything he called for is done and nothing is left open.";

impl Script {
    /// Resolves an agent for a call: variables filled, overrides applied. An override that does not fit
    /// is left out; [`Rules::with`] names it at save.
    pub fn new(agent: &Agent, facts: CallFacts, rules: &Rules) -> Self {
        let task = &agent.conversation;
        let config = &task.config;
        let variables = shown(&facts.variables);
        let language = task.synthesizer.language.clone();
        let filled = |text: &str| fill(text, &variables).trim().to_owned();
        let online = filled(in_language(&config.check_user_online_message, &language));
        let criteria = config
            .call_cancellation_prompt
            .as_deref()
            .map(filled)
            .filter(|text| !text.is_empty());
        let ending = match (
            config.hangup_after_llm_call,
            criteria,
            config.end_call_tool_mode,
        ) {
            (false, ..) => Ending::Never,
            (true, Some(criteria), EndCallTool::Primary) if task.llm.config.takes_tools() => {
                Ending::Tool(criteria)
            }
            (true, criteria, _) => {
                Ending::Judge(criteria.unwrap_or_else(|| DEFAULT_JUDGE.to_owned()))
            }
        };
        let goodbye = config
            .call_hangup_message
            .as_ref()
            .map(|text| filled(in_language(text, &language)));
        let routes = task
            .llm
            .routes
            .as_ref()
            .map(|routes| routes.routes.as_slice())
            .unwrap_or_default();
        let mut rules = rules.with_what_fits(&config.bolo);
        rules.llm_first_token_s *= u64::from(task.llm.config.patience());
        let transfer_line = lines_of(&rules, &language).transfer;
        let tools = task.tools.iter().map(|tool| {
            let line = tool.pre_call_message.as_ref();
            let line = line.map(|text| filled(in_language(text, &language)));
            let is_transfer = matches!(tool.action, ToolAction::Transfer(_));
            let default = if is_transfer { &transfer_line } else { "" };
            let line = line
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| default.to_owned());
            ToolScript::new(tool, line, &variables)
        });
        let tools = tools.collect();
        Self {
            tools,
            rules,
            names: Names {
                model: task.llm.config.model.clone(),
                transcriber: task.transcriber.vendor.as_str().to_owned(),
                synthesizer: task.synthesizer.vendor.as_str().to_owned(),
            },
            welcome: agent.welcome.as_deref().map(filled).unwrap_or_default(),
            welcome_delay_ms: config.welcome_message_delay_ms,
            transcriber_pause_ms: 0,
            discard_pre_welcome: config.discard_pre_welcome_utterance,
            prompt: prompt(
                &filled(&task.system_prompt),
                &facts,
                &variables,
                config.use_fillers,
            ),
            template: task.system_prompt.clone(),
            temperature: task.llm.config.temperature,
            buffer_size: task.synthesizer.buffer_size,
            normalize_numbers: config.normalize_numbers,
            hold_ms: config.incremental_delay_ms,
            words_to_interrupt: config.words_for_interruption,
            backoff_ms: config.interruption_backoff_ms,
            speculate: config.optimize_latency,
            eager_threshold: task
                .transcriber
                .flux
                .as_ref()
                .and_then(|flux| flux.eager_eot_threshold),
            call_cap_ms: config.call_terminate_ms,
            hangup_after_silence_ms: config.hangup_after_silence_ms,
            online_check: (config.check_if_user_online && !online.is_empty()).then_some(
                OnlineCheck {
                    after_ms: config.trigger_user_online_ms,
                    text: online,
                },
            ),
            goodbye: goodbye.unwrap_or_default(),
            interruptible_goodbye: config.interruptible_hangup_message,
            ending,
            use_fillers: config.use_fillers,
            dtmf: config.dtmf_enabled,
            voicemail: config.voicemail.as_ref().map(|voicemail| VoicemailScript {
                window_ms: voicemail.window_ms,
                interval_ms: voicemail.interval_ms,
                min_words: voicemail.min_words,
                first_ms: voicemail.first_ms,
                message: (voicemail.message.as_ref())
                    .map(|text| filled(in_language(text, &language)))
                    .unwrap_or_default(),
            }),
            routes: routes
                .iter()
                .map(|route| RouteScript::new(route, &variables))
                .collect(),
            language,
            facts,
        }
    }

    /// The lines of the agent's language, else the English ones.
    pub fn lines(&self) -> Lines {
        lines_of(&self.rules, &self.language)
    }

    /// The tool of this name.
    pub(crate) fn tool(&self, name: &str) -> Option<&ToolScript> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

fn lines_of(rules: &Rules, language: &str) -> Lines {
    found_lines(rules, language).1
}

/// With the language that they are in.
fn found_lines<'a>(rules: &Rules, language: &'a str) -> (&'a str, Lines) {
    let lines = |code: &str| rules.lines.get(code).cloned();
    let own = lines(language).or_else(|| lines(base(language)));
    match own {
        Some(lines) => (language, lines),
        None => ("en", lines("en").unwrap_or_default()),
    }
}

/// Said before a hang-up that a fault forces, where no call runs that could say it (R192): the text, and its
/// language. It may be empty.
pub fn apology(agent: &Agent, rules: &Rules) -> (String, String) {
    let rules = rules.with_what_fits(&agent.conversation.config.bolo);
    let (language, lines) = found_lines(&rules, &agent.conversation.synthesizer.language);
    (lines.apology, language.to_owned())
}

/// R167; a text for `hi` will do for `hi-IN`.
fn in_language<'a>(text: &'a LocalText, language: &str) -> &'a str {
    match text {
        LocalText::ByLanguage(texts) if !texts.contains_key(language) => text.pick(base(language)),
        _ => text.pick(language),
    }
}

/// `hi` of `hi-IN`.
fn base(language: &str) -> &str {
    language.split(['-', '_']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn script(task_config: Value, routes: Value) -> Script {
        of(&agent(task_config, routes))
    }

    fn agent(task_config: Value, routes: Value) -> Value {
        json!({
            "agent_config": {
                "agent_name": "Asha",
                "agent_welcome_message": "Hello {name}, this is {shop}",
                "tasks": [{
                    "tools_config": {
                        "llm_agent": { "llm_config": { "provider": "demo" }, "routes": routes },
                        "synthesizer": { "provider": "local" },
                        "transcriber": { "provider": "local" },
                    },
                    "task_config": task_config,
                }],
            },
            "agent_prompts": { "task_1": { "system_prompt": "You help {name}. {\"a\": 1} {call_sid}" } },
        })
    }

    fn of(agent: &Value) -> Script {
        let agent = Agent::parse(agent).unwrap();
        let recipient = json!({
            "name": "Ravi", "shop": "Asha's", "call_sid": "CA1",
            "current_date": "Saturday, August 22, 2026", "current_time": "09:05:00 AM", "timezone": "UTC",
        });
        let facts = CallFacts {
            execution: ExecutionId(Uuid::nil()),
            agent: AgentId(Uuid::nil()),
            direction: Direction::Inbound,
            user_number: "+15550100".into(),
            agent_number: String::new(),
            variables: Variables {
                recipient: recipient.as_object().unwrap().clone(),
                ..Variables::default()
            },
        };
        Script::new(&agent, facts, &Rules::default())
    }

    #[test] // R14, R80, R83
    fn texts_are_filled_and_the_prompt_ends_with_what_changes() {
        let script = script(json!({}), Value::Null);
        assert_eq!(script.welcome, "Hello Ravi, this is Asha's");
        insta::assert_snapshot!(script.prompt, @r#"
        You help Ravi. {"a": 1}

        ## This call
        agent_id: 00000000-0000-0000-0000-000000000000
        execution_id: 00000000-0000-0000-0000-000000000000
        user_number: +15550100

        ## Date and time
        Date: Saturday, August 22, 2026
        Time at the start of the call: 09:05:00 AM
        Time zone: UTC

        ## Transcript of the call so far
        "#);
    }

    #[test] // R144, R147
    fn an_events_properties_are_in_the_next_prompt() {
        let mut script = script(json!({}), Value::Null);
        let properties = json!({"name": "Clark"});
        script.learn("renamed", properties.as_object().unwrap().clone());
        assert!(script.prompt.starts_with("You help Clark. {\"a\": 1}\n"));
        assert_eq!(
            script.facts.variables.get("_last_event"),
            Some(&"renamed".into())
        );
        assert_eq!(script.welcome, "Hello Ravi, this is Asha's");
    }

    #[test] // R117, R155
    fn the_model_ends_the_call_by_tool_or_by_judge() {
        let ending = |config: Value| script(config, Value::Null).ending;
        assert_eq!(ending(json!({})), Ending::Never);
        let wish =
            json!({"hangup_after_LLMCall": true, "call_cancellation_prompt": "{name} is done."});
        assert_eq!(ending(wish.clone()), Ending::Tool("Ravi is done.".into()));
        let mut judged = wish;
        judged["end_call_tool_mode"] = "off".into();
        assert_eq!(ending(judged), Ending::Judge("Ravi is done.".into()));
        assert!(
            matches!(ending(json!({"hangup_after_LLMCall": true})), Ending::Judge(text) if text == DEFAULT_JUDGE)
        );
    }

    #[test]
    fn an_agents_overrides_go_over_the_servers_rules() {
        let script = script(
            json!({"bolo": {"pause_ms": 700, "resume_false_interruption": false}}),
            Value::Null,
        );
        assert_eq!(
            (
                script.rules.pause_ms,
                script.rules.resume_false_interruption
            ),
            (700, false)
        );
    }

    #[test] // R194
    fn a_model_that_is_to_think_is_waited_for() {
        for (effort, seconds) in [(Value::Null, 5), (json!("low"), 5), (json!("high"), 15)] {
            let mut wish = agent(json!({}), Value::Null);
            let task = &mut wish["agent_config"]["tasks"][0]["tools_config"];
            task["llm_agent"]["llm_config"]["reasoning_effort"] = effort;
            assert_eq!(of(&wish).rules.llm_first_token_s, seconds);
        }
    }

    #[test] // R121
    fn a_route_has_one_answer_or_one_for_each_utterance() {
        let route = |responses: &[&str]| RouteScript {
            name: "hours".into(),
            responses: responses.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert_eq!(route(&["Nine."]).response(7), "Nine.");
        assert_eq!(route(&["Nine.", "Ten."]).response(1), "Ten.");
        assert_eq!(route(&["Nine.", "Ten."]).response(2), "");
        assert!(script(json!({}), Value::Null).routes.is_empty());
    }

    #[test] // R167
    fn lines_follow_the_language_of_the_voice() {
        let mut script = script(json!({}), Value::Null);
        script.language = "de-AT".into();
        assert!(script.lines().recovery.starts_with("Entschuldigung"));
        script.language = "xx".into();
        assert!(script.lines().recovery.starts_with("Sorry"));
        let texts = LocalText::ByLanguage(
            [
                ("en".to_owned(), "Hi".to_owned()),
                ("hi".to_owned(), "नमस्ते".to_owned()),
            ]
            .into(),
        );
        assert_eq!(in_language(&texts, "hi-IN"), "नमस्ते");
        assert_eq!(in_language(&texts, "fr"), "Hi");
    }

    #[test] // R13: it heads the event log
    fn a_script_survives_its_way_through_json() {
        let script = script(json!({"hangup_after_LLMCall": true}), Value::Null);
        let text = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&text).unwrap(), script);
    }
}
