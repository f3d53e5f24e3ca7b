//! `chan_websocket`: bare mu-law in binary messages, control in texts, of either of Asterisk's two spellings.
//! Sources: wire-telephony.md §3.3; Asterisk's page "WebSocket" of its channel drivers.
//!
//! Asterisk drops what does not fill a frame of 20 ms, so what leaves here always does; then its buffering is
//! not needed. The channel is answered before it is bridged: the stream begins with the first audio.

use bolo_audio::Format;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Frame, MediaCommand, MediaError, MediaEvent, MediaWire, pieces::Pieces};

const FORMAT: Format = Format::Mulaw8k;
/// 20 ms.
const UNIT: usize = 160;
/// Larger messages have killed calls behind a proxy.
const LARGEST: usize = 8000;

/// Codec of one socket.
pub(super) struct Wire {
    stage: Stage,
    /// Asterisk writes its events as JSON; so it reads our commands.
    json: bool,
    /// Caller audio so far, ms.
    heard_ms: u64,
    pieces: Pieces,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `MEDIA_START` has not come.
    Silent,
    /// It has; no audio yet.
    Announced,
    Running,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            stage: Stage::Silent,
            json: false,
            heard_ms: 0,
            pieces: Pieces::new(UNIT, UNIT, FORMAT.silence()),
        }
    }
}

/// An event's name and fields, however it is spelt.
struct Event {
    name: String,
    fields: Value,
}

impl Event {
    fn read(text: &str) -> Result<Self, MediaError> {
        if text.starts_with('{') {
            let fields: Value =
                serde_json::from_str(text).map_err(|error| MediaError(error.to_string()))?;
            let name = fields["event"].as_str().unwrap_or_default().to_owned();
            return Ok(Self { name, fields });
        }
        // `NAME key:value key:value`; a lone word is the id that a mark was given.
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let mut fields = json!({});
        for word in words {
            match word.split_once(':') {
                Some((key, value)) if name != "MEDIA_MARK_PROCESSED" => fields[key] = value.into(),
                _ => {
                    let id = word.strip_prefix("correlation_id:").unwrap_or(word);
                    fields["correlation_id"] = id.into();
                }
            }
        }
        Ok(Self { name, fields })
    }

    fn text(&self, field: &str) -> Result<&str, MediaError> {
        let text = self.fields[field].as_str();
        text.ok_or_else(|| crate::json::missing(field))
    }
}

impl MediaWire for Wire {
    fn decode(&mut self, text: &str) -> Result<Option<MediaEvent>, MediaError> {
        let event = Event::read(text)?;
        if event.name == "MEDIA_START" {
            let format = event.text("format")?;
            if format != "ulaw" {
                return Err(MediaError(format!("format is {format}, not ulaw")));
            }
            self.json = text.starts_with('{');
            self.stage = Stage::Announced;
            return Ok(None);
        }
        if self.stage == Stage::Silent {
            return Err(MediaError(format!("{} before MEDIA_START", event.name)));
        }
        match event.name.as_str() {
            "DTMF_END" => {
                let digit = event.text("digit")?.chars().next();
                let digit = digit.ok_or_else(|| crate::json::missing("digit"))?;
                Ok(Some(MediaEvent::Dtmf(digit)))
            }
            "MEDIA_MARK_PROCESSED" => {
                let name = event.text("correlation_id")?;
                Ok(Some(MediaEvent::Mark(name.to_owned())))
            }
            "ERROR" => Err(MediaError(text.to_owned())),
            // Its queue is never filled, since we send no faster than it plays.
            _ => Ok(None),
        }
    }

    fn decode_binary(&mut self, bytes: Bytes) -> Result<Option<MediaEvent>, MediaError> {
        match self.stage {
            Stage::Silent => Err(MediaError("audio before MEDIA_START".to_owned())),
            _ if bytes.is_empty() => Ok(None),
            Stage::Announced => {
                self.stage = Stage::Running;
                self.heard_ms = FORMAT.ms(bytes.len());
                Ok(Some(MediaEvent::Start {
                    // That of the socket's own channel, which is not the call's.
                    call_id: String::new(),
                    parameters: Vec::new(),
                    format: FORMAT,
                }))
            }
            Stage::Running => {
                let timestamp_ms = self.heard_ms;
                self.heard_ms += FORMAT.ms(bytes.len());
                Ok(Some(MediaEvent::Audio {
                    payload: bytes,
                    timestamp_ms,
                }))
            }
        }
    }

    fn encode(&mut self, command: &MediaCommand, out: &mut Vec<Frame>) {
        if self.stage != Stage::Running {
            return;
        }
        match command {
            MediaCommand::Audio(audio) => {
                let piece = self.pieces.push(audio);
                audio_frames(piece, out);
            }
            MediaCommand::Mark(name) => {
                audio_frames(self.pieces.flush(), out);
                out.push(Frame::Text(if self.json {
                    json!({"command": "MARK_MEDIA", "correlation_id": name}).to_string()
                } else {
                    format!("MARK_MEDIA {name}")
                }));
            }
            MediaCommand::Clear => {
                self.pieces.clear();
                out.push(Frame::Text(if self.json {
                    json!({"command": "FLUSH_MEDIA"}).to_string()
                } else {
                    "FLUSH_MEDIA".to_owned()
                }));
            }
            MediaCommand::Flush => audio_frames(self.pieces.flush(), out),
        }
    }

    fn marks(&self) -> bool {
        true
    }
}

fn audio_frames(audio: Option<Bytes>, out: &mut Vec<Frame>) {
    let Some(mut audio) = audio else { return };
    while !audio.is_empty() {
        let piece = audio.split_to(audio.len().min(LARGEST));
        out.push(Frame::Binary(piece));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const JSON: &str = r#"{"event":"MEDIA_START","connection_id":"media","channel":"WebSocket/media/0x5","channel_id":"1761245643.1","format":"ulaw","optimal_frame_size":160,"ptime":20,"channel_variables":{}}"#;
    const PLAIN: &str = "MEDIA_START connection_id:e2 channel:WebSocket/bolo channel_id:17.1 format:ulaw optimal_frame_size:160 ptime:20";

    fn frame() -> Bytes {
        Bytes::from_static(&[7; 160])
    }

    fn started(start: &str) -> Wire {
        let mut wire = Wire::default();
        assert!(wire.decode_binary(frame()).is_err());
        assert_eq!(wire.decode(start), Ok(None));
        let mut early = Vec::new();
        wire.encode(&MediaCommand::Clear, &mut early);
        assert_eq!(early, []);
        assert!(matches!(
            wire.decode_binary(frame()),
            Ok(Some(MediaEvent::Start { format: FORMAT, .. }))
        ));
        wire
    }

    fn sent(wire: &mut Wire, command: &MediaCommand) -> Vec<Frame> {
        let mut out = Vec::new();
        wire.encode(command, &mut out);
        out
    }

    #[test]
    fn both_spellings_are_read_and_answered_in_kind() {
        for (start, digit, mark, asked, flush) in [
            (
                JSON,
                r#"{"event":"DTMF_END","channel_id":"1","digit":"5"}"#,
                r#"{"event":"MEDIA_MARK_PROCESSED","channel_id":"1","correlation_id":"1:0"}"#,
                r#"{"command":"MARK_MEDIA","correlation_id":"1:0"}"#,
                r#"{"command":"FLUSH_MEDIA"}"#,
            ),
            (
                PLAIN,
                "DTMF_END digit:5",
                "MEDIA_MARK_PROCESSED 1:0",
                "MARK_MEDIA 1:0",
                "FLUSH_MEDIA",
            ),
        ] {
            let mut wire = started(start);
            assert_eq!(wire.decode(digit), Ok(Some(MediaEvent::Dtmf('5'))));
            assert_eq!(wire.decode(mark), Ok(Some(MediaEvent::Mark("1:0".into()))));
            let name = MediaCommand::Mark("1:0".into());
            assert_eq!(sent(&mut wire, &name), [Frame::Text(asked.into())]);
            let clear = sent(&mut wire, &MediaCommand::Clear);
            assert_eq!(clear, [Frame::Text(flush.into())]);
        }
        let mut wire = started(PLAIN);
        let spelt = "MEDIA_MARK_PROCESSED correlation_id:1:0";
        assert_eq!(wire.decode(spelt), Ok(Some(MediaEvent::Mark("1:0".into()))));
        for other in ["MEDIA_XOFF", "QUEUE_DRAINED", "STATUS queue_length:4", ""] {
            assert_eq!(wire.decode(other), Ok(None), "{other}");
        }
        assert!(wire.decode("ERROR what").is_err());
        assert!(wire.decode("{").is_err());
        assert!(Wire::default().decode("DTMF_END digit:5").is_err());
        assert!(
            Wire::default()
                .decode(&PLAIN.replace("ulaw", "slin"))
                .is_err()
        );
    }

    #[test]
    fn audio_is_counted_by_what_came() {
        let mut wire = started(JSON);
        for at in [20, 40] {
            let audio = MediaEvent::Audio {
                payload: frame(),
                timestamp_ms: at,
            };
            assert_eq!(wire.decode_binary(frame()), Ok(Some(audio)));
        }
        assert_eq!(wire.decode_binary(Bytes::new()), Ok(None));
    }

    #[test]
    fn only_whole_frames_leave() {
        let mut wire = started(JSON);
        let audio = |bytes: usize| MediaCommand::Audio(vec![1; bytes].into());
        let whole = sent(&mut wire, &audio(500));
        assert_eq!(whole, [Frame::Binary(vec![1; 480].into())]);
        let rest = sent(&mut wire, &MediaCommand::Mark("1".into()));
        let mut tail = vec![1; 20];
        tail.resize(160, 0xFF);
        assert_eq!(rest[0], Frame::Binary(tail.into()));
        let lengths: Vec<usize> = sent(&mut wire, &audio(16_160))
            .iter()
            .map(|frame| match frame {
                Frame::Binary(bytes) => bytes.len(),
                Frame::Text(_) => 0,
            })
            .collect();
        assert_eq!(lengths, [8000, 8000, 160]);
    }
}
