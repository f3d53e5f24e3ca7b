//! Events of an answer of Gemini's. Source: wire-providers.md §3.4 (google); Google's API reference.

use serde_json::{Value, value::RawValue};

use super::{
    super::{
        failure,
        gathered::{Gathered, Piece, Usage, new_call_id},
        server::Reader,
    },
    Signatures,
};
use crate::{Error, ErrorKind, error::Origin};

/// Reads the events of one answer.
pub(super) struct Events {
    origin: Origin,
    signatures: Signatures,
    calls: u64,
}

impl Events {
    pub(super) fn new(origin: Origin, signatures: Signatures) -> Self {
        Self {
            origin,
            signatures,
            calls: 0,
        }
    }

    fn part(&mut self, part: &Value, gathered: &mut Gathered) {
        if let Some(text) = part["text"].as_str() {
            match part["thought"].as_bool() {
                Some(true) => gathered.thought(text.to_owned()),
                _ => gathered.text(text.to_owned()),
            }
        }
        let Some(call) = part.get("functionCall") else {
            return;
        };
        // Whole in one event; its id is ours, as most models give none.
        let id = new_call_id();
        if let Some(signature) = part["thoughtSignature"].as_str() {
            self.signatures.keep(&id, signature);
        }
        gathered.call(Piece {
            index: self.calls,
            id,
            name: call["name"].as_str().unwrap_or_default().to_owned(),
            arguments: match &call["args"] {
                Value::Null => String::new(),
                arguments => arguments.to_string(),
            },
        });
        self.calls += 1;
    }
}

impl Reader for Events {
    fn event(&mut self, event: &RawValue, gathered: &mut Gathered) -> Result<bool, Error> {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        if let Some(error) = event.get("error") {
            return Err(failure::in_stream(self.origin, error));
        }
        let bill = &event["usageMetadata"];
        let count = |name: &str| bill[name].as_u64().unwrap_or_default();
        if bill.is_object() {
            gathered.usage(Usage {
                input: count("promptTokenCount"),
                output: count("candidatesTokenCount") + count("thoughtsTokenCount"),
                cached: count("cachedContentTokenCount"),
            });
        }
        if event["promptFeedback"]["blockReason"].is_string() {
            return Err(self
                .origin
                .fault(ErrorKind::Content, "refused for its content"));
        }
        let candidate = &event["candidates"][0];
        for part in candidate["content"]["parts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            self.part(part, gathered);
        }
        match candidate["finishReason"].as_str() {
            None => {}
            Some("STOP") => gathered.finish("stop"),
            Some("MAX_TOKENS") => gathered.finish("length"),
            Some(
                "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE"
                | "MODEL_ARMOR",
            ) => gathered.finish("content_filter"),
            Some(reason) => {
                tracing::info!(vendor = self.origin.vendor, reason, "unknown finish reason");
                gathered.finish("stop");
            }
        }
        // No event says that it is the last: the body ends.
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::Delta;

    fn read(events: &[Value]) -> Result<(Vec<Delta>, Signatures), Error> {
        let signatures = Signatures::default();
        let origin = super::super::super::dialect::dialect("google")
            .unwrap()
            .origin();
        let mut reader = Events::new(origin, signatures.clone());
        let mut gathered = Gathered::default();
        for event in events {
            reader.event(&to_raw_value(event).unwrap(), &mut gathered)?;
        }
        gathered.end();
        Ok((std::iter::from_fn(|| gathered.next()).collect(), signatures))
    }

    #[test]
    fn thoughts_text_calls_with_signatures_and_the_bill() {
        let (deltas, signatures) = read(&[
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hm", "thought": true}, {"text": "One moment."}]}, "index": 0}], "usageMetadata": {"promptTokenCount": 9}}),
            json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "sealed"}, {"functionCall": {"name": "g"}}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "cachedContentTokenCount": 5}}),
        ])
        .unwrap();
        assert_eq!(
            deltas[..2],
            [
                Delta::Reasoning("hm".into()),
                Delta::Text("One moment.".into())
            ]
        );
        let Delta::Calls(calls) = &deltas[4] else {
            panic!("{deltas:?}");
        };
        assert_eq!((&*calls[0].name, &*calls[0].arguments), ("f", "{\"a\":1}"));
        assert_eq!((&*calls[1].name, &*calls[1].arguments), ("g", "{}"));
        assert_eq!(signatures.of(&calls[0].id).as_deref(), Some("sealed"));
        assert_eq!(signatures.of(&calls[1].id), None);
        let done = Delta::Done {
            finish: "tool_calls",
            input: 9,
            output: 6,
            cached: 5,
            estimated: false,
        };
        assert_eq!(deltas[5], done);
    }

    #[test]
    fn refusals_and_failures() {
        let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
        assert_eq!(read(&[blocked]).err().unwrap().kind, ErrorKind::Content);
        let filtered = json!({"candidates": [{"finishReason": "SAFETY"}]});
        let (deltas, _) = read(&[filtered]).unwrap();
        assert!(matches!(
            deltas[0],
            Delta::Done {
                finish: "content_filter",
                ..
            }
        ));
        let busy =
            json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
        assert_eq!(read(&[busy]).err().unwrap().kind, ErrorKind::Server);
    }
}
