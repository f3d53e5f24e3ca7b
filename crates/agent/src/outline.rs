//! What can be told of any stored document, whether this version can run it or not.

use serde_json::Value;
use url::Url;

use crate::{
    document::{ANY_CARRIER, webhook_statuses},
    place::{FaultList, Place},
};

/// What a call's row needs of its agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outline {
    /// `webhook_url`.
    pub webhook_url: Option<Url>,
    /// `webhook_statuses`: which statuses are sent; `None` = all.
    pub webhook_statuses: Option<Vec<String>>,
    /// `telephony_provider`, else the first conversation's `input.provider`, when it names a carrier.
    pub telephony_provider: Option<String>,
}

impl Outline {
    /// Takes what there is; what is wrong counts as absent.
    pub fn read(body: &Value) -> Self {
        let ignored = FaultList::default();
        let config = Place::new("", Some(body), &ignored).at("agent_config");
        let tasks = config.at("tasks").items().unwrap_or_default();
        let conversation = tasks.iter().find(|task| {
            let kind = task.at("task_type");
            !kind.is_present() || kind.text() == Some("conversation")
        });
        let of_task = conversation.map(|task| task.at("tools_config").at("input").at("provider"));
        let carrier = [Some(config.at("telephony_provider")), of_task]
            .into_iter()
            .flatten()
            .find_map(|place| place.some_text().filter(|name| *name != ANY_CARRIER));
        Self {
            webhook_url: config.at("webhook_url").url(),
            webhook_statuses: webhook_statuses(&config.at("webhook_statuses")),
            telephony_provider: carrier.map(str::to_owned),
        }
    }
}
