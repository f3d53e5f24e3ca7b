//! A client of our own REST API, for `call` and `demo`. It reads JSON as any client would.

use std::sync::Arc;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;

/// Base address and key.
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    pub fn new(base: String, key: String, tls: &Arc<rustls::ClientConfig>) -> anyhow::Result<Self> {
        let http = bolo_providers::http::client(tls).context("can't make the HTTP client")?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            key,
        })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Raw bytes, for recordings.
    pub async fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.key)
            .send()
            .await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("can't reach {}", self.base))?;
        let status = answer.status();
        let value: Value = answer
            .json()
            .await
            .with_context(|| format!("{path}: unreadable answer ({status})"))?;
        if !status.is_success() {
            bail!(
                "{path}: {status}: {}",
                value["message"].as_str().unwrap_or_default()
            );
        }
        Ok(value)
    }
}
