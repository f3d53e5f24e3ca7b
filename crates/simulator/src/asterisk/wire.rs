//! Messages of `chan_websocket`, spelt out (wire-telephony.md §3.3): bare mu-law, and events as JSON.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    carrier::{
        BadFrame,
        dialect::{self, Ask, Cleared, Complaint, Sent},
        document::Stream,
    },
    g711,
};

/// A longer message closes the socket.
const LARGEST: usize = 65_500;

/// Builds the messages of one socket.
pub(super) struct Writer {
    channel: String,
}

impl Writer {
    pub fn new(channel: String) -> Self {
        Self { channel }
    }

    fn event(&self, name: &str) -> Value {
        json!({"event": name, "channel_id": self.channel})
    }
}

fn frame(audio: Option<&[u8]>) -> Vec<u8> {
    let mut frame = vec![g711::SILENCE; g711::FRAME];
    if let Some(audio) = audio {
        let length = audio.len().min(g711::FRAME);
        frame[..length].copy_from_slice(&audio[..length]);
    }
    frame
}

impl dialect::Writer for Writer {
    fn hello(&self) -> Option<String> {
        None
    }

    fn start(&mut self, _: &Stream, _: bool) -> String {
        let mut event = self.event("MEDIA_START");
        event["connection_id"] = "bolo".into();
        event["channel"] = "WebSocket/bolo/0x5140001a0040".into();
        event["format"] = "ulaw".into();
        event["optimal_frame_size"] = g711::FRAME.into();
        event["ptime"] = 20.into();
        event["channel_variables"] = json!({"MEDIA_WEBSOCKET_CONNECTION_ID": "bolo"});
        event.to_string()
    }

    fn media(&mut self, _: u64, audio: Option<&[u8]>) -> Option<Sent> {
        Some(Sent::Binary(frame(audio)))
    }

    fn bad_media(&mut self, _: u64, audio: Option<&[u8]>, bad: BadFrame) -> Option<Sent> {
        Some(match bad {
            BadFrame::Missing => return None,
            // Nothing is counted here, and no track named.
            BadFrame::Doubled | BadFrame::Restarted | BadFrame::OtherTrack => {
                Sent::Binary(frame(audio))
            }
            BadFrame::Empty => Sent::Binary(Vec::new()),
            BadFrame::Huge => Sent::Binary(vec![g711::SILENCE; 64 * 1024]),
            // What can't be wrong with bare audio is wrong with an event instead.
            BadFrame::HalfJson | BadFrame::BadBase64 => Sent::Text(r#"{"event":"DTM"#.to_owned()),
            BadFrame::WrongStream => Sent::Text(r#"{"event":"DTMF_END"}"#.to_owned()),
            BadFrame::UnknownEvent => Sent::Text(self.event("WEATHER").to_string()),
            BadFrame::Binary => Sent::Text("{}".to_owned()),
            BadFrame::Numbers => Sent::Text(r#"{"event":"DTMF_END","digit":5}"#.to_owned()),
        })
    }

    fn dtmf(&mut self, key: char) -> String {
        let mut event = self.event("DTMF_END");
        event["digit"] = key.to_string().into();
        event.to_string()
    }

    fn full(&mut self, is_full: bool) -> Option<String> {
        let name = if is_full { "MEDIA_XOFF" } else { "MEDIA_XON" };
        Some(self.event(name).to_string())
    }

    fn mark(&mut self, name: &str) -> String {
        let mut event = self.event("MEDIA_MARK_PROCESSED");
        event["correlation_id"] = name.into();
        event.to_string()
    }

    fn cleared(&mut self) -> Cleared {
        Cleared::Silence
    }

    fn stop(&mut self) -> Option<String> {
        None
    }

    fn read(&self, text: &str) -> Result<Ask, Complaint> {
        read(text).map_err(|text| Complaint { text, fatal: false })
    }

    fn read_binary(&self, bytes: Bytes) -> Result<Ask, Complaint> {
        let length = bytes.len();
        let text = match length {
            0 => "an empty message".to_owned(),
            _ if length > LARGEST => format!("a message of {length} bytes"),
            _ if !length.is_multiple_of(g711::FRAME) => {
                format!("{length} bytes: the rest of a frame is dropped")
            }
            _ => return Ok(Ask::Audio(bytes)),
        };
        let fatal = length > LARGEST;
        Err(Complaint { text, fatal })
    }
}

/// Reads a command; the error says what is wrong with it. It is ignored then.
fn read(text: &str) -> Result<Ask, String> {
    let command: Value = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
    match command["command"].as_str() {
        Some("MARK_MEDIA") => {
            let id = command["correlation_id"].as_str().unwrap_or_default();
            Ok(Ask::Mark(id.to_owned()))
        }
        Some("FLUSH_MEDIA") => Ok(Ask::Clear),
        Some("ANSWER" | "GET_STATUS" | "REPORT_QUEUE_DRAINED") => Ok(Ask::Nothing),
        command => Err(format!("command {command:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{dialect::Writer as _, *};

    #[test]
    fn what_the_server_sends() {
        assert_eq!(
            read(r#"{"command":"MARK_MEDIA","correlation_id":"1:2"}"#),
            Ok(Ask::Mark("1:2".into()))
        );
        assert_eq!(read(r#"{"command":"FLUSH_MEDIA"}"#), Ok(Ask::Clear));
        assert_eq!(read(r#"{"command":"GET_STATUS"}"#), Ok(Ask::Nothing));
        assert!(read("FLUSH_MEDIA").is_err());
        let writer = Writer::new("17.1".into());
        let frames = Bytes::from_static(&[1; 320]);
        assert_eq!(writer.read_binary(frames.clone()), Ok(Ask::Audio(frames)));
        for odd in [0, 161, 65_600] {
            assert!(writer.read_binary(vec![0; odd].into()).is_err(), "{odd}");
        }
    }
}
