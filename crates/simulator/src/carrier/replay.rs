//! A recorded media session, played again: the carrier's messages at their times, with this call's ids.
//!
//! A recording is JSON, a message of the socket a line:
//!
//! ```json
//! {"ms": 0, "from": "carrier", "text": "{\"event\":\"connected\", …}"}
//! {"ms": 212, "from": "server", "text": "{\"event\":\"media\", …}"}
//! {"ms": 220, "from": "carrier", "binary": "fwD/…"}
//! ```

use std::{collections::VecDeque, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dialect::Sent;
use crate::Error;

/// A message of a recorded media session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Since the socket opened, milliseconds.
    pub ms: u64,
    /// Who sent it.
    pub from: Side,
    /// What it said, as it stood on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In its place: a binary message, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The carrier.
    Carrier,
    /// The server, which now answers for itself: passed over.
    Server,
}

/// Fields of the first message that name the call and its stream.
const IDS: [&str; 10] = [
    "streamSid",
    "callSid",
    "accountSid",
    "streamId",
    "callId",
    "accountId",
    "stream_sid",
    "call_sid",
    "account_sid",
    "channel_id",
];
/// Fields of it that repeat what this call's document asked for.
const ASKED: [&str; 3] = ["customParameters", "custom_parameters", "extra_headers"];
/// What answers this server's own messages, or its end: that is the carrier's to say anew.
const ANSWERS: [&str; 5] = [
    "mark",
    "playedStream",
    "MEDIA_MARK_PROCESSED",
    "clearedAudio",
    "stop",
];

/// The carrier's side of a recording.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay {
    /// When, ms since `start`, and what; texts of JSON taken apart.
    waiting: VecDeque<(u64, Message)>,
    start: Value,
}

#[derive(Debug, Clone)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Replay {
    /// Reads a file. The error names the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            what: path.display().to_string(),
            source,
        })?;
        Self::parse(&text).map_err(|message| Error::Script {
            field: format!("replay: {}", path.display()),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut replay = Self::default();
        let mut began = None;
        for (n, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let fault = |what: &str| format!("line {}: {what}", n + 1);
            let recorded: Recorded =
                serde_json::from_str(line).map_err(|error| fault(&error.to_string()))?;
            if recorded.from == Side::Server {
                continue;
            }
            let message = match (recorded.text, recorded.binary) {
                (Some(text), None) => Message::Text(text),
                (None, Some(binary)) => {
                    let bytes = STANDARD.decode(binary);
                    Message::Binary(bytes.map_err(|error| fault(&error.to_string()))?)
                }
                _ => return Err(fault("either text or binary")),
            };
            let event = message.event();
            match began {
                None if ["start", "MEDIA_START"].contains(&event.as_str()) => {
                    began = Some(recorded.ms);
                    replay.start = message.json();
                }
                None if message.is_text() => {} // the greeting is not the call's
                None => return Err(fault("a message before the start")),
                Some(_) if ANSWERS.contains(&event.as_str()) => {}
                Some(began) => {
                    let ms = recorded.ms.saturating_sub(began);
                    replay.waiting.push_back((ms, message));
                }
            }
        }
        match began {
            Some(_) => Ok(replay),
            None => Err("no start message of the carrier".to_owned()),
        }
    }

    /// The recorded first message with this call's ids, which stand in `ours`. What follows gets them too.
    pub fn start(&mut self, ours: &str) -> String {
        let ours: Value = serde_json::from_str(ours).unwrap_or_default();
        let mut start = std::mem::take(&mut self.start);
        let mut ids = Vec::new();
        for place in ["", "/start"] {
            let (Some(old), Some(new)) = (start.pointer_mut(place), ours.pointer(place)) else {
                continue;
            };
            for name in ASKED {
                if let (Some(old), Some(new)) = (old.get_mut(name), new.get(name)) {
                    *old = new.clone();
                }
            }
            for name in IDS {
                if let (Some(old), Some(new)) = (old[name].as_str(), new[name].as_str()) {
                    ids.push((old.to_owned(), new.to_owned()));
                }
            }
        }
        let renamed = |text: &str| {
            let rename = |text: String, (old, new): &(String, String)| text.replace(old, new);
            ids.iter().fold(text.to_owned(), rename)
        };
        for (_, message) in &mut self.waiting {
            if let Message::Text(text) = message {
                *text = renamed(text);
            }
        }
        renamed(&start.to_string())
    }

    /// The next message, if its time has come.
    pub fn due(&mut self, ms: u64) -> Option<Sent> {
        let (_, message) = self.waiting.pop_front_if(|(at, _)| *at <= ms)?;
        Some(match message {
            Message::Text(text) => Sent::Text(text),
            Message::Binary(bytes) => Sent::Binary(bytes),
        })
    }

    /// Whether all of it was sent.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Message {
    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Self::Binary(_) => Value::Null,
        }
    }

    fn event(&self) -> String {
        let event = self.json();
        event["event"].as_str().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn line(ms: u64, from: Side, text: &str) -> String {
        let recorded = Recorded {
            ms,
            from,
            text: Some(text.to_owned()),
            binary: None,
        };
        serde_json::to_string(&recorded).unwrap() + "\n"
    }

    #[test]
    fn the_carriers_side_comes_again_with_the_calls_ids() {
        let media = r#"{"event":"media","streamSid":"MZold"}"#;
        let text = [
            line(0, Side::Carrier, r#"{"event":"connected"}"#),
            line(
                10,
                Side::Carrier,
                r#"{"event":"start","streamSid":"MZold","start":{"callSid":"CAold","customParameters":{"eid":"1"}}}"#,
            ),
            line(20, Side::Server, r#"{"event":"mark"}"#),
            line(30, Side::Carrier, media),
            line(40, Side::Carrier, r#"{"event":"mark","streamSid":"MZold"}"#),
            r#"{"ms":50,"from":"carrier","binary":"AQI="}"#.to_owned(),
            line(60, Side::Carrier, r#"{"event":"stop"}"#),
        ];
        let mut replay = Replay::parse(&text.join("\n")).unwrap();
        let start = replay.start(
            r#"{"event":"start","streamSid":"MZnew","start":{"callSid":"CAnew","customParameters":{"eid":"2"}}}"#,
        );
        let start: Value = serde_json::from_str(&start).unwrap();
        assert_eq!(
            (&start["streamSid"], &start["start"]["callSid"]),
            (&"MZnew".into(), &"CAnew".into())
        );
        assert_eq!(start["start"]["customParameters"]["eid"], "2");
        assert_eq!(replay.due(19), None);
        let media = media.replace("old", "new");
        assert_eq!(replay.due(20), Some(Sent::Text(media)));
        assert!(!replay.is_over());
        assert_eq!(replay.due(60), Some(Sent::Binary(vec![1, 2])));
        assert!(replay.is_over());
    }

    #[test]
    fn what_is_no_recording_is_told_by_its_line() {
        for (text, told) in [
            ("", "no start"),
            (
                r#"{"ms":1,"from":"caller","text":""}"#,
                "line 1: unknown variant",
            ),
            (r#"{"ms":1,"from":"carrier"}"#, "line 1: either"),
            (r#"{"ms":1,"from":"carrier","binary":"?"}"#, "line 1: "),
            (
                r#"{"ms":1,"from":"carrier","binary":"AQI="}"#,
                "before the start",
            ),
        ] {
            let fault = Replay::parse(text).unwrap_err();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
