//! Asks models what dispositions want to know of a transcript. Source: api.md §17.

use std::sync::Arc;

use bolo_agent::{Agent, Disposition, LlmConfig};
use bolo_execution::AccountId;
use bolo_providers::{Ask, AskMessage, Delta, Keys, Llm, ToolChoice};
use bolo_store::Kind;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use crate::Calls;

/// Models asked at once for one transcript.
const AT_ONCE: usize = 4;
const LONGEST_ANSWER: u32 = 1000;

/// Dispositions could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Mend the account: a model can't be asked with what it has.
    #[error("{0}")]
    NoModel(bolo_providers::Error),
    /// Try later.
    #[error("{0}")]
    Unavailable(String),
}

impl From<bolo_store::Error> for AskError {
    fn from(error: bolo_store::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Calls {
    /// Answers by category and name. `agent` gives the model where a disposition's own can't be had.
    pub async fn ask_dispositions(
        &self,
        account: AccountId,
        agent: &Agent,
        dispositions: &[Disposition],
        transcript: &str,
        call_date: Option<&str>,
    ) -> Result<Value, AskError> {
        let keys = Keys(self.inner.store.secrets(account).await?);
        let own = &agent.conversation.llm.config;
        let asked: Vec<_> = dispositions
            .iter()
            .map(|disposition| {
                let messages = disposition.prompt(transcript, call_date);
                self.ask_disposition(account, disposition, messages, own, &keys)
                    .boxed()
            })
            .collect();
        let verdicts: Vec<Value> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let mut grouped: Map<String, Value> = Map::new();
        for (disposition, verdict) in dispositions.iter().zip(verdicts) {
            let group = grouped
                .entry(disposition.category.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(group) = group {
                group.insert(disposition.name.clone(), verdict);
            }
        }
        Ok(grouped.into())
    }

    async fn ask_disposition(
        &self,
        account: AccountId,
        disposition: &Disposition,
        messages: [String; 2],
        own: &LlmConfig,
        keys: &Keys,
    ) -> Result<Value, AskError> {
        let (llm, config) = self.model(account, &disposition.model, own, keys).await?;
        let answer = ask(&*llm, config, messages).await?;
        Ok(disposition.verdict(&answer))
    }

    /// The model of this name: the account's custom one, the agent's, OpenAI's; where OpenAI can't be asked,
    /// the agent's again.
    async fn model(
        &self,
        account: AccountId,
        name: &str,
        own: &LlmConfig,
        keys: &Keys,
    ) -> Result<(Arc<dyn Llm>, LlmConfig), AskError> {
        let plain = LlmConfig {
            max_tokens: LONGEST_ANSWER,
            request_json: true,
            stop: Vec::new(),
            ..own.clone()
        };
        let named = |provider: &str, base_url| LlmConfig {
            provider: provider.to_owned(),
            model: name.to_owned(),
            base_url,
            reasoning_effort: None,
            verbosity: None,
            ..plain.clone()
        };
        let custom = self
            .inner
            .store
            .document_named(account, Kind::Model, name)
            .await;
        let config = match custom {
            Ok(custom) => {
                let url = custom.body["custom_model_url"].as_str().unwrap_or_default();
                named("custom", url.parse().ok())
            }
            Err(bolo_store::Error::NotFound) if name == own.model => plain,
            Err(bolo_store::Error::NotFound) => {
                let openai = named("openai", None);
                match self.inner.vendors.llm(&openai, keys) {
                    Ok(llm) => return Ok((llm, openai)),
                    Err(_) => plain,
                }
            }
            Err(other) => return Err(other.into()),
        };
        let llm = self
            .inner
            .vendors
            .llm(&config, keys)
            .map_err(AskError::NoModel)?;
        Ok((llm, config))
    }
}

async fn ask(
    llm: &dyn Llm,
    config: LlmConfig,
    [system, user]: [String; 2],
) -> Result<String, AskError> {
    let message = |role, content| AskMessage {
        role,
        content: Some(content),
        tool_calls: Vec::new(),
        tool_call_id: None,
    };
    let mut answer = llm.answer(Ask {
        config,
        temperature: 0.0,
        messages: vec![message("system", system), message("user", user)],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        json: true,
        cache_key: "dispositions".to_owned(),
    });
    let mut text = String::new();
    while let Some(delta) = answer.next().await {
        match delta {
            Ok(Delta::Text(piece)) => text.push_str(&piece),
            Ok(_) => {}
            Err(error) => return Err(AskError::Unavailable(error.to_string())),
        }
    }
    Ok(text)
}
