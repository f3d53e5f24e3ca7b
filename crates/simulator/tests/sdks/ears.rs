//! SDKs of vendors that turn speech into text.

use base64::{Engine, prelude::BASE64_STANDARD};
use bolo_simulator::{
    ears::{FakeEars, Options},
    g711, tone,
};
use serde_json::{Value, json};

use super::python;

const TEXT: &str = "where is my order";

async fn hear(vendor: &str, fake: &FakeEars, key: &str, audio: &[u8]) -> Value {
    let (base, audio) = (fake.base_url(), BASE64_STANDARD.encode(audio));
    let arguments = [vendor, &base, key, &audio];
    python("ears.py", arguments.map(str::to_owned).into()).await
}

/// The text, and a second of silence.
fn mulaw() -> Vec<u8> {
    let mut audio = tone::speak(TEXT);
    audio.resize(audio.len() + 8000, g711::SILENCE);
    audio
}

#[tokio::test]
async fn elevenlabs() {
    let fake = FakeEars::start(Options::default()).await.unwrap();
    let came = hear("elevenlabs", &fake, fake.api_key(), &mulaw()).await;
    let events = [
        "session_started",
        "partial_transcript",
        "committed_transcript",
    ];
    assert_eq!(came, json!({"events": events, "text": TEXT}));
    let refused = hear("elevenlabs", &fake, "wrong", &mulaw()).await;
    assert_eq!(refused["refused"], json!(["error"]));
}

#[tokio::test]
async fn sarvam() {
    let fake = FakeEars::start(Options::default()).await.unwrap();
    let samples = tone::speak(TEXT);
    let samples = samples
        .iter()
        .flat_map(|byte| g711::decode(*byte).to_le_bytes());
    let samples: Vec<u8> = samples.collect();
    let came = hear("sarvam", &fake, fake.api_key(), &samples).await;
    assert_eq!(
        came,
        json!({"events": ["START_SPEECH", "data"], "text": TEXT})
    );
    let refused = hear("sarvam", &fake, "wrong", &samples).await;
    assert_eq!(refused["refused"], 403);
}

#[tokio::test]
async fn openai() {
    let fake = FakeEars::start(Options::default()).await.unwrap();
    let came = hear("openai", &fake, fake.api_key(), &mulaw()).await;
    let events = [
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ];
    assert_eq!(came, json!({"events": events, "text": TEXT}));
    let refused = hear("openai", &fake, "wrong", &mulaw()).await;
    assert_eq!(refused["refused"], 401);
}
