//! The browser's media socket: JSON text frames, 16 kHz in, 24 kHz out, 8 kHz within. Source:
//! wire-telephony.md §4.
//!
//! The greeting (`init`, `ack`) is over when the wire begins; the stream has no `start` of its own.

use base64::Engine;
use bolo_audio::{Converter, Format, wav_file};
use serde::Deserialize;

use crate::{
    Frame, MediaCommand, MediaError, MediaEvent, MediaWire,
    json::{BASE64, Text, missing, quoted},
};

/// What browsers send.
const SENT: Format = Format::Pcm16 { rate: 16_000 };
/// What the call runs on: what every carrier and vendor is used with.
const CALL: Format = Format::Mulaw8k;
/// What browsers play.
const PLAYED: Format = Format::Pcm16 { rate: 24_000 };

/// Bytes of a turn that is typed.
const MOST_TYPED: usize = 8192;

/// Codec of one browser's socket.
pub struct Browser {
    heard_bytes: u64,
    from_browser: Converter,
    to_browser: Converter,
    /// Each message is a whole WAV file: the old library decodes them one by one.
    as_wav: bool,
}

impl Browser {
    /// Of the call, both ways.
    pub const FORMAT: Format = CALL;

    /// `as_wav` for the library that decodes each message as a file of its own.
    pub fn new(as_wav: bool) -> Result<Self, MediaError> {
        let converter =
            |from, to| Converter::new(from, to).map_err(|error| MediaError(error.to_string()));
        Ok(Self {
            heard_bytes: 0,
            from_browser: converter(SENT, CALL)?,
            to_browser: converter(CALL, PLAYED)?,
            as_wav,
        })
    }

    fn text(&mut self, command: &MediaCommand) -> Option<String> {
        match command {
            MediaCommand::Audio(audio) => {
                let audio = self.to_browser.convert(audio.clone());
                if audio.is_empty() {
                    return None;
                }
                let audio = if self.as_wav {
                    wav_file(&audio, PLAYED.rate())
                } else {
                    audio
                };
                Some(format!(
                    r#"{{"type":"audio","data":"{}"}}"#,
                    BASE64.encode(audio)
                ))
            }
            MediaCommand::Mark(name) => {
                Some(format!(r#"{{"type":"mark","name":{}}}"#, quoted(name)))
            }
            MediaCommand::Clear => {
                self.to_browser.reset();
                Some(r#"{"data":null,"type":"clear"}"#.to_owned())
            }
            MediaCommand::Flush => None,
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

impl MediaWire for Browser {
    fn decode(&mut self, text: &str) -> Result<Option<MediaEvent>, MediaError> {
        let kind: Kind<'_> =
            serde_json::from_str(text).map_err(|error| MediaError(error.to_string()))?;
        if !["audio", "mark", "text"].contains(&&*kind.kind.0) {
            return Ok(None);
        }
        let message: Message<'_> =
            serde_json::from_str(text).map_err(|error| MediaError(error.to_string()))?;
        if message.kind.0 == "mark" {
            let name = message.name.ok_or_else(|| missing("name"))?;
            return Ok(Some(MediaEvent::Mark(name.0.into_owned())));
        }
        let data = message.data.ok_or_else(|| missing("data"))?;
        if message.kind.0 == "text" {
            if data.0.len() > MOST_TYPED {
                return Err(MediaError(format!(
                    "data of a text has more than {MOST_TYPED} bytes"
                )));
            }
            return Ok(Some(MediaEvent::Typed(data.0.into_owned())));
        }
        let payload = BASE64
            .decode(data.0.as_bytes())
            .map_err(|error| MediaError(format!("data is no base64: {error}")))?;
        let payload = self.from_browser.convert(payload.into());
        if payload.is_empty() {
            return Ok(None);
        }
        let timestamp_ms = CALL.ms(usize::try_from(self.heard_bytes).unwrap_or(usize::MAX));
        self.heard_bytes += payload.len() as u64;
        Ok(Some(MediaEvent::Audio {
            payload,
            timestamp_ms,
        }))
    }

    fn encode(&mut self, command: &MediaCommand, out: &mut Vec<Frame>) {
        out.extend(self.text(command).map(Frame::Text));
    }

    fn marks(&self) -> bool {
        true
    }

    fn is_the_call(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn audio(bytes: usize) -> String {
        json!({ "type": "audio", "data": BASE64.encode(vec![1; bytes]) }).to_string()
    }

    #[test]
    fn audio_of_any_size_is_heard_on_one_clock() {
        let mut browser = Browser::new(false).unwrap();
        let (mut bytes, mut last) = (0, 0);
        for size in [8192, 640, 640, 6400] {
            if let Ok(Some(MediaEvent::Audio {
                payload,
                timestamp_ms,
            })) = browser.decode(&audio(size))
            {
                assert_eq!(timestamp_ms, CALL.ms(bytes));
                last = timestamp_ms;
                bytes += payload.len();
            }
        }
        // 496 ms, less what the converter still holds.
        assert!((3_750..=3_968).contains(&bytes), "{bytes}");
        assert!(last > 250, "{last}");
    }

    #[test]
    fn what_is_unknown_passes_and_what_is_broken_is_told() {
        let mut browser = Browser::new(false).unwrap();
        for text in [
            r#"{"type":"init","meta_data":{}}"#,
            r#"{"type":"weather","data":"hi"}"#,
            r#"{"type":"audio","data":""}"#,
        ] {
            assert_eq!(browser.decode(text), Ok(None), "{text}");
        }
        for text in [
            "{",
            r#"{"data":"x"}"#,
            r#"{"type":"audio"}"#,
            r#"{"type":"audio","data":"*"}"#,
            r#"{"type":"mark"}"#,
            r#"{"type":"text"}"#,
            &json!({ "type": "text", "data": "x".repeat(8193) }).to_string(),
        ] {
            assert!(browser.decode(text).is_err(), "{text}");
        }
        let typed = browser.decode(r#"{"type":"text","data":"hi"}"#);
        assert_eq!(typed, Ok(Some(MediaEvent::Typed("hi".into()))));
        let mark = browser.decode(r#"{"type":"mark","name":"1:end"}"#);
        assert_eq!(mark, Ok(Some(MediaEvent::Mark("1:end".into()))));
    }

    #[test]
    fn speech_goes_out_at_24_khz_as_a_file_where_it_must() {
        for (as_wav, header) in [(false, 0), (true, 44)] {
            let mut browser = Browser::new(as_wav).unwrap();
            let mut bytes = 0;
            for _ in 0..50 {
                let frame = MediaCommand::Audio(vec![0xFF; 160].into());
                let Some(text) = browser.text(&frame) else {
                    continue;
                };
                let message: Value = serde_json::from_str(&text).unwrap();
                let data = BASE64.decode(message["data"].as_str().unwrap()).unwrap();
                assert_eq!(data.starts_with(b"RIFF"), as_wav);
                bytes += data.len() - header;
            }
            // A second, less what the resampler still holds.
            assert!((46_000..=48_000).contains(&bytes), "{bytes}");
            let clear = browser.text(&MediaCommand::Clear).unwrap();
            assert_eq!(clear, r#"{"data":null,"type":"clear"}"#);
            assert_eq!(
                browser.text(&MediaCommand::Mark("a\"b".into())).unwrap(),
                r#"{"type":"mark","name":"a\"b"}"#
            );
        }
    }
}
