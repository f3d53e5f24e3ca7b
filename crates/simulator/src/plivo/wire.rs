//! Messages of Plivo's audio streams, spelt out (wire-telephony.md §2.7): from the carrier as text, from the
//! server read leniently with a list of what does not belong there.

use std::{borrow::Cow, fmt::Write as _, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    carrier::{
        BadFrame,
        dialect::{self, Ask, Cleared, Complaint, Sent},
        document::Stream,
        now_ms,
    },
    g711,
};

static SILENCE: LazyLock<String> = LazyLock::new(|| STANDARD.encode([g711::SILENCE; g711::FRAME]));

/// A longer message is not taken.
const LARGEST: usize = 64 * 1024;

/// What carriers of this wire write differently.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spelling {
    /// The number of `start`.
    pub first: u64,
    /// `playedStream` names its stream.
    pub names_played: bool,
}

impl Spelling {
    pub const PLIVO: Self = Self {
        first: 1,
        names_played: true,
    };
}

/// Builds the messages of one stream and counts them.
pub(super) struct Writer {
    spelling: Spelling,
    account: &'static str,
    call: String,
    stream: String,
    /// What stands at each message's end: `,"extra_headers":"…"}`.
    tail: String,
    /// Epoch ms of the stream's start.
    epoch_ms: i64,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    pub fn new(account: &'static str, call: &str, stream: String, spelling: Spelling) -> Self {
        Self {
            spelling,
            account,
            call: call.to_owned(),
            stream,
            tail: r#","extra_headers":"{}"}"#.to_owned(),
            epoch_ms: now_ms(),
            sequence: spelling.first,
            chunk: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    fn timestamp(&self, ms: u64) -> String {
        (self.epoch_ms + ms as i64).to_string()
    }

    fn frame(&mut self, ms: u64, audio: Option<&[u8]>) -> String {
        self.chunk += 1;
        let (sequence, chunk, timestamp) = (self.next(), self.chunk, self.timestamp(ms));
        let mut message = String::with_capacity(480);
        let _ = write!(
            message,
            r#"{{"event":"media","sequenceNumber":{sequence},"streamId":"{}","media":{{"track":"inbound","timestamp":"{timestamp}","chunk":{chunk},"payload":""#,
            self.stream
        );
        match audio {
            None => message.push_str(&SILENCE),
            Some(audio) => {
                let mut frame = [g711::SILENCE; g711::FRAME];
                let length = audio.len().min(g711::FRAME);
                frame[..length].copy_from_slice(&audio[..length]);
                STANDARD.encode_string(frame, &mut message);
            }
        }
        message.push_str("\"}");
        message.push_str(&self.tail);
        message
    }

    fn bad_frame(&mut self, ms: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<String> {
        if bad == BadFrame::Restarted {
            (self.sequence, self.chunk) = (self.spelling.first, 0);
        }
        let good = self.frame(ms, audio);
        let payload = |payload: &str| {
            let start = good.find("\"payload\":\"").map_or(0, |at| at + 11);
            let end = good[start..].find('"').map_or(good.len(), |at| start + at);
            format!("{}{payload}{}", &good[..start], &good[end..])
        };
        Some(match bad {
            BadFrame::Missing => return None,
            BadFrame::Doubled | BadFrame::Binary | BadFrame::Restarted => good,
            BadFrame::HalfJson => good[..good.len() / 2].to_owned(),
            BadFrame::BadBase64 => payload("!!not base64!!"),
            BadFrame::Empty => payload(""),
            BadFrame::Huge => payload(&STANDARD.encode(vec![g711::SILENCE; 64 * 1024])),
            BadFrame::WrongStream => good.replace(&self.stream, &uuid::Uuid::nil().to_string()),
            BadFrame::UnknownEvent => good.replace("\"event\":\"media\"", "\"event\":\"weather\""),
            BadFrame::OtherTrack => good.replace("\"inbound\"", "\"outbound\""),
            // Older deployments write counts as strings, and the time as a number.
            BadFrame::Numbers => {
                let (sequence, chunk) = (self.sequence - 1, self.chunk);
                let timestamp = self.timestamp(ms);
                good.replace(
                    &format!("\"sequenceNumber\":{sequence},"),
                    &format!("\"sequenceNumber\":\"{sequence}\","),
                )
                .replace(
                    &format!("\"chunk\":{chunk},"),
                    &format!("\"chunk\":\"{chunk}\","),
                )
                .replace(
                    &format!("\"timestamp\":\"{timestamp}\""),
                    &format!("\"timestamp\":{timestamp}"),
                )
            }
        })
    }
}

impl dialect::Writer for Writer {
    fn hello(&self) -> Option<String> {
        None
    }

    fn start(&mut self, stream: &Stream, with_parameters: bool) -> String {
        let pairs: Vec<String> = stream
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let headers = if with_parameters && !pairs.is_empty() {
            pairs.join(";")
        } else {
            "{}".to_owned()
        };
        self.tail = format!(r#","extra_headers":{}}}"#, Value::from(headers));
        let sequence = self.next();
        let start = json!({
            "callId": self.call,
            "streamId": self.stream,
            "accountId": self.account,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
        });
        format!(
            r#"{{"event":"start","sequenceNumber":{sequence},"start":{start}{}"#,
            self.tail
        )
    }

    fn media(&mut self, ms: u64, audio: Option<&[u8]>) -> Option<Sent> {
        Some(Sent::Text(self.frame(ms, audio)))
    }

    fn bad_media(&mut self, ms: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<Sent> {
        self.bad_frame(ms, audio, bad).map(Sent::Text)
    }

    fn dtmf(&mut self, key: char) -> String {
        let elapsed = self.chunk * 20;
        let (sequence, timestamp) = (self.next(), self.timestamp(elapsed));
        let dtmf = json!({"track": "inbound", "digit": key.to_string(), "timestamp": timestamp});
        format!(
            r#"{{"event":"dtmf","sequenceNumber":{sequence},"streamId":"{}","dtmf":{dtmf}{}"#,
            self.stream, self.tail
        )
    }

    fn mark(&mut self, name: &str) -> String {
        let mut played = json!({"event": "playedStream"});
        played["sequenceNumber"] = self.next().into();
        if self.spelling.names_played {
            played["streamId"] = self.stream.clone().into();
        }
        played["name"] = name.into();
        played.to_string()
    }

    fn cleared(&mut self) -> Cleared {
        let cleared = json!({
            "event": "clearedAudio",
            "sequenceNumber": self.next(),
            "streamId": self.stream,
        });
        Cleared::Said(cleared.to_string())
    }

    fn stop(&mut self) -> Option<String> {
        None
    }

    fn read(&self, text: &str) -> Result<Ask, Complaint> {
        read(text, &self.stream).map_err(|text| Complaint { text, fatal: false })
    }

    fn read_binary(&self, _: Bytes) -> Result<Ask, Complaint> {
        Err(Complaint {
            text: "binary message".to_owned(),
            fatal: false,
        })
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, rename = "streamId")]
    stream_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow, rename = "contentType")]
    content_type: Option<Cow<'a, str>>,
    /// A number, or a text of one.
    #[serde(rename = "sampleRate")]
    sample_rate: Option<Value>,
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
}

/// Reads a message of the server; the error says what is wrong with it. It is ignored then.
fn read(text: &str, stream_id: &str) -> Result<Ask, String> {
    if text.len() > LARGEST {
        return Err(format!("message of {} bytes", text.len()));
    }
    let message: Message = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
    let event = &*message.event;
    if event != "playAudio" && message.stream_id.as_deref() != Some(stream_id) {
        return Err(format!("streamId {:?} in {event}", message.stream_id));
    }
    match (event, message.media, message.name) {
        ("playAudio", Some(media), _) => audio(&media),
        ("checkpoint", _, Some(name)) => Ok(Ask::Mark(name.into_owned())),
        ("clearAudio", ..) => Ok(Ask::Clear),
        _ => Err(format!("event `{event}` unknown or without its content")),
    }
}

fn audio(media: &Media<'_>) -> Result<Ask, String> {
    if media.content_type.as_deref() != Some("audio/x-mulaw") {
        return Err(format!("contentType {:?}", media.content_type));
    }
    let rate = media.sample_rate.as_ref();
    if !rate.is_some_and(|rate| *rate == 8000 || *rate == "8000") {
        return Err(format!("sampleRate {rate:?}"));
    }
    let payload = media.payload.as_deref().ok_or("no payload")?;
    match STANDARD.decode(payload) {
        Ok(audio) if audio.starts_with(b"RIFF") => Err("audio with a file header".into()),
        Ok(audio) => Ok(Ask::Audio(audio.into())),
        Err(fault) => Err(format!("payload: {fault}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::{dialect::Writer as _, *};

    fn started() -> (Writer, String) {
        let mut writer = Writer::new("MA1", "C1", "S1".into(), Spelling::PLIVO);
        writer.epoch_ms = 1_705_312_200_000;
        let stream = Stream {
            parameters: vec![("eid".into(), "7f1c".into()), ("run".into(), "1".into())],
            ..Stream::default()
        };
        let start = writer.start(&stream, true);
        (writer, start)
    }

    #[test]
    fn messages_as_the_carrier_sends_them() {
        let (mut writer, start) = started();
        assert_eq!(
            start,
            r#"{"event":"start","sequenceNumber":1,"start":{"callId":"C1","streamId":"S1","accountId":"MA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}},"extra_headers":"eid=7f1c;run=1"}"#
        );
        let payload = STANDARD.encode([0xFF; 160]);
        assert_eq!(
            writer.frame(20, None),
            format!(
                r#"{{"event":"media","sequenceNumber":2,"streamId":"S1","media":{{"track":"inbound","timestamp":"1705312200020","chunk":1,"payload":"{payload}"}},"extra_headers":"eid=7f1c;run=1"}}"#
            )
        );
        assert_eq!(
            writer.dtmf('1'),
            r#"{"event":"dtmf","sequenceNumber":3,"streamId":"S1","dtmf":{"track":"inbound","digit":"1","timestamp":"1705312200020"},"extra_headers":"eid=7f1c;run=1"}"#
        );
        assert_eq!(
            writer.mark("c1"),
            r#"{"event":"playedStream","sequenceNumber":4,"streamId":"S1","name":"c1"}"#
        );
        assert_eq!(
            writer.cleared(),
            Cleared::Said(
                r#"{"event":"clearedAudio","sequenceNumber":5,"streamId":"S1"}"#.to_owned()
            )
        );
        assert_eq!(writer.stop(), None);
    }

    #[test]
    fn what_the_server_sends() {
        let read = |text: &str| read(text, "S1");
        for rate in ["8000", "\"8000\""] {
            let text = format!(
                r#"{{"event":"playAudio","media":{{"contentType":"audio/x-mulaw","sampleRate":{rate},"payload":"AQI="}}}}"#
            );
            assert_eq!(read(&text), Ok(Ask::Audio(Bytes::from_static(&[1, 2]))));
        }
        assert_eq!(
            read(r#"{"event":"checkpoint","streamId":"S1","name":"1:2"}"#),
            Ok(Ask::Mark("1:2".into()))
        );
        assert_eq!(
            read(r#"{"event":"clearAudio","streamId":"S1"}"#),
            Ok(Ask::Clear)
        );
        for text in [
            "{",
            r#"{"event":"clearAudio","streamId":"S2"}"#,
            r#"{"event":"checkpoint","name":"1"}"#,
            r#"{"event":"sing","streamId":"S1"}"#,
            r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw;rate=8000","sampleRate":8000,"payload":"AQI="}}"#,
            r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":16000,"payload":"AQI="}}"#,
            r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000,"payload":"?"}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bad_frames_are_bad_in_the_way_asked_for() {
        let (mut writer, _) = started();
        let cut = writer.bad_frame(0, None, BadFrame::HalfJson).unwrap();
        assert!(serde_json::from_str::<Value>(&cut).is_err());
        let text = writer.bad_frame(20, None, BadFrame::Numbers).unwrap();
        assert!(text.contains("\"sequenceNumber\":\"3\"") && text.contains("\"chunk\":\"2\""));
        assert!(text.contains("\"timestamp\":1705312200020"));
        assert_eq!(writer.bad_frame(60, None, BadFrame::Missing), None);
    }
}
