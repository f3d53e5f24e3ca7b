//! Plivo's audio streams: the JSON messages of a call's WebSocket, both ways. Source: wire-telephony.md §2.7.
//!
//! No `stop` is promised: the end of the socket is the end of the stream. Checkpoints that a clear drops
//! are never echoed; one `clearedAudio` comes instead.

use base64::Engine;
use bolo_audio::Format;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Frame, MediaCommand, MediaError, MediaEvent, MediaWire,
    json::{BASE64, Named, Number, Text, missing, quoted},
    plain,
};

/// What stands before the audio of a message; the format is always what we asked for.
const AUDIO: &str =
    r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000,"payload":""#;
const AUDIO_END: &str = "\"}}";

/// Codec of one stream. Remembers its id, and when it began.
#[derive(Default)]
pub(super) struct Wire {
    stream: Option<Stream>,
}

struct Stream {
    id: String,
    /// `{"event":"checkpoint","streamId":"…","name":`
    mark: String,
    clear: String,
    /// Timestamp of the first audio: some deployments count from the epoch, others from the start.
    first_ms: Option<u64>,
}

/// A message of any kind: one flat struct, because a tagged enum would buffer and copy each payload.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow, default, rename = "streamId")]
    stream_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    media: Option<Media<'a>>,
    #[serde(borrow, default)]
    start: Option<Start<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    dtmf: Option<Dtmf<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow, default)]
    track: Option<Text<'a>>,
    #[serde(default)]
    timestamp: Number,
    /// Base64 of mu-law, 8 kHz, without a header.
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, rename = "callId")]
    call_id: Text<'a>,
    #[serde(borrow, rename = "streamId")]
    stream_id: Text<'a>,
    #[serde(borrow, default, rename = "mediaFormat")]
    media_format: Option<MediaFormat<'a>>,
}

#[derive(Deserialize)]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Text<'a>,
    #[serde(rename = "sampleRate")]
    sample_rate: Number,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Text<'a>,
}

/// Only `start` is worth a copy of these; each message carries them.
#[derive(Deserialize)]
struct Headers {
    #[serde(default)]
    extra_headers: Value,
}

impl MediaWire for Wire {
    fn decode(&mut self, text: &str) -> Result<Option<MediaEvent>, MediaError> {
        if let Some(stream) = &mut self.stream
            && let Some(audio) = plain::audio(text, "streamId")
            && audio.stream == stream.id
        {
            return stream.event(audio.payload, audio.timestamp_ms);
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
            return self.start(message, text).map(Some);
        }
        if !is_known(event) {
            return Ok(None);
        }
        let Some(stream) = &mut self.stream else {
            return Err(MediaError(format!("{event} before start")));
        };
        if message
            .stream_id
            .as_ref()
            .is_some_and(|id| id.0 != stream.id)
        {
            return Err(MediaError(format!("{event} of another stream")));
        }
        match event {
            "media" => stream.audio(message.media),
            "playedStream" => {
                let name = message.name.ok_or_else(|| missing("name"))?;
                Ok(Some(MediaEvent::Mark(name.0.into_owned())))
            }
            "clearedAudio" => Ok(Some(MediaEvent::Cleared)),
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
            MediaCommand::Audio(audio) if audio.is_empty() => None,
            MediaCommand::Audio(audio) => {
                let length = AUDIO.len() + audio.len().div_ceil(3) * 4 + AUDIO_END.len();
                let mut text = String::with_capacity(length);
                text.push_str(AUDIO);
                BASE64.encode_string(audio, &mut text);
                text.push_str(AUDIO_END);
                Some(text)
            }
            MediaCommand::Mark(name) => Some(format!("{}{}}}", stream.mark, quoted(name))),
            MediaCommand::Clear => Some(stream.clear.clone()),
            MediaCommand::Flush => None,
        }
    }

    fn start(&mut self, message: Message<'_>, text: &str) -> Result<MediaEvent, MediaError> {
        let start = message.start.ok_or_else(|| missing("start"))?;
        if let Some(format) = start.media_format
            && !(format.encoding.0 == "audio/x-mulaw" && format.sample_rate.0 == 8000)
        {
            let (encoding, rate) = (format.encoding.0, format.sample_rate.0);
            return Err(MediaError(format!(
                "start.mediaFormat is {encoding} at {rate} Hz, not audio/x-mulaw at 8000 Hz"
            )));
        }
        let headers: Headers =
            serde_json::from_str(text).map_err(|error| MediaError(error.to_string()))?;
        self.stream = Some(Stream::new(start.stream_id.0.into_owned()));
        Ok(MediaEvent::Start {
            call_id: start.call_id.0.into_owned(),
            parameters: parameters(headers.extra_headers),
            format: Format::Mulaw8k,
        })
    }
}

impl Stream {
    fn new(id: String) -> Self {
        let quoted = quoted(&id);
        Self {
            mark: format!(r#"{{"event":"checkpoint","streamId":{quoted},"name":"#),
            clear: format!(r#"{{"event":"clearAudio","streamId":{quoted}}}"#),
            first_ms: None,
            id,
        }
    }

    fn audio(&mut self, media: Option<Media<'_>>) -> Result<Option<MediaEvent>, MediaError> {
        let media = media.ok_or_else(|| missing("media"))?;
        if media
            .track
            .is_some_and(|track| !track.0.starts_with("inbound"))
        {
            return Ok(None);
        }
        self.event(&media.payload.0, media.timestamp.0)
    }

    fn event(
        &mut self,
        payload: &str,
        timestamp_ms: u64,
    ) -> Result<Option<MediaEvent>, MediaError> {
        let payload = BASE64
            .decode(payload)
            .map_err(|error| MediaError(format!("media.payload is no base64: {error}")))?;
        if payload.is_empty() {
            return Ok(None);
        }
        let first = *self.first_ms.get_or_insert(timestamp_ms);
        Ok(Some(MediaEvent::Audio {
            payload: payload.into(),
            timestamp_ms: timestamp_ms.saturating_sub(first),
        }))
    }
}

fn is_known(event: &str) -> bool {
    matches!(
        event,
        "start" | "media" | "dtmf" | "playedStream" | "clearedAudio" | "stop"
    )
}

/// `extra_headers` in the shapes that were seen: `k=v;l=w`, `k=v,l=w`, `{X-PH-k: v}`, an object's text, an
/// object.
fn parameters(headers: Value) -> Vec<(String, String)> {
    let named = |name: &str, value: String| {
        let name = name.trim();
        (name.strip_prefix("X-PH-").unwrap_or(name).to_owned(), value)
    };
    match headers {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => named(&name, text),
                other => named(&name, other.to_string()),
            })
            .collect(),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => parameters(Value::Object(fields)),
            _ => text
                .trim_matches(['{', '}'])
                .split([';', ','])
                .filter_map(|pair| pair.split_once(['=', ':']))
                .map(|(name, value)| named(name, value.trim().to_owned()))
                .collect(),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;
