//! The media codec against messages as Twilio writes them, and against those it should not write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use bytes::Bytes;

use super::*;

const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"eid":"7f1c","n":2}},"streamSid":"MZ1"}"#;

fn started() -> Wire {
    let mut wire = Wire::default();
    wire.decode(START).unwrap();
    wire
}

#[test]
fn a_start_tells_call_parameters_and_format() {
    let event = Wire::default().decode(START).unwrap();
    assert_eq!(
        event,
        Some(MediaEvent::Start {
            call_id: "CA1".into(),
            parameters: vec![("eid".into(), "7f1c".into()), ("n".into(), "2".into())],
            format: Format::Mulaw8k,
        })
    );
}

#[test]
fn a_start_without_parameters_or_format_is_a_start() {
    let text = r#"{"event":"start","start":{"callSid":"CA1"},"streamSid":"MZ1"}"#;
    assert!(matches!(
        Wire::default().decode(text),
        Ok(Some(MediaEvent::Start { .. }))
    ));
}

#[test]
fn a_start_in_another_format_names_the_field() {
    let text = START.replace("audio/x-mulaw", "audio/x-l16");
    let error = Wire::default().decode(&text).unwrap_err();
    assert!(error.0.contains("start.mediaFormat"), "{error}");
}

#[test]
fn audio_is_read_with_numbers_as_strings_or_numbers() {
    let mut wire = started();
    for timestamp in [r#""40""#, "40", "40.0"] {
        let text = format!(
            r#"{{"event":"media","sequenceNumber":"3","media":{{"track":"inbound","chunk":"1","timestamp":{timestamp},"payload":"f/9/"}},"streamSid":"MZ1"}}"#
        );
        let expected = MediaEvent::Audio {
            payload: Bytes::from_static(&[0x7f, 0xff, 0x7f]),
            timestamp_ms: 40,
        };
        assert_eq!(wire.decode(&text), Ok(Some(expected)), "{timestamp}");
    }
}

#[test]
fn an_escaped_payload_and_one_without_padding_are_audio() {
    let mut wire = started();
    for payload in [r"f\/9\/", "fw"] {
        let text =
            format!(r#"{{"event":"media","media":{{"payload":"{payload}"}},"streamSid":"MZ1"}}"#);
        assert!(
            matches!(wire.decode(&text), Ok(Some(MediaEvent::Audio { .. }))),
            "{payload}"
        );
    }
}

#[test]
fn a_payload_is_borrowed_from_the_message() {
    let message: Message<'_> =
        serde_json::from_str(r#"{"event":"media","media":{"payload":"f/9/"}}"#).unwrap();
    assert!(matches!(
        message.media.unwrap().payload.0,
        Cow::Borrowed("f/9/")
    ));
}

#[test]
fn marks_keys_and_the_end() {
    let mut wire = started();
    let decode = |wire: &mut Wire, text: &str| wire.decode(text).unwrap();
    assert_eq!(
        decode(
            &mut wire,
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"2:7"}}"#
        ),
        Some(MediaEvent::Mark("2:7".into()))
    );
    assert_eq!(
        decode(
            &mut wire,
            r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"#"}}"##
        ),
        Some(MediaEvent::Dtmf('#'))
    );
    assert_eq!(
        decode(
            &mut wire,
            r#"{"event":"stop","sequenceNumber":"9","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#
        ),
        Some(MediaEvent::Stop)
    );
}

#[test]
fn nothing_for_us_is_no_error() {
    let mut wire = started();
    for text in [
        r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
        r#"{"event":"weather","sun":true}"#,
        r#"{"event":"weather","media":5}"#,
        r#"{"event":"media","media":{"track":"outbound","payload":"fw=="},"streamSid":"MZ1"}"#,
        r#"{"event":"media","media":{"track":"inbound","payload":""},"streamSid":"MZ1"}"#,
    ] {
        assert_eq!(wire.decode(text), Ok(None), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_an_error_and_the_stream_goes_on() {
    let mut wire = started();
    for text in [
        "",
        "null",
        "[]",
        r#"{"event":"media""#,
        r#"{"event":5}"#,
        r#"{"streamSid":"MZ1"}"#,
        r#"{"event":"start","streamSid":"MZ2"}"#,
        r#"{"event":"media","streamSid":"MZ1"}"#,
        r#"{"event":"media","media":{"timestamp":"5"},"streamSid":"MZ1"}"#,
        r#"{"event":"media","media":{"payload":"not base64!"},"streamSid":"MZ1"}"#,
        r#"{"event":"media","media":{"timestamp":"soon","payload":"fw=="},"streamSid":"MZ1"}"#,
        r#"{"event":"media","media":{"payload":"fw=="},"streamSid":"MZ2"}"#,
        r#"{"event":"mark","streamSid":"MZ1"}"#,
        r#"{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":""}}"#,
    ] {
        assert!(wire.decode(text).is_err(), "{text}");
    }
    assert!(wire.text(&MediaCommand::Clear).is_some());
    assert!(
        Wire::default()
            .decode(r#"{"event":"media","media":{"payload":"fw=="},"streamSid":"MZ1"}"#)
            .is_err()
    );
}

#[test]
fn what_we_send_is_what_twilio_reads() {
    let wire = started();
    let audio = MediaCommand::Audio(Bytes::from_static(&[0x7f, 0xff, 0x7f]));
    assert_eq!(
        wire.text(&audio).as_deref(),
        Some(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"f/9/"}}"#)
    );
    assert_eq!(
        wire.text(&MediaCommand::Mark("2:7\"".into())).as_deref(),
        Some(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"2:7\""}}"#)
    );
    assert_eq!(
        wire.text(&MediaCommand::Clear).as_deref(),
        Some(r#"{"event":"clear","streamSid":"MZ1"}"#)
    );
    assert_eq!(wire.text(&MediaCommand::Audio(Bytes::new())), None);
    assert_eq!(Wire::default().text(&audio), None);
}
