//! An answer that nobody hears: asked in two messages, read to its end at once.

use bolo_agent::LlmConfig;
use futures_util::StreamExt;

use super::{Ask, AskMessage, Delta, Llm, ToolChoice};
use crate::Error;

/// What a model said, and what it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What it said.
    pub text: String,
    /// Who said it: the model that was asked, or its fallback.
    pub model: String,
    /// Prompt tokens.
    pub input: u64,
    /// Completion tokens.
    pub output: u64,
    /// Of the prompt, from the vendor's cache.
    pub cached: u64,
    /// The vendor sent no usage: counted as characters / 4.
    pub estimated: bool,
}

impl Ask {
    /// A task and what to do it on, without tools and as exactly as a model can.
    pub fn plain(
        config: LlmConfig,
        [system, user]: [String; 2],
        json: bool,
        cache_key: String,
    ) -> Self {
        let message = |role, content| AskMessage {
            role,
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: None,
        };
        Self {
            config,
            temperature: 0.0,
            messages: vec![message("system", system), message("user", user)],
            tools: Vec::new(),
            tool_choice: ToolChoice::None,
            json,
            cache_key,
        }
    }
}

/// Asks, and waits for the whole answer.
pub async fn whole(llm: &dyn Llm, ask: Ask) -> Result<Whole, Error> {
    let mut whole = Whole {
        text: String::new(),
        model: ask.config.model.clone(),
        input: 0,
        output: 0,
        cached: 0,
        estimated: false,
    };
    let mut deltas = llm.answer(ask);
    while let Some(delta) = deltas.next().await {
        match delta? {
            Delta::Text(piece) => whole.text.push_str(&piece),
            Delta::Model { model, .. } => whole.model = model,
            Delta::Done {
                input,
                output,
                cached,
                estimated,
                ..
            } => {
                (whole.input, whole.output) = (input, output);
                (whole.cached, whole.estimated) = (cached, estimated);
            }
            Delta::Reasoning(_) | Delta::Calling(_) | Delta::Calls(_) => {}
        }
    }
    Ok(whole)
}
