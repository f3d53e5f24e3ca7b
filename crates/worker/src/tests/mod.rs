//! The worker over a real SQLite store, a carrier on the wire and a receiver of webhooks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod carrier;
mod delivering;
mod dialling;
mod hours;
mod lab;
mod post_call;
mod reconciling;
mod refusing;
mod retrying;
mod sweeping;

use std::sync::Arc;

use bolo_execution::{AccountId, AgentId, Direction, ExecutionId, Record, Status};

/// TLS that no test uses: all is plain HTTP on this machine.
pub(crate) fn tls() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let config = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(
        config
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    )
}

/// A queued outbound call.
pub(crate) fn record() -> Record {
    Record {
        id: ExecutionId::new(),
        account: AccountId::new(),
        agent: AgentId::new(),
        agent_version: 1,
        batch: None,
        status: Status::Queued,
        direction: Direction::Outbound,
        provider: "twilio".into(),
        to: "+14155550100".into(),
        from: String::new(),
        user_data: serde_json::Map::new(),
        voice_id: None,
        retry_config: None,
        bypass_guardrails: false,
        created_at: 0,
        updated_at: 0,
        due_at: 0,
        attempt: 0,
        carrier_call_id: None,
        initiated_at: None,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        hangup: None,
        error_message: None,
        transcript: None,
        answered_by_voice_mail: false,
        usage: None,
        cost: None,
        latency: None,
        has_recording: false,
        post_call_step: None,
        extraction_webhook_status: None,
        history: Vec::new(),
        summary: None,
        extracted: None,
        transfer: None,
    }
}
