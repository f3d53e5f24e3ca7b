//! Asks models what dispositions want to know of a transcript that is tried. Source: api.md §17.

use bolo_agent::{Agent, Disposition, LlmConfig};
use bolo_execution::AccountId;
use bolo_providers::{Ask, Keys, llm};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::Calls;

/// Models asked at once for one transcript.
const AT_ONCE: usize = 4;

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
        Ok(Disposition::grouped(dispositions.iter().zip(verdicts)).into())
    }

    async fn ask_disposition(
        &self,
        account: AccountId,
        disposition: &Disposition,
        messages: [String; 2],
        own: &LlmConfig,
        keys: &Keys,
    ) -> Result<Value, AskError> {
        let (store, vendors) = (&self.inner.store, &self.inner.vendors);
        let custom = store.custom_model(account, &disposition.model).await?;
        let (llm, config) = vendors
            .llm_or(disposition.models(own, custom), keys)
            .map_err(AskError::NoModel)?;
        let ask = Ask::plain(config, messages, true, "dispositions".to_owned());
        let answer = llm::whole(&*llm, ask, None).await;
        let answer = answer.map_err(|error| AskError::Unavailable(error.to_string()))?;
        Ok(disposition.verdict(&answer.text))
    }
}
