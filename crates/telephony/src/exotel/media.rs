//! Exotel's streams: the JSON messages of a call's WebSocket, both ways. Source: wire-telephony.md §3.2.
//!
//! Twilio's messages in snake case, with 16-bit samples: the line itself is G.711, so they are mu-law on our
//! side, as with every carrier. Pieces of other sizes than Exotel wants leave gaps.

use base64::Engine;
use bolo_audio::{Format, pcm_bytes, samples};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Frame, MediaCommand, MediaError, MediaEvent, MediaWire,
    json::{BASE64, Named, Number, Text, missing, quoted},
    pieces::Pieces,
};

const FORMAT: Format = Format::Mulaw8k;
/// As it stands in messages.
const WIRE: Format = Format::Pcm16 { rate: 8000 };
/// 20 ms, 320 bytes of theirs.
const UNIT: usize = 160;
/// "3.2 k" of theirs. At 8 kHz that is 200 ms, whatever the page says of 100 ms.
const LEAST: usize = 1600;

/// Codec of one stream. Remembers its id, which every message we send must carry.
#[derive(Default)]
pub(super) struct Wire {
    stream: Option<Stream>,
}

struct Stream {
    id: String,
    /// `{"event":"media","stream_sid":"…","media":{"payload":"`
    audio: String,
    /// `{"event":"mark","stream_sid":"…","mark":{"name":`
    mark: String,
    clear: String,
    pieces: Pieces,
    /// Marks behind audio that fills no piece yet: a shorter one would leave a gap in the midst of an answer, so they
    /// follow the piece that has it. They come late by what that has behind it, less than 200 ms.
    marks: Vec<String>,
}

/// A message of any kind: one flat struct, because a tagged enum would buffer and copy each payload.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow, default)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow, default)]
    media: Option<Media<'a>>,
    #[serde(borrow, default)]
    start: Option<Start<'a>>,
    #[serde(borrow, default)]
    mark: Option<Mark<'a>>,
    #[serde(borrow, default)]
    dtmf: Option<Dtmf<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    /// Since the stream's start, ms.
    #[serde(default)]
    timestamp: Number,
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    call_sid: Text<'a>,
    #[serde(default)]
    media_format: Option<MediaFormat>,
    #[serde(default)]
    custom_parameters: Option<Map<String, Value>>,
}

/// What stands in `encoding` says nothing of the samples: `base64`, `audio/x-raw`.
#[derive(Deserialize)]
struct MediaFormat {
    sample_rate: Number,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Text<'a>,
}

impl MediaWire for Wire {
    fn decode(&mut self, text: &str) -> Result<Option<MediaEvent>, MediaError> {
        let message: Message<'_> = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                return match serde_json::from_str::<Named<'_>>(text) {
                    Ok(named) if !is_known(&named.event.0) => Ok(None),
                    _ => Err(MediaError(error.to_string())),
                };
            }
        };
        let event: &str = &message.event.0;
        if event == "start" {
            return self.start(message).map(Some);
        }
        if !is_known(event) || event == "connected" {
            return Ok(None);
        }
        let Some(stream) = &self.stream else {
            return Err(MediaError(format!("{event} before start")));
        };
        if message
            .stream_sid
            .as_ref()
            .is_some_and(|sid| sid.0 != stream.id)
        {
            return Err(MediaError(format!("{event} of another stream")));
        }
        match event {
            "media" => audio(message.media),
            "mark" => {
                let mark = message.mark.ok_or_else(|| missing("mark"))?;
                Ok(Some(MediaEvent::Mark(mark.name.0.into_owned())))
            }
            "dtmf" => {
                let digit = message.dtmf.and_then(|dtmf| dtmf.digit.0.chars().next());
                Ok(Some(MediaEvent::Dtmf(
                    digit.ok_or_else(|| missing("dtmf.digit"))?,
                )))
            }
            "clear" => Ok(Some(MediaEvent::Cleared)),
            _ => Ok(Some(MediaEvent::Stop)),
        }
    }

    fn encode(&mut self, command: &MediaCommand, out: &mut Vec<Frame>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        match command {
            MediaCommand::Audio(audio) => {
                let piece = stream.pieces.push(audio);
                stream.leave(piece, out);
            }
            MediaCommand::Mark(name) if stream.pieces.is_empty() => out.push(stream.mark(name)),
            MediaCommand::Mark(name) => stream.marks.push(name.clone()),
            MediaCommand::Clear => {
                stream.pieces.clear();
                stream.marks.clear();
                out.push(Frame::Text(stream.clear.clone()));
            }
            MediaCommand::Flush => {
                let rest = stream.pieces.flush();
                stream.leave(rest, out);
            }
        }
    }

    fn marks(&self) -> bool {
        true
    }
}

impl Wire {
    fn start(&mut self, message: Message<'_>) -> Result<MediaEvent, MediaError> {
        let start = message.start.ok_or_else(|| missing("start"))?;
        let id = start
            .stream_sid
            .or(message.stream_sid)
            .ok_or_else(|| missing("stream_sid"))?;
        if let Some(format) = start.media_format
            && format.sample_rate.0 != u64::from(FORMAT.rate())
        {
            let rate = format.sample_rate.0;
            return Err(MediaError(format!(
                "start.media_format is at {rate} Hz, not at 8000 Hz"
            )));
        }
        self.stream = Some(Stream::new(id.0.into_owned()));
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(MediaEvent::Start {
            call_id: start.call_sid.0.into_owned(),
            parameters: start
                .custom_parameters
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
            format: FORMAT,
        })
    }
}

impl Stream {
    fn new(id: String) -> Self {
        let sid = quoted(&id);
        Self {
            audio: format!(r#"{{"event":"media","stream_sid":{sid},"media":{{"payload":""#),
            mark: format!(r#"{{"event":"mark","stream_sid":{sid},"mark":{{"name":"#),
            clear: format!(r#"{{"event":"clear","stream_sid":{sid}}}"#),
            pieces: Pieces::new(UNIT, LEAST, FORMAT.silence()),
            marks: Vec::new(),
            id,
        }
    }

    /// A piece, which has all that was held back, and the marks that waited for it.
    fn leave(&mut self, piece: Option<Bytes>, out: &mut Vec<Frame>) {
        let Some(piece) = piece else { return };
        out.push(self.audio(&piece));
        let marks = std::mem::take(&mut self.marks);
        out.extend(marks.iter().map(|name| self.mark(name)));
    }

    fn mark(&self, name: &str) -> Frame {
        Frame::Text(format!("{}{}}}}}", self.mark, quoted(name)))
    }

    fn audio(&self, audio: &Bytes) -> Frame {
        let mut text = String::with_capacity(self.audio.len() + audio.len().div_ceil(3) * 8 + 3);
        text.push_str(&self.audio);
        BASE64.encode_string(convert(audio, FORMAT, WIRE), &mut text);
        text.push_str("\"}}");
        Frame::Text(text)
    }
}

fn audio(media: Option<Media<'_>>) -> Result<Option<MediaEvent>, MediaError> {
    let media = media.ok_or_else(|| missing("media"))?;
    let payload = BASE64
        .decode(media.payload.0.as_bytes())
        .map_err(|error| MediaError(format!("media.payload is no base64: {error}")))?;
    if payload.len() % 2 != 0 {
        return Err(MediaError("media.payload holds half a sample".to_owned()));
    }
    if payload.is_empty() {
        return Ok(None);
    }
    Ok(Some(MediaEvent::Audio {
        payload: convert(&payload, WIRE, FORMAT),
        timestamp_ms: media.timestamp.0,
    }))
}

fn convert(audio: &[u8], from: Format, to: Format) -> Bytes {
    let mut line = Vec::with_capacity(audio.len());
    samples(audio, from, &mut line);
    pcm_bytes(&line, to)
}

fn is_known(event: &str) -> bool {
    matches!(
        event,
        "connected" | "start" | "media" | "dtmf" | "mark" | "clear" | "stop"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const START: &str = r#"{"event":"start","sequence_number":"1","stream_sid":"s","start":{"stream_sid":"s","call_sid":"c","account_sid":"a","from":"0987","to":"080","custom_parameters":{"p":"v"},"media_format":{"encoding":"base64","sample_rate":"8000","bit_rate":"128kbps"}}}"#;

    fn started() -> Wire {
        let mut wire = Wire::default();
        let start = wire.decode(START).unwrap();
        let expected = MediaEvent::Start {
            call_id: "c".into(),
            parameters: vec![("p".into(), "v".into())],
            format: FORMAT,
        };
        assert_eq!(start, Some(expected));
        wire
    }

    fn sent(wire: &mut Wire, command: &MediaCommand) -> Vec<String> {
        let mut out = Vec::new();
        wire.encode(command, &mut out);
        let text = |frame| match frame {
            Frame::Text(text) => text,
            Frame::Binary(_) => panic!("binary"),
        };
        out.into_iter().map(text).collect()
    }

    #[test]
    fn every_message_of_the_carrier() {
        let mut wire = started();
        assert_eq!(wire.decode(r#"{"event":"connected"}"#), Ok(None));
        let media = r#"{"event":"media","sequence_number":"3","stream_sid":"s","media":{"chunk":"2","timestamp":"10","payload":"AAAAAA=="}}"#;
        let audio = MediaEvent::Audio {
            payload: Bytes::from_static(&[0xFF, 0xFF]),
            timestamp_ms: 10,
        };
        assert_eq!(wire.decode(media), Ok(Some(audio)));
        for (text, event) in [
            (
                r#"{"event":"dtmf","stream_sid":"s","dtmf":{"digit":"1","duration":"100"}}"#,
                MediaEvent::Dtmf('1'),
            ),
            (
                r#"{"event":"mark","stream_sid":"s","mark":{"name":"m"}}"#,
                MediaEvent::Mark("m".into()),
            ),
            (r#"{"event":"clear","stream_sid":"s"}"#, MediaEvent::Cleared),
            (
                r#"{"event":"stop","stream_sid":"s","stop":{"call_sid":"c","reason":"callended"}}"#,
                MediaEvent::Stop,
            ),
        ] {
            assert_eq!(wire.decode(text), Ok(Some(event)), "{text}");
        }
        for bad in [
            "{",
            r#"{"event":"media","stream_sid":"t","media":{"payload":"AQI="}}"#,
            r#"{"event":"media","stream_sid":"s","media":{"payload":"AQ=="}}"#,
            r#"{"event":"media","stream_sid":"s","media":{"payload":"?"}}"#,
        ] {
            assert!(wire.decode(bad).is_err(), "{bad}");
        }
        assert!(Wire::default().decode(media).is_err());
        assert!(
            Wire::default()
                .decode(&START.replace("\"8000\"", "\"16000\""))
                .is_err()
        );
    }

    #[test]
    fn audio_leaves_in_pieces_without_gaps() {
        let mut wire = started();
        let audio = |bytes: usize| MediaCommand::Audio(vec![0xFF; bytes].into());
        assert_eq!(sent(&mut wire, &audio(800)), [""; 0]);
        let mark = |name: &str| MediaCommand::Mark(name.into());
        let piece = |wire_bytes: usize| {
            let payload = BASE64.encode(vec![0; wire_bytes]);
            format!(r#"{{"event":"media","stream_sid":"s","media":{{"payload":"{payload}"}}}}"#)
        };
        let named = |name: &str| {
            format!(r#"{{"event":"mark","stream_sid":"s","mark":{{"name":"{name}"}}}}"#)
        };
        assert_eq!(sent(&mut wire, &audio(850)), [piece(3200)]);
        // In the midst of an answer a mark waits for the rest of its piece;
        assert_eq!(sent(&mut wire, &mark("1:1")), [""; 0]);
        assert_eq!(sent(&mut wire, &audio(2000)), [piece(3840), named("1:1")]);
        assert_eq!(sent(&mut wire, &audio(90)), [""; 0]);
        assert_eq!(sent(&mut wire, &mark("1:end")), [""; 0]);
        // where nothing follows, the rest is filled up.
        let end = sent(&mut wire, &MediaCommand::Flush);
        assert_eq!(end, [piece(3200), named("1:end")]);
        assert_eq!(sent(&mut wire, &MediaCommand::Flush), [""; 0]);
        assert_eq!(sent(&mut wire, &mark("2:end")), [named("2:end")]);
        assert_eq!(sent(&mut wire, &audio(10)), [""; 0]);
        assert_eq!(sent(&mut wire, &mark("3:1")), [""; 0]);
        assert_eq!(
            sent(&mut wire, &MediaCommand::Clear),
            [r#"{"event":"clear","stream_sid":"s"}"#]
        );
        assert_eq!(sent(&mut wire, &MediaCommand::Flush), [""; 0]);
    }
}
