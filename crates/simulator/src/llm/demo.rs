//! The demo's scripted model: a receptionist who books an appointment by rules, without any key.
//!
//! Stateless: each request carries the whole call, and the booking is worked out anew from all that the
//! caller said. The same request always gets the same answer.

mod booking;
mod clock;
mod days;
mod judge;
mod names;
mod speech;
mod topics;
mod words;

use serde_json::Value;

use self::{
    booking::{Booking, Heard},
    words::Line,
};
use super::Reply;

/// What the call was so far.
#[derive(Debug, Default)]
struct Call {
    booking: Booking,
    /// What the caller's lines since the model last spoke brought.
    heard: Heard,
    /// Lines of the caller, with words in them.
    lines: usize,
    /// Answers of the model before this one.
    answers: usize,
    /// The newest of them.
    last_answer: String,
}

impl Call {
    fn user(&mut self, text: &str) {
        for text in text.lines() {
            let line = Line::new(text);
            if !line.is_empty() {
                self.lines += 1;
                self.heard = self.heard.then(self.booking.hear(&line));
            }
        }
    }

    fn assistant(&mut self, text: String) {
        if !text.trim().is_empty() {
            self.answers += 1;
            self.last_answer = text;
            self.heard = Heard::default();
        }
    }
}

/// What the model answers to the body of a chat completion request (wire-providers.md §3). With
/// `response_format` JSON, or a system prompt that asks for one, it answers as the judge of a call's end:
/// `{"hangup": "Yes"}` or `"No"`. When the caller says goodbye and the tool `end_call` is offered, the
/// answer calls it.
pub fn reply(request: &Value) -> Reply {
    let messages = request["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if judge::is_asked(request, messages) {
        return Reply::text(judge::answer(messages));
    }
    let can_end = offers_end_call(request);
    if let Some(last) = messages.last()
        && (last["role"] == "tool" || (!can_end && wants_goodbye(last)))
    {
        return Reply::text(speech::GOODBYE);
    }
    let mut call = Call::default();
    for message in messages {
        match message["role"].as_str() {
            Some("user") => call.user(&text_of(message)),
            Some("assistant") => call.assistant(text_of(message)),
            _ => {}
        }
    }
    let reply = Reply::text(speech::answer(&call));
    if call.heard.ends && can_end {
        reply.then_call("end_call", "{}")
    } else {
        reply
    }
}

/// The text of a message, given whole or in parts.
fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

fn offers_end_call(request: &Value) -> bool {
    let tools = request["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    request["tool_choice"] != "none"
        && tools
            .iter()
            .any(|tool| tool["function"]["name"] == "end_call")
}

/// "Say one short goodbye."
fn wants_goodbye(message: &Value) -> bool {
    Line::new(&text_of(message)).has(&["short|brief * goodbye", "say * goodbye $"])
}

#[cfg(test)]
mod tests;
