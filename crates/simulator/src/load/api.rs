//! The server's REST interface, as far as a load run asks for it.

use std::time::Duration;

use serde_json::Value;

use super::Target;
use crate::Error;

/// A client of the server under load.
pub(super) struct Api {
    pub(super) http: reqwest::Client,
    pub(super) target: Target,
}

impl Api {
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.target.base_url))
            .bearer_auth(&self.target.api_key);
        let answer = request.json(body).send().await.map_err(Error::Client)?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(Error::Client)?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(Error::Peer(format!(
                "{path}: {status}: {}",
                body["message"]
            )))
        }
    }

    /// Creates an agent; its id.
    pub(super) async fn create_agent(&self, document: &Value) -> Result<String, Error> {
        let created = self.post("/v2/agent", document).await?;
        let id = created["agent_id"].as_str();
        id.map(str::to_owned)
            .ok_or_else(|| Error::Peer("/v2/agent: no agent_id in the answer".into()))
    }

    /// The status of an execution, once it is final; the last one seen if that takes too long.
    pub(super) async fn settled(&self, execution: &str) -> Result<String, Error> {
        let url = format!("{}/executions/{execution}", self.target.base_url);
        let mut status = String::new();
        for _ in 0..300 {
            let answer = self
                .http
                .get(&url)
                .bearer_auth(&self.target.api_key)
                .send()
                .await
                .map_err(Error::Client)?;
            let body: Value = answer.json().await.map_err(Error::Client)?;
            status = body["status"].as_str().unwrap_or("unreadable").to_owned();
            if ![
                "queued",
                "initiated",
                "ringing",
                "in-progress",
                "call-disconnected",
            ]
            .contains(&status.as_str())
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(status)
    }
}
