//! The media codec against messages as Plivo writes them, and against those it should not write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;

use bytes::Bytes;

use super::*;

const START: &str = r#"{"event":"start","sequenceNumber":1,"start":{"callId":"C1","streamId":"S1","accountId":"MA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}},"extra_headers":"eid=7f1c;run=1"}"#;

fn started() -> Wire {
    let mut wire = Wire::default();
    wire.decode(START).unwrap();
    wire
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

#[test]
fn a_start_tells_call_parameters_and_format() {
    assert_eq!(
        Wire::default().decode(START).unwrap(),
        Some(MediaEvent::Start {
            call_id: "C1".into(),
            parameters: vec![pair("eid", "7f1c"), pair("run", "1")],
            format: Format::Mulaw8k,
        })
    );
}

#[test]
fn headers_come_in_many_shapes() {
    for text in [
        json_text("eid=7f1c;run=1"),
        json_text("eid=7f1c,run=1"),
        json_text("{X-PH-eid: 7f1c, X-PH-run: 1}"),
        json_text(r#"{"X-PH-eid":"7f1c","run":1}"#),
        r#"{"eid":"7f1c","X-PH-run":"1"}"#.to_owned(),
    ] {
        let found = parameters(serde_json::from_str(&text).unwrap());
        assert_eq!(found, [pair("eid", "7f1c"), pair("run", "1")], "{text}");
    }
    for text in [json_text("{}"), json_text(""), "null".to_owned()] {
        assert_eq!(parameters(serde_json::from_str(&text).unwrap()), []);
    }
}

fn json_text(text: &str) -> String {
    quoted(text)
}

#[test]
fn a_start_without_headers_or_format_is_a_start_and_another_format_names_the_field() {
    let text = r#"{"event":"start","sequenceNumber":0,"start":{"callId":"C1","streamId":"S1"}}"#;
    assert!(matches!(
        Wire::default().decode(text),
        Ok(Some(MediaEvent::Start { .. }))
    ));
    let error = Wire::default()
        .decode(&START.replace("audio/x-mulaw", "audio/x-l16"))
        .unwrap_err();
    assert!(error.0.contains("start.mediaFormat"), "{error}");
}

#[test]
fn audio_counts_from_its_first_frame_whatever_the_clock() {
    for (first, second) in [
        (r#""1705312200000""#, r#""1705312200020""#),
        ("1705312200000", "1705312200020"),
        ("0", "20"),
    ] {
        let mut wire = started();
        for (timestamp, expected) in [(first, 0), (second, 20)] {
            let text = format!(
                r#"{{"event":"media","sequenceNumber":42,"streamId":"S1","media":{{"track":"inbound","timestamp":{timestamp},"chunk":41,"payload":"f/9/"}},"extra_headers":"eid=7f1c"}}"#
            );
            let audio = MediaEvent::Audio {
                payload: Bytes::from_static(&[0x7f, 0xff, 0x7f]),
                timestamp_ms: expected,
            };
            assert_eq!(wire.decode(&text), Ok(Some(audio)), "{timestamp}");
        }
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
fn checkpoints_clears_keys_and_the_end() {
    let mut wire = started();
    for (text, event) in [
        (
            r#"{"event":"playedStream","sequenceNumber":90,"streamId":"S1","name":"2:7"}"#,
            MediaEvent::Mark("2:7".into()),
        ),
        (
            r#"{"event":"playedStream","name":"2:8"}"#,
            MediaEvent::Mark("2:8".into()),
        ),
        (
            r#"{"event":"clearedAudio","sequenceNumber":91,"streamId":"S1"}"#,
            MediaEvent::Cleared,
        ),
        (
            r##"{"event":"dtmf","sequenceNumber":43,"streamId":"S1","dtmf":{"track":"inbound","digit":"#","timestamp":"1705312200100"}}"##,
            MediaEvent::Dtmf('#'),
        ),
        (r#"{"event":"stop"}"#, MediaEvent::Stop),
    ] {
        assert_eq!(wire.decode(text), Ok(Some(event)), "{text}");
    }
}

#[test]
fn nothing_for_us_is_no_error() {
    let mut wire = started();
    for text in [
        r#"{"event":"weather","sun":true}"#,
        r#"{"event":"weather","media":5}"#,
        r#"{"event":"media","media":{"track":"outbound","payload":"fw=="},"streamId":"S1"}"#,
        r#"{"event":"media","media":{"track":"inbound","payload":""},"streamId":"S1"}"#,
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
        r#"{"event":"media""#,
        r#"{"event":5}"#,
        r#"{"event":"start","streamId":"S2"}"#,
        r#"{"event":"media","streamId":"S1"}"#,
        r#"{"event":"media","media":{"timestamp":"5"},"streamId":"S1"}"#,
        r#"{"event":"media","media":{"payload":"not base64!"},"streamId":"S1"}"#,
        r#"{"event":"media","media":{"payload":"fw=="},"streamId":"S2"}"#,
        r#"{"event":"playedStream","streamId":"S1"}"#,
        r#"{"event":"dtmf","streamId":"S1","dtmf":{"digit":""}}"#,
    ] {
        assert!(wire.decode(text).is_err(), "{text}");
    }
    assert!(wire.text(&MediaCommand::Clear).is_some());
    assert!(
        Wire::default()
            .decode(r#"{"event":"media","media":{"payload":"fw=="},"streamId":"S1"}"#)
            .is_err()
    );
}

#[test]
fn what_we_send_is_what_plivo_reads() {
    let wire = started();
    let audio = MediaCommand::Audio(Bytes::from_static(&[0x7f, 0xff, 0x7f]));
    for (command, text) in [
        (
            &audio,
            r#"{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000,"payload":"f/9/"}}"#,
        ),
        (
            &MediaCommand::Mark("2:7\"".into()),
            r#"{"event":"checkpoint","streamId":"S1","name":"2:7\""}"#,
        ),
        (
            &MediaCommand::Clear,
            r#"{"event":"clearAudio","streamId":"S1"}"#,
        ),
    ] {
        assert_eq!(wire.text(command).as_deref(), Some(text));
    }
    assert_eq!(wire.text(&MediaCommand::Audio(Bytes::new())), None);
    assert_eq!(Wire::default().text(&audio), None);
}
