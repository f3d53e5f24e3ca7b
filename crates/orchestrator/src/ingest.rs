//! Looks a caller up where the agent says, before the call is answered: by the customer's server, in an
//! uploaded list, in a public sheet. Source: runtime.md R12, agent-config.md `ingest_source_config`.

use std::time::Duration;

use bolo_agent::IngestSource;
use bolo_execution::{AccountId, AgentId, ExecutionId};
use bolo_store::Kind;
use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use crate::{Calls, table};

/// The caller waits meanwhile.
const LIMIT: Duration = Duration::from_secs(1);
/// Read of an answer.
const READ: usize = 5 << 20;
/// The column of the number.
const NUMBER: &str = "contact_number";

/// Who calls whom.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Whose agent.
    pub account: AccountId,
    /// Who is called.
    pub agent: AgentId,
    /// The call.
    pub execution: ExecutionId,
    /// Who calls, E.164.
    pub number: &'a str,
}

/// Why a caller could not be looked up.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it took longer than a second")]
    Slow,
    #[error("{0}")]
    Failed(String),
}

impl Calls {
    /// What is known of a caller; `None` when nothing is, or when the source fails, which is logged.
    pub async fn look_up(
        &self,
        source: &IngestSource,
        caller: Caller<'_>,
    ) -> Option<Map<String, Value>> {
        let found = tokio::time::timeout(LIMIT, self.find(source, caller)).await;
        match found.unwrap_or(Err(Fault::Slow)) {
            Ok(found) => found.filter(|found| !found.is_empty()),
            Err(error) => {
                tracing::warn!(agent_id = %caller.agent, %error, "a caller could not be looked up");
                None
            }
        }
    }

    async fn find(
        &self,
        source: &IngestSource,
        caller: Caller<'_>,
    ) -> Result<Option<Map<String, Value>>, Fault> {
        match source {
            IngestSource::Api { url, token } => {
                let mut url = url.clone();
                url.query_pairs_mut()
                    .append_pair("contact_number", caller.number)
                    .append_pair("agent_id", &caller.agent.to_string())
                    .append_pair("execution_id", &caller.execution.to_string());
                let Some(text) = self.get(url, Some(token)).await? else {
                    return Ok(None);
                };
                match serde_json::from_str(&text) {
                    Ok(Value::Object(found)) => Ok(Some(found)),
                    Ok(Value::Null) => Ok(None),
                    _ => Err(Fault::Failed("the answer is no JSON object".to_owned())),
                }
            }
            IngestSource::List(name) => {
                let list = self
                    .inner
                    .store
                    .document_named(caller.account, Kind::ContactList, name);
                match list.await {
                    Ok(list) => {
                        let text = list.body["csv"].as_str().unwrap_or_default();
                        Ok(table::row_of(text, NUMBER, caller.number))
                    }
                    Err(bolo_store::Error::NotFound) => {
                        Err(Fault::Failed(format!("no list {name:?} was uploaded")))
                    }
                    Err(error) => Err(Fault::Failed(error.to_string())),
                }
            }
            IngestSource::Sheet(url) => {
                let text = self.get(url.clone(), None).await?.unwrap_or_default();
                Ok(table::row_of(&text, NUMBER, caller.number))
            }
        }
    }

    /// The text of an answer; `None` for 404.
    async fn get(&self, url: Url, token: Option<&str>) -> Result<Option<String>, Fault> {
        let failed = |error: reqwest::Error| Fault::Failed(error.without_url().to_string());
        let request = self.inner.settings.public.request(Method::GET, url);
        let mut request = request.map_err(|error| Fault::Failed(error.to_string()))?;
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(Fault::Failed(format!("it answered {status}")));
        }
        let mut read = Vec::new();
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            read.extend_from_slice(&chunk.map_err(failed)?);
            if read.len() > READ {
                return Err(Fault::Failed(format!(
                    "the answer is larger than {READ} bytes"
                )));
            }
        }
        Ok(Some(String::from_utf8_lossy(&read).into_owned()))
    }
}
