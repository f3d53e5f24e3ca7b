//! OpenAI's transcription sessions over `/realtime?intent=transcription`. Its voice detector ends turns;
//! for the models that have none, silence does (runtime.md R36). Source: wire-providers.md §5.1.

use std::collections::VecDeque;

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bolo_agent::Detector;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    dialect::{self, Access, Dialect, Next, Ready},
    endpointing::Ends,
};
use crate::{
    Error, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec, error::Origin, socket,
};

/// Where OpenAI listens; the same address as for its models.
pub const BASE_URL: &str = "wss://api.openai.com/v1";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "openai",
    role: "transcriber",
    variable: "OPENAI_API_KEY",
};

/// From the end of speech to its text, but for one in a hundred, ms (wire-providers.md §9.1).
const SLOWEST_MS: u64 = 1660;

/// The one rate of 16-bit audio.
const PCM: Format = Format::Pcm16 { rate: 24_000 };

/// Segments whose text is not taken again.
const REMEMBERED: usize = 16;

/// OpenAI with a key.
pub struct OpenAi {
    access: Access,
    detector: Detector,
}

impl OpenAi {
    /// `base_url` with its scheme and `/v1`.
    pub fn new(access: Access, detector: Detector) -> Self {
        Self { access, detector }
    }
}

#[async_trait]
impl Transcriber for OpenAi {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) + SLOWEST_MS
    }

    /// The models that detect turns write when one has ended.
    fn gives_interims(&self, spec: &TranscriberSpec) -> bool {
        ends(spec) != Ends::Vendor
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let mut url = socket::address(ORIGIN, &self.access.base_url, &["realtime"])?;
        url.query_pairs_mut().append_pair("intent", "transcription");
        let key = format!("Bearer {}", self.access.key.expose_secret());
        let socket = socket::connect(
            ORIGIN,
            &url,
            &[("authorization", &key)],
            &self.access.tls,
            self.access.socket_limits(),
            |refusal| match refusal.words.starts_with("insufficient_quota") {
                true => ORIGIN.quota(),
                false => refusal.error(ORIGIN),
            },
        )
        .await?;
        let format = taken(spec.format);
        let ends = ends(spec);
        let wire = Protocol::new(session(spec, format, &self.detector), ends);
        dialect::start(socket, wire, spec, format, ends, self.access.limits).await
    }
}

fn taken(format: Format) -> Format {
    match format {
        Format::Mulaw8k => format,
        Format::Pcm16 { .. } => PCM,
    }
}

/// These models refuse to detect turns, and wait for the client's commit.
fn ends(spec: &TranscriberSpec) -> Ends {
    let live = ["gpt-realtime-whisper", "gpt-live-transcribe"];
    match live.iter().any(|name| spec.model.starts_with(name)) {
        true => Ends::Silence(spec.endpointing_ms.into()),
        false => Ends::Vendor,
    }
}

/// `session.update`.
fn session(spec: &TranscriberSpec, format: Format, detector: &Detector) -> Value {
    let format = match format {
        Format::Mulaw8k => json!({"type": "audio/pcmu"}),
        Format::Pcm16 { rate } => json!({"type": "audio/pcm", "rate": rate}),
    };
    let mut transcription = json!({"model": spec.model});
    let takes_hints = ["gpt-transcribe", "gpt-live-transcribe"]
        .iter()
        .any(|name| spec.model.starts_with(name));
    if let Some(language) = spec.expected_language() {
        match takes_hints {
            true => transcription["languages"] = json!([language]),
            false => transcription["language"] = json!(language),
        }
    }
    let words: Vec<_> = spec.keywords().collect();
    if !words.is_empty() {
        match takes_hints {
            true => transcription["keywords"] = json!(words),
            false => transcription["prompt"] = json!(words.join(", ")),
        }
    }
    if let Some(delay) = detector.delay {
        transcription["delay"] = json!(delay);
    }
    let turns = match ends(spec) {
        Ends::Silence(_) => Value::Null,
        Ends::Vendor => json!({"type": "server_vad", "threshold": detector.threshold,
            "prefix_padding_ms": detector.prefix_padding_ms,
            "silence_duration_ms": spec.endpointing_ms}),
    };
    let mut input =
        json!({"format": format, "transcription": transcription, "turn_detection": turns});
    if let Some(kind) = detector.noise_reduction {
        input["noise_reduction"] = json!({"type": kind});
    }
    json!({"type": "session.update",
        "session": {"type": "transcription", "audio": {"input": input}}})
}

struct Protocol {
    session: Value,
    ends: Ends,
    ready: bool,
    /// The segment whose text is coming, and the text.
    open: (String, String),
    /// Segments committed whose text has not come whole.
    pending: u32,
    /// The last segments whose text has.
    told: VecDeque<String>,
    /// The last audio is in a segment, or there was none.
    finished: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incoming {
    r#type: Option<String>,
    item_id: Option<String>,
    delta: Option<String>,
    transcript: Option<String>,
    error: Option<Failure>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure {
    r#type: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

impl Protocol {
    fn new(session: Value, ends: Ends) -> Self {
        Self {
            session,
            ends,
            ready: false,
            open: Default::default(),
            pending: 0,
            told: VecDeque::new(),
            finished: false,
        }
    }

    /// Whether the text of a segment came before. Texts may come in another order than segments.
    fn is_told(&mut self, item: &str) -> bool {
        if item.is_empty() || self.told.iter().any(|told| told == item) {
            return !item.is_empty();
        }
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back(item.to_owned());
        false
    }

    fn next(&self) -> Next {
        match self.finished && self.pending == 0 {
            true => Next::Done,
            false => Next::Listen,
        }
    }

    fn commit() -> Message {
        Message::text(r#"{"type":"input_audio_buffer.commit"}"#)
    }

    fn failure(&mut self, failure: Failure) -> Result<Next, Error> {
        let kind = failure.r#type.unwrap_or_default();
        let code = failure.code.unwrap_or_default();
        let words = failure.message.unwrap_or_default();
        Err(match (code.as_str(), kind.as_str()) {
            ("invalid_api_key", _) => ORIGIN.bad_key(),
            ("insufficient_quota", _) => ORIGIN.quota(),
            ("rate_limit_exceeded", _) => ORIGIN.rate_limited(None),
            ("session_expired", _) => ORIGIN.dropped(),
            // Less than 100 ms were left.
            ("input_audio_buffer_commit_empty", _) => return Ok(Next::Listen),
            (_, "invalid_request_error") if !self.ready => ORIGIN.rejected(&words),
            (_, "invalid_request_error") => {
                tracing::warn!(code, words, "openai did not take a message");
                return Ok(Next::Listen);
            }
            _ => {
                tracing::warn!(kind, code, words, "openai reports a failure");
                ORIGIN.server("in the stream")
            }
        })
    }
}

impl Dialect for Protocol {
    type Incoming = Incoming;
    const ORIGIN: Origin = ORIGIN;
    const READY: Ready = Ready::Told;
    const BATCH_MS: usize = 60;

    fn audio(&mut self, audio: Bytes) -> Message {
        let audio = BASE64_STANDARD.encode(&audio);
        Message::text(json!({"type": "input_audio_buffer.append", "audio": audio}).to_string())
    }

    fn flush(&mut self, _heard: &mut Vec<Heard>) -> Option<Message> {
        Some(Self::commit())
    }

    /// The answer to the second message tells that the first was dealt with: the commit itself is answered
    /// like one of the vendor's own.
    fn finish(&mut self) -> Vec<Message> {
        let clear = Message::text(r#"{"type":"input_audio_buffer.clear"}"#);
        vec![Self::commit(), clear]
    }

    fn read(&mut self, message: Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error> {
        let item = message.item_id.unwrap_or_default();
        match message.r#type.as_deref().unwrap_or_default() {
            "session.created" => {
                return Ok(Next::Answer(Message::text(self.session.take().to_string())));
            }
            "session.updated" => {
                self.ready = true;
                return Ok(Next::Ready);
            }
            "input_audio_buffer.speech_started" => heard.push(Heard::SpeechStarted),
            "input_audio_buffer.committed" => self.pending += 1,
            "input_audio_buffer.cleared" => {
                self.finished = true;
                return Ok(self.next());
            }
            "conversation.item.input_audio_transcription.delta" => {
                if self.open.0 != item {
                    self.open = (item, String::new());
                }
                self.open.1.push_str(&message.delta.unwrap_or_default());
                heard.push(Heard::Interim(self.open.1.trim().to_owned()));
            }
            "conversation.item.input_audio_transcription.completed" if self.is_told(&item) => {}
            "conversation.item.input_audio_transcription.completed" => {
                self.pending = self.pending.saturating_sub(1);
                let text = message.transcript.unwrap_or_default().trim().to_owned();
                heard.push(match self.ends {
                    Ends::Silence(_) => Heard::Final(text),
                    Ends::Vendor => Heard::TurnEnd {
                        text,
                        why: HeardEnd::SpeechFinal,
                    },
                });
                return Ok(self.next());
            }
            // One segment is lost; the next may not be.
            "conversation.item.input_audio_transcription.failed" => {
                self.pending = self.pending.saturating_sub(1);
                let words = message.error.and_then(|error| error.message);
                let words = words.unwrap_or_default();
                tracing::warn!(words, "openai could not transcribe a segment");
                heard.push(Heard::Final(String::new()));
                return Ok(self.next());
            }
            "error" => return self.failure(message.error.unwrap_or_default()),
            _ => {}
        }
        Ok(Next::Listen)
    }

    fn closed(&self, code: u16, words: &str) -> Error {
        match code {
            3000 => ORIGIN.bad_key(),
            1003 | 1007 | 4004 => ORIGIN.rejected(words),
            _ => ORIGIN.dropped(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{ErrorKind, testing::transcriber_spec};

    fn read(wire: &mut Protocol, message: Value) -> (Result<Next, Error>, Vec<Heard>) {
        let mut heard = Vec::new();
        let next = wire.read(serde_json::from_value(message).unwrap(), &mut heard);
        (next, heard)
    }

    fn protocol() -> Protocol {
        Protocol::new(Value::Null, Ends::Vendor)
    }

    #[test]
    fn the_session_follows_the_agent() {
        let spec = TranscriberSpec {
            model: "gpt-4o-mini-transcribe".into(),
            language: "hi-IN".into(),
            keywords: vec!["Bolo".into(), "Plivo".into()],
            ..transcriber_spec()
        };
        let heard_by = |spec: &TranscriberSpec, detector: &Detector| {
            session(spec, taken(spec.format), detector)["session"]["audio"]["input"].clone()
        };
        let input = |spec: &TranscriberSpec| heard_by(spec, &Detector::default());
        assert_eq!(
            input(&spec),
            json!({"format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-4o-mini-transcribe", "language": "hi",
                    "prompt": "Bolo, Plivo"},
                "turn_detection": {"type": "server_vad", "threshold": 0.5,
                    "prefix_padding_ms": 300, "silence_duration_ms": 250}})
        );
        let detector = Detector {
            noise_reduction: Some("far_field"),
            threshold: 0.7,
            prefix_padding_ms: 100,
            delay: Some("low"),
        };
        let wished = heard_by(&spec, &detector);
        assert_eq!(wished["noise_reduction"], json!({"type": "far_field"}));
        assert_eq!(wished["transcription"]["delay"], "low");
        let turns = json!({"type": "server_vad", "threshold": 0.7, "prefix_padding_ms": 100,
            "silence_duration_ms": 250});
        assert_eq!(wished["turn_detection"], turns);
        let spec = TranscriberSpec {
            model: "gpt-live-transcribe".into(),
            format: Format::Pcm16 { rate: 16_000 },
            ..spec
        };
        assert_eq!(ends(&spec), Ends::Silence(250));
        assert_eq!(
            input(&spec),
            json!({"format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "gpt-live-transcribe", "languages": ["hi"],
                    "keywords": ["Bolo", "Plivo"]},
                "turn_detection": null})
        );
    }

    #[test]
    fn the_last_segments_are_waited_for() {
        let committed =
            |item: &str| json!({"type": "input_audio_buffer.committed", "item_id": item});
        let completed = |item: &str| {
            json!({"type": "conversation.item.input_audio_transcription.completed",
                "item_id": item, "transcript": "bye"})
        };
        let cleared = json!({"type": "input_audio_buffer.cleared"});
        let empty = json!({"type": "error", "error": {"type": "invalid_request_error",
            "code": "input_audio_buffer_commit_empty"}});
        let next = |messages: &[Value]| {
            let mut wire = protocol();
            let mut next = messages
                .iter()
                .map(|message| read(&mut wire, message.clone()).0.unwrap());
            let done = next.position(|next| next == Next::Done);
            done.map(|done| done + 1 == messages.len())
        };
        // The vendor's own commit was on its way; ours found nothing, or a second segment.
        let own = [
            committed("a"),
            empty.clone(),
            cleared.clone(),
            completed("a"),
        ];
        assert_eq!(next(&own), Some(true));
        let both = [
            committed("a"),
            committed("b"),
            cleared.clone(),
            completed("a"),
            completed("b"),
        ];
        assert_eq!(next(&both), Some(true));
        assert_eq!(next(&[empty, cleared]), Some(true));
        assert_eq!(next(&[committed("a"), completed("a")]), None);
    }

    #[test]
    fn the_text_of_a_segment_is_taken_once() {
        let mut wire = protocol();
        let mut completed = |item: &str| {
            let message = json!({"type": "conversation.item.input_audio_transcription.completed",
                "item_id": item, "transcript": "yes"});
            read(&mut wire, message).1.len()
        };
        assert_eq!(
            ["a", "b", "a", "b", "c"].map(&mut completed),
            [1, 1, 0, 0, 1]
        );
    }

    #[test]
    fn the_text_of_a_segment_grows() {
        let mut wire = protocol();
        let mut delta = |item: &str, delta: &str| {
            let message = json!({"type": "conversation.item.input_audio_transcription.delta",
                "item_id": item, "delta": delta});
            read(&mut wire, message).1
        };
        assert_eq!(delta("a", "Hel"), [Heard::Interim("Hel".into())]);
        assert_eq!(delta("a", "lo"), [Heard::Interim("Hello".into())]);
        assert_eq!(delta("b", "Yes"), [Heard::Interim("Yes".into())]);
    }

    #[test]
    fn failures_are_told_apart() {
        let error = |wire: &mut Protocol, kind: &str, code: &str| {
            let error = json!({"type": kind, "code": code, "message": "words"});
            read(wire, json!({"type": "error", "error": error})).0
        };
        for (kind, code, expected) in [
            ("invalid_request_error", "invalid_api_key", ErrorKind::Auth),
            ("insufficient_quota", "insufficient_quota", ErrorKind::Quota),
            (
                "rate_limit_error",
                "rate_limit_exceeded",
                ErrorKind::RateLimited,
            ),
            (
                "invalid_request_error",
                "invalid_value",
                ErrorKind::BadRequest,
            ),
            (
                "invalid_request_error",
                "session_expired",
                ErrorKind::Dropped,
            ),
            ("server_error", "", ErrorKind::Server),
        ] {
            let kind_of = error(&mut protocol(), kind, code).unwrap_err().kind;
            assert_eq!(kind_of, expected, "{kind} {code}");
        }
        let mut ready = protocol();
        read(&mut ready, json!({"type": "session.updated"}))
            .0
            .unwrap();
        let next = error(&mut ready, "invalid_request_error", "invalid_value");
        assert_eq!(
            next.unwrap(),
            Next::Listen,
            "not fatal once the session stands"
        );
    }
}
