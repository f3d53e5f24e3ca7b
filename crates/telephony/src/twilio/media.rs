//! Twilio Media Streams: the JSON messages of a call's WebSocket, both ways. Source: wire-telephony.md §1.9.
//!
//! Fifty messages a second and call come in, so the usual one is read by its quotes (`plain.rs`), any other once into
//! borrowed fields, and what goes out is a prefix made once a stream, base64, and a suffix.

use base64::Engine;
use bolo_audio::Format;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Frame, MediaCommand, MediaError, MediaEvent, MediaWire,
    json::{BASE64, Named, Number, Text, missing, quoted},
    plain,
};

/// Codec of one stream. Remembers its id, which every message we send must carry.
#[derive(Default)]
pub(super) struct Wire {
    stream: Option<Stream>,
}

struct Stream {
    id: String,
    /// `{"event":"media","streamSid":"MZ…","media":{"payload":"`
    audio: String,
    /// `{"event":"mark","streamSid":"MZ…","mark":{"name":`
    mark: String,
    clear: String,
}

/// A message of any kind: one flat struct, because a tagged enum would buffer and copy each payload.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow, default, rename = "streamSid")]
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
    #[serde(borrow, default)]
    track: Option<Text<'a>>,
    /// Since the stream's start, ms; on the wire a decimal string.
    #[serde(default)]
    timestamp: Number,
    /// Base64 of mu-law, 8 kHz, without a header.
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow, rename = "callSid")]
    call_sid: Text<'a>,
    #[serde(borrow, default, rename = "mediaFormat")]
    media_format: Option<MediaFormat<'a>>,
    #[serde(default, rename = "customParameters")]
    parameters: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Text<'a>,
    #[serde(rename = "sampleRate")]
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
        if let Some(stream) = &self.stream
            && let Some(audio) = plain::audio(text, "streamSid")
            && audio.stream == stream.id
        {
            return event(audio.payload, audio.timestamp_ms);
        }
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
            _ => Ok(Some(MediaEvent::Stop)),
        }
    }

    fn encode(&mut self, command: &MediaCommand, out: &mut Vec<Frame>) {
        out.extend(self.text(command).map(Frame::Text));
    }

    fn marks(&self) -> bool {
        true
    }

    fn stream_id(&self) -> &str {
        self.stream.as_ref().map_or("", |stream| &stream.id)
    }
}

impl Wire {
    fn text(&self, command: &MediaCommand) -> Option<String> {
        let stream = self.stream.as_ref()?;
        match command {
            // An empty payload is a warning at Twilio.
            MediaCommand::Audio(audio) if audio.is_empty() => None,
            MediaCommand::Audio(audio) => {
                let mut text =
                    String::with_capacity(stream.audio.len() + audio.len().div_ceil(3) * 4 + 3);
                text.push_str(&stream.audio);
                BASE64.encode_string(audio, &mut text);
                text.push_str("\"}}");
                Some(text)
            }
            MediaCommand::Mark(name) => Some(format!("{}{}}}}}", stream.mark, quoted(name))),
            MediaCommand::Clear => Some(stream.clear.clone()),
            MediaCommand::Flush => None,
        }
    }

    fn start(&mut self, message: Message<'_>) -> Result<MediaEvent, MediaError> {
        let start = message.start.ok_or_else(|| missing("start"))?;
        let id = start
            .stream_sid
            .or(message.stream_sid)
            .ok_or_else(|| missing("streamSid"))?;
        if let Some(format) = start.media_format
            && !(format.encoding.0 == "audio/x-mulaw" && format.sample_rate.0 == 8000)
        {
            let (encoding, rate) = (format.encoding.0, format.sample_rate.0);
            return Err(MediaError(format!(
                "start.mediaFormat is {encoding} at {rate} Hz, not audio/x-mulaw at 8000 Hz"
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
                .parameters
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
            format: Format::Mulaw8k,
        })
    }
}

impl Stream {
    fn new(id: String) -> Self {
        let sid = quoted(&id);
        Self {
            audio: format!(r#"{{"event":"media","streamSid":{sid},"media":{{"payload":""#),
            mark: format!(r#"{{"event":"mark","streamSid":{sid},"mark":{{"name":"#),
            clear: format!(r#"{{"event":"clear","streamSid":{sid}}}"#),
            id,
        }
    }
}

fn audio(media: Option<Media<'_>>) -> Result<Option<MediaEvent>, MediaError> {
    let media = media.ok_or_else(|| missing("media"))?;
    if media
        .track
        .is_some_and(|track| !track.0.starts_with("inbound"))
    {
        return Ok(None);
    }
    event(&media.payload.0, media.timestamp.0)
}

fn event(payload: &str, timestamp_ms: u64) -> Result<Option<MediaEvent>, MediaError> {
    let payload = BASE64
        .decode(payload)
        .map_err(|error| MediaError(format!("media.payload is no base64: {error}")))?;
    Ok((!payload.is_empty()).then(|| MediaEvent::Audio {
        payload: payload.into(),
        timestamp_ms,
    }))
}

fn is_known(event: &str) -> bool {
    matches!(
        event,
        "connected" | "start" | "media" | "dtmf" | "mark" | "stop"
    )
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
