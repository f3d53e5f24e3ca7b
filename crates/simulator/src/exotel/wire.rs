//! Messages of Exotel's streams, spelt out (wire-telephony.md §3.2): samples of 16 bits, 100 ms a message.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{ends, national};
use crate::{
    carrier::{
        BadFrame, Call,
        dialect::{self, Ask, Cleared, Complaint, Sent},
        document::Stream,
    },
    g711,
};

/// Frames of 20 ms in a message.
const TOGETHER: u64 = 5;
/// Bytes of audio in a message of the server.
const LEAST: usize = 3200;
const MOST: usize = 100_000;

/// Builds the messages of one stream and counts them.
pub(super) struct Writer {
    account: &'static str,
    call: String,
    from: String,
    to: String,
    stream: String,
    sequence: u64,
    chunk: u64,
    /// Samples that wait for their message.
    held: Vec<u8>,
}

impl Writer {
    pub fn new(account: &'static str, call: &Call, stream: String) -> Self {
        let (from, to) = ends(call);
        Self {
            account,
            call: call.id.clone(),
            from: national(from),
            to: national(to),
            stream,
            sequence: 0,
            chunk: 0,
            held: Vec::new(),
        }
    }

    /// A message with everything that all of them have.
    fn message(&mut self, event: &str) -> Value {
        self.sequence += 1;
        json!({
            "event": event,
            "sequence_number": self.sequence.to_string(),
            "stream_sid": self.stream,
        })
    }

    fn media(&mut self, ms: u64, samples: &[u8]) -> Value {
        self.chunk += 1;
        let mut message = self.message("media");
        message["media"] = json!({
            "chunk": self.chunk.to_string(),
            "timestamp": ms.to_string(),
            "payload": STANDARD.encode(samples),
        });
        message
    }
}

/// 20 ms of 16-bit samples, little endian.
fn samples(audio: Option<&[u8]>) -> Vec<u8> {
    let mut frame = [g711::SILENCE; g711::FRAME];
    if let Some(audio) = audio {
        let length = audio.len().min(g711::FRAME);
        frame[..length].copy_from_slice(&audio[..length]);
    }
    let bytes = frame
        .iter()
        .flat_map(|byte| g711::decode(*byte).to_le_bytes());
    bytes.collect()
}

impl dialect::Writer for Writer {
    fn hello(&self) -> Option<String> {
        Some(r#"{"event":"connected"}"#.to_owned())
    }

    fn start(&mut self, stream: &Stream, with_parameters: bool) -> String {
        let mut message = self.message("start");
        let parameters: serde_json::Map<_, _> = stream
            .parameters
            .iter()
            .filter(|_| with_parameters)
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        message["start"] = json!({
            "stream_sid": self.stream,
            "call_sid": self.call,
            "account_sid": self.account,
            "from": self.from,
            "to": self.to,
            "custom_parameters": parameters,
            "media_format": {
                "encoding": "base64",
                "sample_rate": "8000",
                "bit_rate": "128kbps",
            },
        });
        message.to_string()
    }

    fn media(&mut self, ms: u64, audio: Option<&[u8]>) -> Option<Sent> {
        self.held.extend(samples(audio));
        let whole = 2 * g711::FRAME as u64 * TOGETHER;
        if (self.held.len() as u64) < whole {
            return None;
        }
        let held = std::mem::take(&mut self.held);
        let first = ms.saturating_sub(20 * (TOGETHER - 1));
        Some(Sent::Text(self.media(first, &held).to_string()))
    }

    fn bad_media(&mut self, ms: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<Sent> {
        if bad == BadFrame::Restarted {
            (self.sequence, self.chunk) = (0, 0);
        }
        let mut good = self.media(ms, &samples(audio));
        let payload = |message: &mut Value, payload: &str| {
            message["media"]["payload"] = payload.into();
        };
        match bad {
            BadFrame::Missing => return None,
            BadFrame::Doubled | BadFrame::Binary => {}
            // Frames name no track here.
            BadFrame::Restarted | BadFrame::OtherTrack => {}
            BadFrame::HalfJson => {
                let text = good.to_string();
                return Some(Sent::Text(text[..text.len() / 2].to_owned()));
            }
            BadFrame::BadBase64 => payload(&mut good, "!!not base64!!"),
            BadFrame::Empty => payload(&mut good, ""),
            BadFrame::Huge => payload(&mut good, &STANDARD.encode(vec![0; 64 * 1024])),
            BadFrame::WrongStream => good["stream_sid"] = "0".into(),
            BadFrame::UnknownEvent => good["event"] = "weather".into(),
            BadFrame::Numbers => {
                good["sequence_number"] = self.sequence.into();
                good["media"]["chunk"] = self.chunk.into();
                good["media"]["timestamp"] = ms.into();
            }
        }
        Some(Sent::Text(good.to_string()))
    }

    fn dtmf(&mut self, key: char) -> String {
        let mut message = self.message("dtmf");
        message["dtmf"] = json!({"digit": key.to_string(), "duration": "100"});
        message.to_string()
    }

    fn mark(&mut self, name: &str) -> String {
        let mut message = self.message("mark");
        message["mark"] = json!({"name": name});
        message.to_string()
    }

    /// Not documented; as at Twilio, whose messages these are.
    fn cleared(&mut self) -> Cleared {
        Cleared::Echoes
    }

    fn stop(&mut self) -> Option<String> {
        let mut message = self.message("stop");
        message["stop"] = json!({
            "call_sid": self.call,
            "account_sid": self.account,
            "reason": "callended",
        });
        Some(message.to_string())
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

/// Reads a message of the server; the error says what is wrong with it. It is ignored then.
fn read(text: &str, stream: &str) -> Result<Ask, String> {
    let message: Value = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
    if message["stream_sid"] != stream {
        return Err(format!("stream_sid {}", message["stream_sid"]));
    }
    match message["event"].as_str() {
        Some("media") => audio(message["media"]["payload"].as_str().ok_or("no payload")?),
        Some("mark") => {
            let name = message["mark"]["name"].as_str().ok_or("no name")?;
            Ok(Ask::Mark(name.to_owned()))
        }
        Some("clear") => Ok(Ask::Clear),
        event => Err(format!("event {event:?}")),
    }
}

/// 3.2 kB at least, and a multiple of 20 ms; everything else leaves a gap.
fn audio(payload: &str) -> Result<Ask, String> {
    let bytes = STANDARD
        .decode(payload)
        .map_err(|fault| format!("payload: {fault}"))?;
    if bytes.len() < LEAST || bytes.len() % (2 * g711::FRAME) != 0 || bytes.len() > MOST {
        return Err(format!("{} bytes of audio leave a gap", bytes.len()));
    }
    let (pairs, _) = bytes.as_chunks::<2>();
    let mulaw = pairs
        .iter()
        .map(|pair| g711::encode(i16::from_le_bytes(*pair)));
    Ok(Ask::Audio(mulaw.collect::<Vec<u8>>().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_sends() {
        let read = |text: &str| read(text, "s");
        let media = |bytes: usize| {
            let payload = STANDARD.encode(vec![0; bytes]);
            format!(r#"{{"event":"media","stream_sid":"s","media":{{"payload":"{payload}"}}}}"#)
        };
        let audio = Ask::Audio(vec![0xFF; 1760].into());
        assert_eq!(read(&media(3520)), Ok(audio));
        for bytes in [0, 320, 3202, 100_160] {
            assert!(read(&media(bytes)).is_err(), "{bytes}");
        }
        assert_eq!(
            read(r#"{"event":"mark","stream_sid":"s","mark":{"name":"1:2"}}"#),
            Ok(Ask::Mark("1:2".into()))
        );
        assert_eq!(
            read(r#"{"event":"clear","stream_sid":"s"}"#),
            Ok(Ask::Clear)
        );
        for text in [
            "{",
            r#"{"event":"clear"}"#,
            r#"{"event":"sing","stream_sid":"s"}"#,
            r#"{"event":"media","stream_sid":"s","media":{"payload":"AQI="}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
