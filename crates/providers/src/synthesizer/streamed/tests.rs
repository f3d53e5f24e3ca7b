//! What each vendor with a socket is sent, to the letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stream_input;

use bolo_audio::Format;
use serde_json::{Value, json};

use super::*;
use crate::{
    synthesizer::{
        cartesia::Cartesia, deepgram::Aura, elevenlabs::dialogue::Dialogue, rime::Rime,
        sarvam::Sarvam, smallest::Smallest,
    },
    testing::{LONG, Peer, SocketServer, left_behind, tls},
};

fn spec(model: &str) -> SynthesizerSpec {
    SynthesizerSpec {
        model: model.into(),
        voice_id: "Nila".into(),
        language: "hi-IN".into(),
        speed: 1.25,
        options: serde_json::from_value(json!({"temperature": 0.4, "volume": 1.5, "pitch": 0.2}))
            .unwrap(),
        format: Format::Mulaw8k,
    }
}

fn limits() -> SynthesizerLimits {
    SynthesizerLimits {
        connect: LONG,
        write: LONG,
        audio: LONG,
        close: LONG,
    }
}

type Live = Session<Speak, Spoken>;

async fn open<W: Wire>(model: &str) -> (Live, Peer, SocketServer) {
    let mut server = SocketServer::start().await;
    let vendor = Streamed::<W>::new(&server.base, SecretString::from("sesame"), tls(), limits());
    let session = vendor.open(&spec(model)).await.unwrap();
    let peer = server.peer().await;
    (session, peer, server)
}

async fn say(session: &Live, context: u32, piece: u32, text: &str, last: bool) {
    let text = text.to_owned();
    let speak = Speak::Text {
        context,
        piece,
        text,
        last,
    };
    session.input.send(speak).await.unwrap();
}

async fn cancel(session: &Live, context: u32) {
    let cancel = Speak::Cancel { context };
    session.input.send(cancel).await.unwrap();
}

async fn hear(session: &mut Live) -> Spoken {
    session.output.recv().await.unwrap().unwrap()
}

async fn expect(peer: &mut Peer, messages: &[Value]) {
    for message in messages {
        assert_eq!(peer.json().await, *message);
    }
}

#[tokio::test]
async fn aura() {
    let (mut session, mut peer, _server) = open::<Aura>("aura-2").await;
    assert_eq!(
        peer.path,
        "/v1/speak?model=aura-2-nila-hi&encoding=mulaw&sample_rate=8000&speed=1.25"
    );
    assert_eq!(peer.headers["authorization"], "Token sesame");
    let (flush, clear) = (json!({"type": "Flush"}), json!({"type": "Clear"}));
    let speak = |text: &str| json!({"type": "Speak", "text": text});
    say(&session, 1, 0, "One.", false).await;
    expect(&mut peer, &[speak("One. "), flush.clone()]).await;
    say(&session, 1, 1, "Two.", true).await;
    expect(&mut peer, &[speak("Two. "), flush.clone()]).await;
    peer.binary(&[1; 80]).await;
    assert!(matches!(
        hear(&mut session).await,
        Spoken::Audio {
            context: 1,
            piece: 0,
            ..
        }
    ));
    cancel(&session, 1).await;
    say(&session, 2, 0, "Three.", true).await;
    expect(&mut peer, &[clear, speak("Three. "), flush]).await;
    // Of the past, until the clear is through.
    peer.binary(&[2; 80]).await;
    peer.text(r#"{"type":"Flushed","sequence_id":0}"#).await;
    peer.text(r#"{"type":"Cleared","sequence_id":0}"#).await;
    peer.binary(&[3; 80]).await;
    peer.text(r#"{"type":"Flushed","sequence_id":2}"#).await;
    match hear(&mut session).await {
        Spoken::Audio {
            context: 2,
            piece: 0,
            audio,
            ..
        } => assert_eq!(audio, vec![3; 80]),
        other => panic!("{other:?}"),
    }
    let done = Spoken::PieceDone {
        context: 2,
        piece: 0,
    };
    assert_eq!(hear(&mut session).await, done);
}

#[test]
fn what_aura_hears_of_may_be_kept_from_its_models() {
    let mut spec = spec("aura-2");
    spec.options.insert("mip_opt_out".into(), true.into());
    let url = Aura::new(&spec).unwrap().address("wss://x").unwrap();
    assert!(url.query().unwrap().ends_with("&mip_opt_out=true"), "{url}");
}

#[tokio::test]
async fn aura_is_not_flushed_too_often() {
    let (session, mut peer, _server) = open::<Aura>("aura-asteria-en").await;
    let mut flushes = 0;
    for piece in 0..30 {
        say(&session, 1, piece, "Word.", piece == 29).await;
    }
    for _ in 0..30 {
        assert_eq!(peer.json().await["type"], "Speak");
        if flushes < 14 {
            assert_eq!(peer.json().await["type"], "Flush");
            flushes += 1;
        }
    }
    // The end of the answer.
    assert_eq!(peer.json().await["type"], "Flush");
}

#[tokio::test]
async fn cartesia() {
    let (mut session, mut peer, _server) = open::<Cartesia>("sonic-3").await;
    assert_eq!(peer.path, "/tts/websocket");
    assert_eq!(peer.headers["authorization"], "Bearer sesame");
    assert_eq!(peer.headers["cartesia-version"], "2026-08-14");
    let request = |id: &str, transcript: &str, go_on: bool| {
        json!({"context_id": id, "model_id": "sonic-3", "transcript": transcript, "continue": go_on,
            "voice": {"mode": "id", "id": "Nila"}, "language": "hi",
            "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
            "generation_config": {"speed": 1.25, "volume": 1.5},
            "max_buffer_delay_ms": 0, "add_timestamps": true})
    };
    let flush = |id: &str| {
        let mut flush = request(id, "", true);
        flush["flush"] = true.into();
        flush
    };
    say(&session, 1, 0, "One.", false).await;
    expect(&mut peer, &[request("c1", "One. ", true), flush("c1")]).await;
    say(&session, 1, 1, "Two.", true).await;
    let end = request("c1", "", false);
    expect(&mut peer, &[request("c1", "Two. ", true), flush("c1"), end]).await;
    cancel(&session, 1).await;
    say(&session, 2, 0, "No.", true).await;
    expect(&mut peer, &[json!({"context_id": "c1", "cancel": true})]).await;
    expect(&mut peer, &[request("c2", "No. ", true), flush("c2")]).await;
    // Late ones of the old context, and its complaint.
    peer.text(r#"{"type":"chunk","data":"AQ==","done":false,"context_id":"c1"}"#)
        .await;
    peer.text(r#"{"type":"error","status_code":400,"done":true,"context_id":"c1"}"#)
        .await;
    peer.text(r#"{"type":"chunk","data":"Ag==","done":false,"context_id":"c2"}"#)
        .await;
    peer.text(r#"{"type":"done","done":true,"status_code":200,"context_id":"c2"}"#)
        .await;
    match hear(&mut session).await {
        Spoken::Audio {
            context: 2, audio, ..
        } => assert_eq!(audio, vec![2]),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        hear(&mut session).await,
        Spoken::PieceDone {
            context: 2,
            piece: 0
        }
    );
    assert_eq!(hear(&mut session).await, Spoken::Done { context: 2 });
}

/// The words' clock runs on within a context, or begins anew with each flush.
#[tokio::test]
async fn either_clock_of_cartesia() {
    for start in [0.05, 1.05] {
        let (mut session, mut peer, _server) = open::<Cartesia>("sonic-3").await;
        say(&session, 1, 0, "One.", false).await;
        say(&session, 1, 1, "Two.", false).await;
        let chunk = json!({"type": "chunk", "context_id": "c1",
            "data": STANDARD.encode(vec![1; 8000])});
        let times = json!({"type": "timestamps", "context_id": "c1", "word_timestamps":
            {"words": ["Two."], "start": [start], "end": [start + 0.4]}});
        peer.text(&chunk.to_string()).await;
        peer.text(r#"{"type":"flush_done","flush_id":1,"context_id":"c1"}"#)
            .await;
        peer.text(&times.to_string()).await;
        peer.text(&chunk.to_string()).await;
        assert!(matches!(
            hear(&mut session).await,
            Spoken::Audio { piece: 0, .. }
        ));
        assert_eq!(
            hear(&mut session).await,
            Spoken::PieceDone {
                context: 1,
                piece: 0
            }
        );
        match hear(&mut session).await {
            Spoken::Audio {
                piece: 1, words, ..
            } => {
                assert_eq!(words[0].0, "Two.");
                assert!(
                    words[0].1.abs_diff(50) <= 1 && words[0].2.abs_diff(450) <= 1,
                    "{words:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn sarvam() {
    let (mut session, mut peer, mut server) = open::<Sarvam>("bulbul:v3").await;
    assert_eq!(
        peer.path,
        "/text-to-speech/ws?model=bulbul%3Av3&send_completion_event=true"
    );
    assert_eq!(peer.headers["api-subscription-key"], "sesame");
    let config = json!({"type": "config", "data": {"target_language_code": "hi-IN", "speaker": "nila",
        "pace": 1.25, "speech_sample_rate": 8000, "output_audio_codec": "mulaw", "temperature": 0.4}});
    let text = |text: &str| json!({"type": "text", "data": {"text": text}});
    let flush = json!({"type": "flush"});
    say(&session, 1, 0, "One.", false).await;
    say(&session, 1, 1, "Two.", true).await;
    expect(&mut peer, &[config.clone(), text("One."), flush.clone()]).await;
    let audio = json!({"type": "audio", "data": {"content_type": "audio/wav", "request_id": "r",
        "audio": STANDARD.encode(b"RIFF....WAVEfmt ....data....\x01\x02")}});
    peer.text(&audio.to_string()).await;
    // Without its header.
    match hear(&mut session).await {
        Spoken::Audio {
            piece: 0, audio, ..
        } => assert_eq!(audio, vec![1, 2]),
        other => panic!("{other:?}"),
    }
    // One piece at a time.
    peer.text(r#"{"type":"event","data":{"event_type":"final"}}"#)
        .await;
    expect(&mut peer, &[text("Two."), flush.clone()]).await;
    // No cancel: another socket.
    cancel(&session, 1).await;
    say(&session, 2, 0, "No.", true).await;
    let mut second = server.peer().await;
    expect(&mut second, &[config, text("No."), flush]).await;
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn rime() {
    let (session, mut peer, _server) = open::<Rime>("mistv2").await;
    assert_eq!(
        peer.path,
        "/ws3?speaker=Nila&modelId=mistv2&audioFormat=mulaw&samplingRate=8000&lang=hin\
         &segment=bySentence&speedAlpha=0.8"
    );
    assert_eq!(peer.headers["authorization"], "Bearer sesame");
    say(&session, 1, 0, "One.", true).await;
    expect(
        &mut peer,
        &[
            json!({"text": "One. ", "contextId": "p0"}),
            json!({"operation": "flush"}),
        ],
    )
    .await;
    cancel(&session, 1).await;
    expect(&mut peer, &[json!({"operation": "clear"})]).await;
    drop(session.input);
    expect(&mut peer, &[json!({"operation": "eos"})]).await;
}

#[tokio::test]
async fn smallest() {
    let (session, mut peer, mut server) = open::<Smallest>("lightning_v3.1").await;
    assert_eq!(peer.path, "/waves/v1/tts/live");
    assert_eq!(peer.headers["authorization"], "Bearer sesame");
    let request = |id: &str, text: &str| {
        json!({"voice_id": "Nila", "model": "lightning_v3.1", "language": "hi", "sample_rate": 8000,
            "speed": 1.25, "output_format": "pcm", "word_timestamps": true, "continue": false,
            "flush": true, "text": text, "request_id": id})
    };
    say(&session, 1, 0, "One.", true).await;
    expect(&mut peer, &[request("r0", "One.")]).await;
    cancel(&session, 1).await;
    say(&session, 2, 0, "No.", true).await;
    expect(&mut server.peer().await, &[request("r1", "No.")]).await;
}

#[tokio::test]
async fn elevenlabs_dialogue() {
    let (session, mut peer, _server) = open::<Dialogue>("eleven_v3").await;
    assert_eq!(
        peer.path,
        "/v1/text-to-dialogue/multi-stream-input?model_id=eleven_v3&output_format=ulaw_8000\
         &sync_alignment=true&language_code=hi"
    );
    assert_eq!(peer.headers["xi-api-key"], "sesame");
    let input = |id: &str, text: &str, is_new: bool| json!({"context_id": id, "inputs": [{"text": text, "voice_id": "Nila", "new_turn": is_new}]});
    let begin = |id: &str| {
        let mut begin = json!({"context_id": id, "voices": ["Nila"]});
        begin["voice_settings"] = json!({"stability": 0.4_f32});
        begin
    };
    let flush = |id: &str| json!({"context_id": id, "flush": true});
    let close = |id: &str| json!({"context_id": id, "close_context": true});
    say(&session, 1, 0, "One.", false).await;
    expect(
        &mut peer,
        &[begin("c1"), input("c1", "One. ", true), flush("c1")],
    )
    .await;
    say(&session, 1, 1, "Two.", false).await;
    expect(&mut peer, &[input("c1", "Two. ", false), flush("c1")]).await;
    cancel(&session, 1).await;
    say(&session, 2, 0, "No.", true).await;
    expect(&mut peer, &[close("c1"), begin("c2")]).await;
    expect(
        &mut peer,
        &[input("c2", "No. ", true), flush("c2"), close("c2")],
    )
    .await;
}

#[tokio::test] // wire-providers.md §7.2
async fn why_a_vendor_left_is_told_though_it_takes_no_more() {
    let words = json!({"type": "error", "data": {"message": "no quota", "code": 429}}).to_string();
    let wire = Sarvam::new(&spec("bulbul:v3")).unwrap();
    let (_input, texts) = mpsc::channel(INPUT_PIECES);
    let (facts, mut output) = mpsc::channel(OUTPUT_FACTS);
    let now = Instant::now();
    let speaking = Speaking {
        dial: Dial {
            url: wire.address("ws://localhost").unwrap(),
            key: SecretString::from("sesame"),
            tls: tls(),
            limits: limits(),
        },
        socket: left_behind(Sarvam::ORIGIN, &words).await,
        pieces: Pieces::new(Sarvam::LONGEST, wire.made(), Format::Mulaw8k).unwrap(),
        wire,
        texts,
        facts,
        complained: false,
        sent_at: now,
        moved_at: now,
    };
    speaking.run().await;
    let error = output.recv().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Quota);
}
