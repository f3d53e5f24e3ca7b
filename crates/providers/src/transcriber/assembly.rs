//! AssemblyAI streaming v3: a model that knows when a turn is over. Billed by the time a session is open, so
//! none is left without `Terminate`. Source: wire-providers.md §B.8.

use std::sync::Arc;

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::live::{self, Batch, Limits, Wire};
use crate::{
    Error, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec, error::Origin, socket,
};

/// Where AssemblyAI listens.
pub const BASE_URL: &str = "wss://streaming.assemblyai.com";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "assembly",
    role: "transcriber",
    variable: "ASSEMBLY_API_KEY",
};

/// A message must hold 50 to 1000 ms; this is the least of whole frames.
const FRAME_MS: usize = 60;
/// Silence that ends a turn whatever the model thinks, ms.
const LONGEST_SILENCE_MS: u32 = 1280;
/// What the model and the way may take on top, ms.
const SLACK_MS: u64 = 700;

/// AssemblyAI with a key.
pub struct Assembly {
    base_url: String,
    key: SecretString,
    tls: Arc<rustls::ClientConfig>,
}

impl Assembly {
    /// `base_url` with its scheme and without `/v3/ws`.
    pub fn new(base_url: &str, key: SecretString, tls: Arc<rustls::ClientConfig>) -> Self {
        Self {
            base_url: base_url.to_owned(),
            key,
            tls,
        }
    }
}

fn longest_silence_ms(spec: &TranscriberSpec) -> u32 {
    LONGEST_SILENCE_MS.max(spec.endpointing_ms)
}

#[async_trait]
impl Transcriber for Assembly {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(longest_silence_ms(spec)) + SLACK_MS
    }

    fn bills_open_time(&self) -> bool {
        true
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let url = address(&self.base_url, spec)?;
        let wire = Turns::new(spec.format);
        let key = self.key.expose_secret();
        live::open(wire, &url, key, &self.tls, Limits::default(), spec.format).await
    }
}

fn address(base: &str, spec: &TranscriberSpec) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["v3", "ws"])?;
    let encoding = match spec.format {
        Format::Mulaw8k => "pcm_mulaw",
        Format::Pcm16 { .. } => "pcm_s16le",
    };
    let mut query = url.query_pairs_mut();
    query
        .append_pair("sample_rate", &spec.format.rate().to_string())
        .append_pair("encoding", encoding)
        .append_pair("speech_model", &spec.model)
        .append_pair("format_turns", "false")
        .append_pair("min_turn_silence", &spec.endpointing_ms.to_string())
        .append_pair("max_turn_silence", &longest_silence_ms(spec).to_string());
    if !spec.keywords.is_empty() {
        let terms = serde_json::Value::from(spec.keywords.as_slice());
        query.append_pair("keyterms_prompt", &terms.to_string());
    }
    drop(query);
    Ok(url)
}

/// One flat message: what we don't need passes by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    r#type: String,
    turn_order: Option<u64>,
    end_of_turn: bool,
    transcript: Option<String>,
    words: Vec<Word>,
    session_duration_seconds: Option<f64>,
    error_code: Option<u16>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Word {
    #[serde(default)]
    text: String,
}

#[derive(Debug)]
struct Turns {
    batch: Batch,
    format: Format,
    /// The open turn was to be ended.
    forced: bool,
    /// The last turn that ended.
    ended: Option<u64>,
    billed: Option<f64>,
    /// Garbage was reported already.
    complained: bool,
}

impl Turns {
    fn new(format: Format) -> Self {
        Self {
            batch: Batch::new(format, FRAME_MS),
            format,
            forced: false,
            ended: None,
            billed: None,
            complained: false,
        }
    }

    /// What is left, made long enough with silence.
    fn rest(&mut self) -> Option<Message> {
        let rest = self.batch.rest()?;
        let mut rest = rest.to_vec();
        rest.resize(self.batch.size(), self.format.silence());
        Some(Message::binary(rest))
    }

    /// Of a turn that has ended nothing more is told.
    fn turn(&mut self, told: Told) -> Option<Heard> {
        if told.turn_order.is_some_and(|turn| Some(turn) <= self.ended) {
            return None;
        }
        let text = told.transcript.unwrap_or_default().trim().to_owned();
        if told.end_of_turn {
            self.ended = told.turn_order.or(self.ended);
            let forced = std::mem::take(&mut self.forced);
            if text.is_empty() {
                return Some(Heard::SpeechEnded);
            }
            let why = if forced {
                HeardEnd::Forced
            } else {
                HeardEnd::EndOfTurn
            };
            return Some(Heard::TurnEnd { text, why });
        }
        // The transcript holds settled words only.
        let words: Vec<&str> = told.words.iter().map(|word| word.text.trim()).collect();
        let so_far = if words.is_empty() {
            text
        } else {
            words.join(" ")
        };
        (!so_far.is_empty()).then_some(Heard::Interim(so_far))
    }
}

impl Wire for Turns {
    const ORIGIN: Origin = ORIGIN;
    const GREETS: bool = true;
    const BILLS_UNTIL_TOLD: bool = true;

    fn audio(&mut self, audio: Bytes) -> Option<Message> {
        self.batch.add(&audio).map(Message::binary)
    }

    fn keep_alive(&self) -> Message {
        Message::text(r#"{"type":"KeepAlive"}"#)
    }

    fn end_turn(&mut self) -> Vec<Message> {
        self.forced = true;
        let force = Message::text(r#"{"type":"ForceEndpoint"}"#);
        self.rest().into_iter().chain([force]).collect()
    }

    fn finish(&mut self) -> Vec<Message> {
        let terminate = Message::text(r#"{"type":"Terminate"}"#);
        self.rest().into_iter().chain([terminate]).collect()
    }

    fn read(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Error> {
        let told: Told = match serde_json::from_str(text) {
            Ok(told) => told,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "unreadable message from assembly; further ones are not reported");
                }
                return Ok(());
            }
        };
        match told.r#type.as_str() {
            "Turn" => heard.extend(self.turn(told)),
            "SpeechStarted" => heard.push(Heard::SpeechStarted),
            "Termination" => self.billed = told.session_duration_seconds,
            "Error" => {
                let words = told.error.unwrap_or_default();
                return Err(self.closed(told.error_code.unwrap_or_default(), &words));
            }
            _ => {}
        }
        Ok(())
    }

    fn closed(&self, code: u16, words: &str) -> Error {
        let says = |parts: &[&str]| {
            let words = words.to_ascii_lowercase();
            parts.iter().any(|part| words.contains(part))
        };
        match code {
            1008 if says(&["balance", "fund", "credit"]) => ORIGIN.quota(),
            1008 if says(&["too many", "concurren"]) => ORIGIN.rate_limited(None),
            1008 => ORIGIN.bad_key(),
            3009 => ORIGIN.rate_limited(None),
            3005 => ORIGIN.server(code),
            3006 | 3007 => ORIGIN.rejected(words),
            // A session over 3 h (3008) too: another one goes on.
            _ => ORIGIN.dropped(),
        }
    }

    fn billed(&self, _sent: f64, session: f64) -> f64 {
        self.billed.unwrap_or(session)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        ErrorKind,
        testing::{SocketServer, tls, transcriber_spec},
    };

    #[test]
    fn a_turn_is_told_as_one_segment() {
        let (mut turns, mut heard) = (Turns::new(Format::Mulaw8k), Vec::new());
        for text in [
            r#"{"type":"Begin","id":"x","expires_at":1}"#,
            r#"{"type":"SpeechStarted"}"#,
            r#"{"type":"Turn","turn_order":0,"end_of_turn":false,"transcript":"where","words":[{"text":"where","word_is_final":true},{"text":"is","word_is_final":false}]}"#,
            r#"{"type":"Turn","turn_order":0,"end_of_turn":true,"transcript":"where is it","words":[]}"#,
            r#"{"type":"Turn","turn_order":1,"end_of_turn":false,"transcript":"","words":[]}"#,
            r#"{"type":"SpeakerRevision"}"#,
            "{",
            r#"{"type":"Termination","audio_duration_seconds":3,"session_duration_seconds":4.5}"#,
        ] {
            turns.read(text, &mut heard).unwrap();
        }
        let end = Heard::TurnEnd {
            text: "where is it".into(),
            why: HeardEnd::EndOfTurn,
        };
        assert_eq!(
            heard,
            [Heard::SpeechStarted, Heard::Interim("where is".into()), end]
        );
        assert_eq!(turns.billed(3.0, 9.0), 4.5);
    }

    /// As those of calls that nobody answers.
    #[tokio::test]
    async fn a_session_that_is_dropped_is_terminated() {
        let mut server = SocketServer::start().await;
        let assembly = Assembly::new(&server.base, SecretString::from("sesame"), tls());
        let spec = transcriber_spec();
        let (session, mut peer) = tokio::join!(assembly.open(&spec), async {
            let mut peer = server.peer().await;
            peer.text(r#"{"type":"Begin","id":"x","expires_at":1}"#)
                .await;
            peer
        });
        drop(session.unwrap());
        assert_eq!(peer.json().await["type"], "Terminate");
        assert_eq!(peer.next().await, None, "nobody waits for its answer");
    }

    #[test]
    fn a_turn_ends_once() {
        let (mut turns, mut heard) = (Turns::new(Format::Mulaw8k), Vec::new());
        for turn in [0, 0, 1] {
            let text = format!(
                r#"{{"type":"Turn","turn_order":{turn},"end_of_turn":true,"transcript":"yes"}}"#
            );
            turns.read(&text, &mut heard).unwrap();
        }
        let (text, why) = ("yes".to_owned(), HeardEnd::EndOfTurn);
        assert_eq!(heard, vec![Heard::TurnEnd { text, why }; 2]);
    }

    #[test]
    fn closes_are_told_apart() {
        let turns = Turns::new(Format::Mulaw8k);
        for (code, words, kind) in [
            (1008, "Not authorized", ErrorKind::Auth),
            (1008, "Insufficient account balance", ErrorKind::Quota),
            (1008, "Too many concurrent sessions", ErrorKind::RateLimited),
            (3009, "", ErrorKind::RateLimited),
            (3005, "", ErrorKind::Server),
            (3007, "Input duration violation", ErrorKind::BadRequest),
            (3008, "Session expired", ErrorKind::Dropped),
            (1006, "", ErrorKind::Dropped),
        ] {
            assert_eq!(turns.closed(code, words).kind, kind, "{code} {words}");
        }
    }

    #[test]
    fn audio_goes_in_messages_of_60_ms_the_last_filled_with_silence() {
        let mut turns = Turns::new(Format::Mulaw8k);
        let frame = || Bytes::from(vec![1; 160]);
        assert_eq!(turns.audio(frame()), None);
        assert_eq!(turns.audio(frame()), None);
        assert_eq!(turns.audio(frame()), Some(Message::binary(vec![1; 480])));
        turns.audio(frame());
        let rest = [vec![1; 160], vec![0xFF; 320]].concat();
        let force = Message::text(r#"{"type":"ForceEndpoint"}"#);
        assert_eq!(turns.end_turn(), [Message::binary(rest), force]);
        let terminate = Message::text(r#"{"type":"Terminate"}"#);
        assert_eq!(turns.finish(), [terminate]);
    }
}
