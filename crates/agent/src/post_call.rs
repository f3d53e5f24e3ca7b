//! What is done after a call, in the agent's order. Source: agent-config.md §2, runtime.md R181 to R185.

use url::Url;

use crate::{LlmAgent, LlmConfig, place::Place};

/// A task after the call.
#[derive(Debug, Clone, PartialEq)]
pub enum PostCallTask {
    /// Facts are drawn from the transcript, as JSON.
    Extraction {
        /// The prompt of the task, where it has one.
        prompt: Option<String>,
        /// `extraction_details`: what to look for.
        details: Option<String>,
        /// Who looks.
        model: LlmConfig,
    },
    /// The transcript in a paragraph.
    Summarization {
        /// `summarization_details`, else the prompt of the task: what to heed.
        details: Option<String>,
        /// Who writes.
        model: LlmConfig,
    },
    /// `gpt_assistants[0].custom_questions`: a numbered list of facts to draw. The older way to ask what
    /// dispositions ask; not done where one of these is linked.
    CustomQuestions {
        /// The list.
        questions: String,
        /// Who looks: the agent's own model.
        model: LlmConfig,
    },
    /// What was extracted is sent there.
    Webhook {
        /// Where to.
        url: Url,
    },
}

/// Longest answer of a model that extracts; a document that names another is heeded.
const MAX_TOKENS: u32 = 2000;

impl PostCallTask {
    /// Reads `gpt_assistants`, of which the first one's questions are asked.
    pub(crate) fn custom_questions(assistants: &Place<'_>, own: &LlmConfig) -> Option<Self> {
        let first = assistants.items()?.into_iter().next()?;
        first.object()?;
        let questions = first.at("custom_questions").some_text()?.to_owned();
        let model = LlmConfig {
            max_tokens: MAX_TOKENS,
            request_json: true,
            stop: Vec::new(),
            ..own.clone()
        };
        Some(Self::CustomQuestions { questions, model })
    }

    /// `None` after a fault.
    pub(crate) fn read(task: &Place<'_>, kind: &str, prompt: Option<&Place<'_>>) -> Option<Self> {
        let tools = task.at("tools_config");
        if kind == "webhook" {
            let url = tools.at("api_tools").at("webhookURL");
            let url = url.or(tools.at("webhook_url")).required()?.url()?;
            return Some(Self::Webhook { url });
        }
        let agent = tools.at("llm_agent");
        let nested = agent.at("llm_config");
        let said = |key: &str| {
            let text = nested.at(key).or(agent.at(key)).some_text();
            text.map(str::to_owned)
        };
        let prompt = prompt
            .and_then(|prompt| prompt.some_text())
            .map(str::to_owned);
        let names_length = nested.at("max_tokens").or(agent.at("max_tokens"));
        let mut model = LlmAgent::read(&agent)?.config;
        if !names_length.is_present() {
            model.max_tokens = MAX_TOKENS;
        }
        Some(match kind {
            "extraction" => Self::Extraction {
                prompt,
                details: said("extraction_details"),
                model,
            },
            _ => Self::Summarization {
                details: said("summarization_details").or(prompt),
                model,
            },
        })
    }
}
