//! The conversation task and its settings. Source: agent-config.md §2, §8.

use crate::{
    Fallbacks, LlmAgent, LocalText, Synthesizer, Tool, Transcriber, document::carrier, kinds,
    place::Place,
};

/// The task that talks; what a call runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationTask {
    /// What thinks.
    pub llm: LlmAgent,
    /// What speaks.
    pub synthesizer: Synthesizer,
    /// What listens.
    pub transcriber: Transcriber,
    /// What the model may call, in the submitted order.
    pub tools: Vec<Tool>,
    /// Who takes over where one of these can't be had.
    pub fallbacks: Fallbacks,
    /// `input.provider`: `twilio`, `default`, …
    pub input_provider: String,
    /// `agent_prompts.task_<n>.system_prompt`, variables not yet filled.
    pub system_prompt: String,
    /// Timings and habits.
    pub config: TaskConfig,
}

/// When the model may end the call with a tool (R117).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCallTool {
    /// The tool is offered; no judge runs.
    Primary,
    /// The judge decides after each answer.
    Off,
}

/// `task_config` with our defaults filled in. Times in ms whatever their unit in the document.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskConfig {
    /// Silence before we hang up; 0 = never. Default 10 s.
    pub hangup_after_silence_ms: u64,
    /// Wait after the last new transcript text before an answer is heard. Default 400.
    pub incremental_delay_ms: u64,
    /// Words that cut the agent off; 0 = never. Default 2.
    pub words_for_interruption: u32,
    /// Pause after an interruption. Default 0.
    pub interruption_backoff_ms: u64,
    /// Ask the model before the hold is over. Default true.
    pub optimize_latency: bool,
    /// The model may end the call.
    pub hangup_after_llm_call: bool,
    /// How it knows that the call is over.
    pub call_cancellation_prompt: Option<String>,
    /// The last line.
    pub call_hangup_message: Option<LocalText>,
    /// Hard cap of a call. Default 300 s.
    pub call_terminate_ms: u64,
    /// Acknowledge a pause that the model causes. Default false.
    pub use_fillers: bool,
    /// Default true.
    pub check_if_user_online: bool,
    /// Default "Hey, are you still there".
    pub check_user_online_message: LocalText,
    /// Silence before that line; already min(10 s, 0.6 × hang-up) where not given (R152).
    pub trigger_user_online_ms: u64,
    /// Look whether a machine answered; `None` = don't.
    pub voicemail: Option<Voicemail>,
    /// Keypad input. Default false.
    pub dtmf_enabled: bool,
    /// Drop what was said before the welcome's end. Default false.
    pub discard_pre_welcome_utterance: bool,
    /// Wait before the welcome, from media start. Default 0; documents give seconds, above 30 ms (R15).
    pub welcome_message_delay_ms: u64,
    /// A goodbye may be cut. Default false.
    pub interruptible_hangup_message: bool,
    /// Default primary.
    pub end_call_tool_mode: EndCallTool,
    /// What is heard around the agent; `None` = nothing.
    pub room: Option<Room>,
    /// Say digits of ids in groups. Default false.
    pub normalize_numbers: bool,
    /// `task_config.bolo`: overrides of `runtime.*` for this agent.
    pub bolo: serde_json::Map<String, serde_json::Value>,
}

/// A room to be heard around the agent (R164).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// `coffee-shop`.
    CoffeeShop,
    /// `office-ambience`.
    Office,
    /// `call-center`.
    CallCenter,
}

/// How machines that answer are found (R158, R159). Times in ms.
#[derive(Debug, Clone, PartialEq)]
pub struct Voicemail {
    /// From media start; later nobody looks any more. Default 30 s.
    pub window_ms: u64,
    /// Between two looks at text that may still change. Default 7 s.
    pub interval_ms: u64,
    /// Words such a text must have. Default 7.
    pub min_words: usize,
    /// Nobody looks earlier. Default 2.5 s.
    pub first_ms: u64,
    /// Left on the machine before hanging up.
    pub message: Option<LocalText>,
}

impl ConversationTask {
    /// `None` after a fault that leaves nothing to go on with; what can be read is read all the same, so
    /// that its faults are found too.
    pub(crate) fn read(task: &Place<'_>, prompt: Option<&Place<'_>>) -> Option<Self> {
        let tools = task
            .at("tools_config")
            .required()
            .filter(|tools| tools.object().is_some());
        let speaks_itself =
            (tools.as_ref()).is_some_and(|tools| kinds::check_s2s(&tools.at("s2s")));
        // Such a model stands in for all three, and brings nothing that runs.
        let needs = |place: &Place<'_>| !speaks_itself || place.is_present();
        let tools = tools.map(|tools| {
            let llm = Some(tools.at("llm_agent"))
                .filter(needs)
                .and_then(|place| LlmAgent::read(&place));
            let transcriber = Transcriber::read(&tools.at("transcriber"));
            let synthesizer = Some(tools.at("synthesizer"))
                .filter(needs)
                .and_then(|place| Synthesizer::read(&place, transcriber.as_ref()));
            let fallbacks = Fallbacks::read(&tools.at("fallbacks"));
            let [input, _output] = ["input", "output"].map(|end| read_end(&tools.at(end)));
            kinds::check_languages(&tools.at("multilingual_config"));
            let api_tools = crate::tools::read(&tools.at("api_tools"));
            (llm, transcriber, synthesizer, fallbacks, input, api_tools)
        });
        check_toolchain(&task.at("toolchain"));
        let config = TaskConfig::read(&task.at("task_config"));
        let system_prompt = match is_graph(task) {
            true => prompt.and_then(Place::text),
            false => prompt.and_then(Place::required_text),
        };
        let system_prompt = system_prompt.map(str::to_owned);
        let (llm, transcriber, synthesizer, fallbacks, input, tools) = tools?;
        if let Some(llm) = llm
            .as_ref()
            .filter(|llm| !llm.config.takes_tools() && !tools.is_empty())
        {
            let place = task.at("tools_config").at("api_tools").at("tools");
            place.fault(format_args!(
                "the models of {} call no tools",
                llm.config.provider
            ));
        }
        Some(Self {
            tools,
            llm: llm?,
            synthesizer: synthesizer?,
            transcriber: transcriber?,
            fallbacks,
            input_provider: input.unwrap_or_else(|| "default".to_owned()),
            system_prompt: system_prompt?,
            config: config?,
        })
    }
}

/// The carrier of `input` or `output`.
fn read_end(place: &Place<'_>) -> Option<String> {
    place.object()?;
    place.at("format").text();
    carrier(&place.at("provider"))
}

/// Each node of a graph has its own prompt.
pub(crate) fn is_graph(task: &Place<'_>) -> bool {
    let kind = task.at("tools_config").at("llm_agent").at("agent_type");
    kind.value().is_some_and(|kind| kind == "graph_agent")
}

fn check_toolchain(toolchain: &Place<'_>) {
    if toolchain.is_present() && toolchain.object().is_some() {
        toolchain.at("execution").word(&["parallel", "sequential"]);
        for pipeline in toolchain.at("pipelines").items().unwrap_or_default() {
            pipeline.texts();
        }
    }
}
