//! Flux over `/v2/listen`: a model that knows when a turn is over. Source: wire-providers.md §1.2,
//! runtime.md R41.

use bolo_agent::Flux as Settings;
use bolo_audio::Format;
use bytes::Bytes;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{ORIGIN, close_stream, closed, encoding};
use crate::{
    Error, Heard, HeardEnd, TranscriberSpec,
    error::Origin,
    socket,
    transcriber::live::{Batch, Wire},
};

/// The model works in steps of this length.
const FRAME_MS: usize = 80;

/// The address with the agent's wishes as its query. A key that Flux doesn't know would be refused.
pub(super) fn listen_url(
    base: &str,
    spec: &TranscriberSpec,
    settings: &Settings,
) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["v2", "listen"])?;
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model", &spec.model)
        .append_pair("encoding", encoding(spec.format))
        .append_pair("sample_rate", &spec.format.rate().to_string())
        .append_pair("eot_threshold", &settings.eot_threshold.to_string());
    if let Some(eager) = settings.eager_eot_threshold {
        query.append_pair("eager_eot_threshold", &eager.to_string());
    }
    query.append_pair("eot_timeout_ms", &settings.eot_timeout_ms.to_string());
    for hint in &settings.language_hints {
        query.append_pair("language_hint", hint);
    }
    for word in &spec.keywords {
        query.append_pair("keyterm", word);
    }
    drop(query);
    Ok(url)
}

/// One flat message: what we don't need passes by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    r#type: String,
    event: Option<String>,
    turn_index: Option<u64>,
    transcript: Option<String>,
    end_of_turn_confidence: Option<f32>,
    trigger: Option<String>,
    code: Option<String>,
    description: Option<String>,
}

#[derive(Debug)]
pub(super) struct Flux {
    batch: Batch,
    /// The last turn that ended.
    ended: Option<u64>,
    /// Garbage was reported already.
    complained: bool,
}

impl Flux {
    pub(super) fn new(format: Format) -> Self {
        Self {
            batch: Batch::new(format, FRAME_MS),
            ended: None,
            complained: false,
        }
    }

    /// The transcript is the whole turn so far, so a turn is one segment. Of a turn that has ended nothing
    /// more is told.
    fn turn(&mut self, told: Told, heard: &mut Vec<Heard>) {
        if told.turn_index.is_some_and(|turn| Some(turn) <= self.ended) {
            return;
        }
        if told.event.as_deref() == Some("EndOfTurn") {
            self.ended = told.turn_index.or(self.ended);
        }
        let text = told.transcript.unwrap_or_default().trim().to_owned();
        match told.event.as_deref() {
            Some("StartOfTurn") => {
                heard.push(Heard::SpeechStarted);
                heard.push(Heard::Interim(text));
            }
            // Updates come on the beat; without text they tell nothing.
            Some("Update") if !text.is_empty() => heard.push(Heard::Interim(text)),
            Some("EagerEndOfTurn") => heard.push(Heard::Eager {
                text,
                confidence: told.end_of_turn_confidence.unwrap_or_default(),
            }),
            Some("TurnResumed") => {
                heard.push(Heard::Resumed);
                heard.push(Heard::Interim(text));
            }
            Some("EndOfTurn") if text.is_empty() => heard.push(Heard::SpeechEnded),
            Some("EndOfTurn") => heard.push(Heard::TurnEnd {
                text,
                why: match told.trigger.as_deref() {
                    Some("manual") => HeardEnd::Forced,
                    _ => HeardEnd::EndOfTurn,
                },
            }),
            _ => {}
        }
    }
}

impl Wire for Flux {
    const ORIGIN: Origin = ORIGIN;
    const GREETS: bool = true;

    fn audio(&mut self, audio: Bytes) -> Option<Message> {
        self.batch.add(&audio).map(Message::binary)
    }

    /// There is no message for it.
    fn keep_alive(&self) -> Message {
        Message::Ping(Bytes::new())
    }

    fn end_turn(&mut self) -> Vec<Message> {
        let force = Message::text(r#"{"type":"ForceEndTurn"}"#);
        let rest = self.batch.rest().map(Message::binary);
        rest.into_iter().chain([force]).collect()
    }

    fn finish(&mut self) -> Vec<Message> {
        let rest = self.batch.rest().map(Message::binary);
        rest.into_iter().chain([close_stream()]).collect()
    }

    fn read(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Error> {
        let told: Told = match serde_json::from_str(text) {
            Ok(told) => told,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "unreadable message from deepgram; further ones are not reported");
                }
                return Ok(());
            }
        };
        match told.r#type.as_str() {
            "TurnInfo" => self.turn(told, heard),
            "Warning" => {
                tracing::warn!(
                    code = told.code,
                    description = told.description,
                    "deepgram warns"
                );
            }
            "Error" => {
                tracing::warn!(description = told.description, "deepgram reports a failure");
                return Err(ORIGIN.server(told.code.as_deref().unwrap_or("in the stream")));
            }
            _ => {}
        }
        Ok(())
    }

    fn closed(&self, code: u16, words: &str) -> Error {
        closed(code, words)
    }

    fn billed(&self, sent: f64, _session: f64) -> f64 {
        sent
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn info(event: &str, text: &str, more: &str) -> String {
        format!(
            r#"{{"type":"TurnInfo","request_id":"x","sequence_id":7,"event":"{event}","turn_index":0,"audio_window_start":0.0,"audio_window_end":2.4,"transcript":"{text}","words":[],"end_of_turn_confidence":0.83{more}}}"#
        )
    }

    /// The same of another turn.
    fn of_turn(turn: u32, info: &str) -> String {
        info.replace(r#""turn_index":0"#, &format!(r#""turn_index":{turn}"#))
    }

    fn read(messages: &[String]) -> Vec<Heard> {
        let (mut flux, mut heard) = (Flux::new(Format::Mulaw8k), Vec::new());
        for message in messages {
            flux.read(message, &mut heard).unwrap();
        }
        heard
    }

    fn end(text: &str, why: HeardEnd) -> Heard {
        Heard::TurnEnd {
            text: text.into(),
            why,
        }
    }

    #[test]
    fn a_turn_is_told_as_one_segment() {
        let heard = read(&[
            r#"{"type":"Connected","request_id":"x","sequence_id":0}"#.into(),
            info("Update", "", ""),
            info("StartOfTurn", "book", ""),
            info("Update", "book it", ""),
            info("EagerEndOfTurn", "book it for", ""),
            info("TurnResumed", "book it for", ""),
            info("Update", "book it for two", ""),
            info("EndOfTurn", "Book it for two.", r#","trigger":"model""#),
            of_turn(1, &info("EndOfTurn", "now", r#","trigger":"manual""#)),
            of_turn(2, &info("EndOfTurn", "", r#","trigger":"timeout""#)),
        ]);
        assert_eq!(
            heard,
            [
                Heard::SpeechStarted,
                Heard::Interim("book".into()),
                Heard::Interim("book it".into()),
                Heard::Eager {
                    text: "book it for".into(),
                    confidence: 0.83
                },
                Heard::Resumed,
                Heard::Interim("book it for".into()),
                Heard::Interim("book it for two".into()),
                end("Book it for two.", HeardEnd::EndOfTurn),
                end("now", HeardEnd::Forced),
                Heard::SpeechEnded,
            ]
        );
    }

    #[test]
    fn a_turn_ends_once() {
        let yes = info("EndOfTurn", "yes", "");
        let again = of_turn(1, &yes);
        let heard = read(&[yes.clone(), yes, info("Update", "yes", ""), again]);
        assert_eq!(heard, vec![end("yes", HeardEnd::EndOfTurn); 2]);
    }

    #[test]
    fn what_we_do_not_know_passes_by_and_an_error_ends_it() {
        for text in [
            "",
            "null",
            "{",
            "{}",
            r#"{"type":"Novelty","event":"EndOfTurn"}"#,
            r#"{"type":"TurnInfo"}"#,
            r#"{"type":"TurnInfo","event":"Novelty","transcript":null}"#,
            r#"{"type":"Warning","code":"x","description":"y"}"#,
            r#"{"type":"ConfigureFailure","sequence_id":8}"#,
        ] {
            assert_eq!(read(&[text.to_owned()]), [], "{text}");
        }
        let error =
            r#"{"type":"Error","sequence_id":9,"code":"INTERNAL_SERVER_ERROR","description":"x"}"#;
        let error = Flux::new(Format::Mulaw8k)
            .read(error, &mut Vec::new())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "deepgram transcriber: server error INTERNAL_SERVER_ERROR"
        );
    }

    #[test]
    fn the_query_holds_what_flux_knows_and_nothing_else() {
        let spec = TranscriberSpec {
            model: "flux-general-multi".into(),
            language: "hi".into(),
            endpointing_ms: 250,
            keywords: vec!["Bolo".into(), "Plivo one".into()],
            format: Format::Mulaw8k,
            execution: String::new(),
        };
        let settings = Settings {
            eot_threshold: 0.8,
            eager_eot_threshold: Some(0.5),
            eot_timeout_ms: 500,
            language_hints: vec!["hi".into(), "en".into()],
        };
        let url = listen_url("wss://eu.example/dg/", &spec, &settings).unwrap();
        assert_eq!(
            url.as_str(),
            "wss://eu.example/dg/v2/listen?model=flux-general-multi&encoding=mulaw&sample_rate=8000\
             &eot_threshold=0.8&eager_eot_threshold=0.5&eot_timeout_ms=500&language_hint=hi\
             &language_hint=en&keyterm=Bolo&keyterm=Plivo+one"
        );
    }

    #[test]
    fn audio_goes_in_steps_of_the_model() {
        let mut flux = Flux::new(Format::Mulaw8k);
        let frame = || Bytes::from(vec![0xFF; 160]);
        for _ in 0..3 {
            assert_eq!(flux.audio(frame()), None);
        }
        assert_eq!(flux.audio(frame()), Some(Message::binary(vec![0xFF; 640])));
        flux.audio(frame());
        assert_eq!(
            flux.end_turn(),
            [
                Message::binary(vec![0xFF; 160]),
                Message::text(r#"{"type":"ForceEndTurn"}"#)
            ]
        );
        assert_eq!(flux.finish(), [Message::text(r#"{"type":"CloseStream"}"#)]);
    }
}
