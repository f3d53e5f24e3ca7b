//! Media Streams messages, spelt out (wire-telephony.md §1.9): from the carrier as text, from the
//! server read leniently with a list of what Twilio would complain about.

use std::{borrow::Cow, fmt::Write as _, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::{
    carrier::{
        BadFrame,
        dialect::{self, Ask, Cleared, Complaint, Sent},
        document::Stream,
    },
    g711,
};

static SILENCE: LazyLock<String> = LazyLock::new(|| STANDARD.encode([g711::SILENCE; g711::FRAME]));

/// First message of a socket.
const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

/// Builds the messages of one stream and counts them.
#[derive(Debug)]
pub(crate) struct Writer {
    account_sid: String,
    call_sid: String,
    stream_sid: String,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    pub fn new(account_sid: &str, call_sid: &str, stream_sid: String) -> Self {
        Self {
            account_sid: account_sid.to_owned(),
            call_sid: call_sid.to_owned(),
            stream_sid,
            sequence: 0,
            chunk: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn media_head(&mut self) -> String {
        self.chunk += 1;
        let sequence = self.next();
        let mut message = String::with_capacity(400);
        let _ = write!(
            message,
            "{{\"event\":\"media\",\"sequenceNumber\":\"{sequence}\",\"media\":{{\"track\":\"inbound\",\"chunk\":\"",
        );
        message
    }

    fn media_tail(&self, mut message: String) -> String {
        message.push_str("\"},\"streamSid\":\"");
        message.push_str(&self.stream_sid);
        message.push_str("\"}");
        message
    }

    fn frame(&mut self, ms: u64, audio: Option<&[u8]>) -> String {
        let mut message = self.media_head();
        let _ = write!(
            message,
            "{}\",\"timestamp\":\"{ms}\",\"payload\":\"",
            self.chunk
        );
        match audio {
            None => message.push_str(&SILENCE),
            Some(audio) if audio.len() == g711::FRAME => {
                STANDARD.encode_string(audio, &mut message)
            }
            Some(audio) => {
                let mut frame = [g711::SILENCE; g711::FRAME];
                let length = audio.len().min(g711::FRAME);
                frame[..length].copy_from_slice(&audio[..length]);
                STANDARD.encode_string(frame, &mut message);
            }
        }
        self.media_tail(message)
    }

    fn bad_frame(&mut self, ms: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<String> {
        if bad == BadFrame::Restarted {
            (self.sequence, self.chunk) = (0, 0);
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
            BadFrame::WrongStream => {
                good.replace(&self.stream_sid, &format!("MZ{}", "0".repeat(32)))
            }
            BadFrame::UnknownEvent => good.replace("\"event\":\"media\"", "\"event\":\"weather\""),
            BadFrame::OtherTrack => good.replace("\"inbound\"", "\"outbound\""),
            BadFrame::Numbers => good
                .replace(
                    &format!("\"sequenceNumber\":\"{}\"", self.sequence),
                    &format!("\"sequenceNumber\":{}", self.sequence),
                )
                .replace(
                    &format!("\"chunk\":\"{}\"", self.chunk),
                    &format!("\"chunk\":{}", self.chunk),
                )
                .replace(
                    &format!("\"timestamp\":\"{ms}\""),
                    &format!("\"timestamp\":{ms}"),
                ),
        })
    }
}

impl dialect::Writer for Writer {
    fn hello(&self) -> Option<String> {
        Some(CONNECTED.to_owned())
    }

    fn start(&mut self, stream: &Stream, with_parameters: bool) -> String {
        let mut start = json!({
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        });
        if with_parameters {
            let custom: serde_json::Map<_, _> = stream
                .parameters
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            start["customParameters"] = custom.into();
        }
        json!({
            "event": "start",
            "sequenceNumber": self.next().to_string(),
            "start": start,
            "streamSid": self.stream_sid,
        })
        .to_string()
    }

    fn media(&mut self, ms: u64, audio: Option<&[u8]>) -> Option<Sent> {
        Some(Sent::Text(self.frame(ms, audio)))
    }

    fn bad_media(&mut self, ms: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<Sent> {
        self.bad_frame(ms, audio, bad).map(Sent::Text)
    }

    fn dtmf(&mut self, digit: char) -> String {
        json!({
            "event": "dtmf",
            "streamSid": self.stream_sid,
            "sequenceNumber": self.next().to_string(),
            "dtmf": {"track": "inbound_track", "digit": digit.to_string()},
        })
        .to_string()
    }

    fn mark(&mut self, name: &str) -> String {
        json!({
            "event": "mark",
            "sequenceNumber": self.next().to_string(),
            "streamSid": self.stream_sid,
            "mark": {"name": name},
        })
        .to_string()
    }

    fn cleared(&mut self) -> Cleared {
        Cleared::Echoes
    }

    fn stop(&mut self) -> Option<String> {
        let stop = json!({
            "event": "stop",
            "sequenceNumber": self.next().to_string(),
            "streamSid": self.stream_sid,
            "stop": {"accountSid": self.account_sid, "callSid": self.call_sid},
        });
        Some(stop.to_string())
    }

    fn read(&self, text: &str) -> Result<Ask, Complaint> {
        read(text, &self.stream_sid).map_err(|(code, what)| Complaint {
            text: format!("{code} {what}"),
            fatal: code == 31924,
        })
    }

    fn read_binary(&self, _: Bytes) -> Result<Ask, Complaint> {
        Err(Complaint {
            text: "31950 binary message".to_owned(),
            fatal: false,
        })
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// Reads a message of the server. The error is Twilio's code and what is wrong: 31924 closes the
/// socket, others are warnings and the message is ignored.
fn read(text: &str, stream_sid: &str) -> Result<Ask, (u32, String)> {
    let message: Message =
        serde_json::from_str(text).map_err(|fault| (31924, fault.to_string()))?;
    let ignored = |what: String| Err((31951, what));
    match message.stream_sid.as_deref() {
        Some(sid) if sid == stream_sid => {}
        sid => return ignored(format!("streamSid {sid:?} in a {} message", message.event)),
    }
    match (&*message.event, message.media, message.mark) {
        (
            "media",
            Some(Media {
                payload: Some(payload),
            }),
            _,
        ) => match STANDARD.decode(payload.as_bytes()) {
            Ok(audio) if audio.starts_with(b"RIFF") => ignored("audio with a file header".into()),
            Ok(audio) => Ok(Ask::Audio(audio.into())),
            Err(fault) => ignored(format!("payload: {fault}")),
        },
        ("mark", _, Some(Mark { name: Some(name) })) => Ok(Ask::Mark(name.into_owned())),
        ("clear", ..) => Ok(Ask::Clear),
        (event, ..) => ignored(format!("event `{event}` unknown or without its content")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::{dialect::Writer as _, *};

    fn writer() -> Writer {
        Writer::new("AC1", "CA1", "MZ1".into())
    }

    #[test]
    fn messages_as_the_carrier_sends_them() {
        let mut writer = writer();
        let stream = Stream {
            parameters: vec![("eid".into(), "7f1c".into())],
            ..Stream::default()
        };
        assert_eq!(
            writer.start(&stream, true),
            r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"eid":"7f1c"}},"streamSid":"MZ1"}"#
        );
        let payload = STANDARD.encode([0xFF; 160]);
        assert_eq!(
            writer.frame(5, None),
            format!(
                r#"{{"event":"media","sequenceNumber":"2","media":{{"track":"inbound","chunk":"1","timestamp":"5","payload":"{payload}"}},"streamSid":"MZ1"}}"#
            )
        );
        assert_eq!(
            writer.dtmf('1'),
            r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"3","dtmf":{"track":"inbound_track","digit":"1"}}"#
        );
        assert_eq!(
            writer.mark("m1"),
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"m1"}}"#
        );
        assert_eq!(
            writer.stop().as_deref(),
            Some(
                r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
            )
        );
    }

    #[test]
    fn a_full_frame_is_as_long_as_on_the_real_wire() {
        let mut writer = Writer::new("AC1", "CA1", format!("MZ{}", "a".repeat(32)));
        writer.sequence = 1;
        let message = writer.frame(5, Some(&[1; 160]));
        assert!(message.contains(&format!("\"payload\":\"{}\"", STANDARD.encode([1; 160]))));
        assert_eq!(STANDARD.encode([1; 160]).len(), 216);
    }

    #[test]
    fn what_the_server_sends() {
        let read = |text: &str| read(text, "MZ1");
        assert_eq!(
            read(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AQI="}}"#),
            Ok(Ask::Audio(Bytes::from_static(&[1, 2])))
        );
        assert_eq!(
            read(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"1:2"}}"#),
            Ok(Ask::Mark("1:2".into()))
        );
        assert_eq!(
            read(r#"{"event":"clear","streamSid":"MZ1"}"#),
            Ok(Ask::Clear)
        );
        for (text, code) in [
            ("{", 31924),
            (r#"{"event":"clear","streamSid":"MZ2"}"#, 31951),
            (r#"{"event":"clear"}"#, 31951),
            (r#"{"event":"sing","streamSid":"MZ1"}"#, 31951),
            (r#"{"event":"media","streamSid":"MZ1","media":{}}"#, 31951),
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":"?"}}"#,
                31951,
            ),
            (
                r#"{"event":"media","streamSid":"MZ1","media":{"payload":"UklGRgAA"}}"#,
                31951,
            ),
        ] {
            assert_eq!(read(text).unwrap_err().0, code, "{text}");
        }
    }

    #[test]
    fn bad_frames_are_bad_in_the_way_asked_for() {
        let mut writer = writer();
        let cut = writer.bad_frame(0, None, BadFrame::HalfJson).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&cut).is_err());
        let numbers = writer.bad_frame(20, None, BadFrame::Numbers).unwrap();
        assert!(numbers.contains("\"sequenceNumber\":2,") && numbers.contains("\"timestamp\":20,"));
        assert!(
            writer
                .bad_frame(40, None, BadFrame::Empty)
                .unwrap()
                .contains("\"payload\":\"\"")
        );
        assert_eq!(writer.bad_frame(60, None, BadFrame::Missing), None);
        assert!(writer.frame(80, None).contains("\"chunk\":\"5\""));
    }
}
