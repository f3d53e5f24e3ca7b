//! Deepgram's messages, and what they amount to for a turn. Sources: wire-providers.md §1.1,
//! runtime.md R25-R28.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Heard, HeardEnd};

/// What a message amounts to.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    Heard(Heard),
    /// Seconds of audio billed.
    Duration(f64),
    /// The vendor's own words.
    Failure(String),
    /// Nothing for us: an empty window, an unknown type, garbage.
    Nothing,
}

/// One flat message: types that we don't know, and fields that we don't need, pass by.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    is_final: Option<bool>,
    speech_final: Option<bool>,
    from_finalize: Option<bool>,
    /// A [`Channel`] in `Results`; a pair of numbers in `SpeechStarted` and `UtteranceEnd`.
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    start: Option<f64>,
    duration: Option<f64>,
    variant: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: Option<String>,
}

/// Where the turn stands.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Finals were told since the last turn end.
    finals: bool,
    /// The last interim of the open window has text.
    interim: bool,
    /// The window last frozen: start and duration, seconds of audio.
    frozen: Option<(f64, f64)>,
    /// Garbage was reported already.
    complained: bool,
}

impl Turns {
    pub(super) fn read(&mut self, text: &str) -> Reading {
        let wire: Wire<'_> = match serde_json::from_str(text) {
            Ok(wire) => wire,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "unreadable message from deepgram; further ones are not reported");
                }
                return Reading::Nothing;
            }
        };
        match &*wire.r#type {
            "Results" => self.results(wire),
            "SpeechStarted" => Reading::Heard(Heard::SpeechStarted),
            "UtteranceEnd" => Reading::Heard(self.end(String::new(), HeardEnd::UtteranceEnd)),
            "Metadata" => wire.duration.map_or(Reading::Nothing, Reading::Duration),
            // Our own text was not understood: the stream goes on.
            "Error" if wire.variant.as_deref() == Some("SchemaError") => {
                tracing::warn!(
                    description = wire.description,
                    "deepgram did not understand a message"
                );
                Reading::Nothing
            }
            "Error" => Reading::Failure(wire.description.unwrap_or_default()),
            _ => Reading::Nothing,
        }
    }

    fn results(&mut self, wire: Wire<'_>) -> Reading {
        // Of another form it says nothing.
        let channel = wire
            .channel
            .and_then(|json| serde_json::from_str::<Channel>(json.get()).ok());
        let first = channel.and_then(|channel| channel.alternatives.into_iter().next());
        let text = first.and_then(|first| first.transcript);
        let mut text = text.map(|text| text.trim().to_owned()).unwrap_or_default();
        if wire.is_final == Some(true) && self.is_told(&wire) {
            text.clear();
        }
        if wire.speech_final == Some(true) {
            return Reading::Heard(self.end(text, HeardEnd::SpeechFinal));
        }
        if wire.from_finalize == Some(true) {
            return Reading::Heard(self.end(text, HeardEnd::Forced));
        }
        if wire.is_final == Some(true) {
            let had_interim = std::mem::take(&mut self.interim);
            return match (text.is_empty(), had_interim) {
                (false, _) => {
                    self.finals = true;
                    Reading::Heard(Heard::Final(text))
                }
                // The vendor took its interim back.
                (true, true) => Reading::Heard(Heard::Interim(String::new())),
                (true, false) => Reading::Nothing,
            };
        }
        if text.is_empty() {
            return Reading::Nothing;
        }
        self.interim = true;
        Reading::Heard(Heard::Interim(text))
    }

    /// Whether the text of a frozen window was told already: each comes once, but for a fault of the vendor.
    fn is_told(&mut self, wire: &Wire<'_>) -> bool {
        let window = wire.start.zip(wire.duration);
        // One without audio may be empty as often as it is asked for.
        let window = window.filter(|(_, duration)| *duration > 0.0);
        window.is_some() && std::mem::replace(&mut self.frozen, window) == window
    }

    /// A turn ends only if something was said in it.
    fn end(&mut self, text: String, why: HeardEnd) -> Heard {
        let finals = std::mem::take(&mut self.finals);
        self.interim = false;
        if finals || !text.is_empty() {
            Heard::TurnEnd { text, why }
        } else {
            Heard::SpeechEnded
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(text: &str, is_final: bool, speech_final: bool) -> String {
        format!(
            r#"{{"type":"Results","channel_index":[0,1],"start":0.0,"duration":1.02,"is_final":{is_final},"speech_final":{speech_final},"channel":{{"alternatives":[{{"transcript":"{text}","confidence":0.98,"words":[]}}]}},"metadata":{{"request_id":"x"}},"from_finalize":false}}"#
        )
    }

    /// The same at another time.
    fn later(results: &str, start: &str) -> String {
        results.replace(r#""start":0.0"#, &format!(r#""start":{start}"#))
    }

    const UTTERANCE_END: &str = r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.4}"#;

    fn read(messages: &[String]) -> Vec<Reading> {
        let mut turns = Turns::default();
        messages.iter().map(|message| turns.read(message)).collect()
    }

    fn end(text: &str, why: HeardEnd) -> Reading {
        Reading::Heard(Heard::TurnEnd {
            text: text.into(),
            why,
        })
    }

    #[test]
    fn finals_gather_until_speech_final() {
        let heard = read(&[
            r#"{"type":"SpeechStarted","channel":[0,1],"timestamp":9.54}"#.into(),
            results("where is", false, false),
            results("where is my order", true, false),
            later(&results("and my refund", true, true), "1.02"),
            UTTERANCE_END.into(),
        ]);
        assert_eq!(
            heard,
            [
                Reading::Heard(Heard::SpeechStarted),
                Reading::Heard(Heard::Interim("where is".into())),
                Reading::Heard(Heard::Final("where is my order".into())),
                end("and my refund", HeardEnd::SpeechFinal),
                Reading::Heard(Heard::SpeechEnded),
            ]
        );
    }

    #[test]
    fn an_empty_speech_final_ends_a_turn_only_if_finals_are_pending() {
        let heard = read(&[
            results("", true, true),
            later(&results("yes", true, false), "1.02"),
            later(&results("", true, true), "2.04"),
        ]);
        assert_eq!(heard[0], Reading::Heard(Heard::SpeechEnded));
        assert_eq!(heard[2], end("", HeardEnd::SpeechFinal));
    }

    #[test]
    fn a_window_is_told_once() {
        let yes = results("yes", true, true);
        let pending = later(&results("and", true, false), "1.02");
        let heard = read(&[
            yes.clone(),
            yes,
            pending.clone(),
            pending,
            later(&results("yes", true, true), "2.04"),
        ]);
        assert_eq!(
            heard,
            [
                end("yes", HeardEnd::SpeechFinal),
                Reading::Heard(Heard::SpeechEnded),
                Reading::Heard(Heard::Final("and".into())),
                Reading::Nothing,
                end("yes", HeardEnd::SpeechFinal),
            ]
        );
    }

    #[test]
    fn an_utterance_end_is_the_second_way_to_end_a_turn() {
        let heard = read(&[
            results("yes", true, false),
            UTTERANCE_END.into(),
            UTTERANCE_END.into(),
        ]);
        assert_eq!(heard[1], end("", HeardEnd::UtteranceEnd));
        assert_eq!(heard[2], Reading::Heard(Heard::SpeechEnded));
    }

    #[test]
    fn an_interim_that_is_taken_back_is_cleared() {
        let heard = read(&[
            results("uh", false, false),
            results("", true, false),
            results("", true, false),
        ]);
        assert_eq!(heard[1], Reading::Heard(Heard::Interim(String::new())));
        assert_eq!(heard[2], Reading::Nothing);
    }

    #[test]
    fn the_bill_and_failures() {
        let heard = read(&[
            r#"{"type":"Metadata","request_id":"x","duration":12.3,"channels":1}"#.into(),
            r#"{"type":"Error","variant":"SchemaError","description":"no","message":"{}"}"#.into(),
            r#"{"type":"Error","description":"internal"}"#.into(),
        ]);
        assert_eq!(
            heard,
            [
                Reading::Duration(12.3),
                Reading::Nothing,
                Reading::Failure("internal".into())
            ]
        );
    }

    #[test]
    fn what_we_do_not_know_passes_by() {
        for text in [
            "",
            "null",
            "5",
            "{",
            "{}",
            r#"{"type":"Novelty","channel":"x"}"#,
            r#"{"type":"Results"}"#,
            r#"{"type":"Results","is_final":null,"channel":{"alternatives":[]}}"#,
            r#"{"type":"Results","is_final":true,"channel":{"alternatives":[{"transcript":null}]}}"#,
            r#"{"type":"Metadata"}"#,
        ] {
            assert_eq!(Turns::default().read(text), Reading::Nothing, "{text}");
        }
    }
}
