//! The demo model: no language model at all, but rules that hold an appointment-booking conversation
//! over the phone. Served behind the same wire as a real one, so that a fresh clone can talk without
//! any key. It says of itself that it is scripted.
//!
//! It keeps no state: each request carries the whole conversation, and the rules are run over all of
//! the caller's turns again.

mod booking;
mod hear;
mod topics;

use serde_json::Value;

use super::rules::{self, Reply};
use booking::Booking;

/// What the demo model answers to a request's messages. Calls `end_call`, if that tool is offered, when
/// the conversation is over.
pub fn reply(body: &Value) -> Reply {
    let messages = body["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let told: Vec<String> = messages
        .iter()
        .filter(|message| message["role"] == "system" || message["role"] == "developer")
        .flat_map(|message| topics::sentences(&rules::content(message)))
        .collect();
    let mut booking = Booking::new(told);
    let mut said = String::new();
    let mut last_is_user = false;
    for message in messages {
        last_is_user = message["role"] == "user";
        if last_is_user {
            said = booking.hear(&rules::content(message));
        }
    }
    if !last_is_user {
        said = booking.prompted();
    }
    let ends = booking.is_over()
        && super::http::tools(body)
            .iter()
            .any(|tool| tool == "end_call");
    let reply = Reply::text(&said);
    if ends {
        reply.then_call("end_call", r#"{"reason":"the caller said goodbye"}"#)
    } else {
        reply
    }
}

#[cfg(test)]
mod tests;
