//! SDKs of vendors that turn text into speech.

use base64::{Engine, prelude::BASE64_STANDARD};
use bolo_simulator::{
    elevenlabs::{self, FakeElevenlabs},
    g711, tone,
    voices::{Options, aura, cartesia, openai, sarvam},
};
use serde_json::{Value, json};

use super::python;

const TEXTS: [&str; 2] = ["Your order ships on Monday.", "It comes by post."];

async fn speak(vendor: &str, base: String, key: &str) -> Value {
    let arguments = [vendor, &base, key, TEXTS[0], TEXTS[1]];
    python("voices.py", arguments.map(str::to_owned).into()).await
}

fn audio(came: &Value) -> Vec<u8> {
    let audio = came["audio"].as_str().unwrap_or_else(|| panic!("{came}"));
    BASE64_STANDARD.decode(audio).unwrap()
}

fn mulaw() -> Vec<u8> {
    TEXTS.map(tone::speak).concat()
}

#[tokio::test]
async fn deepgram() {
    let fake = aura::start(Options::default()).await.unwrap();
    let came = speak("deepgram", fake.base_url(), fake.api_key()).await;
    assert_eq!(audio(&came), mulaw());
    assert_eq!(
        came["events"],
        json!(["Metadata", "Flushed", "Flushed", "Cleared"])
    );
    let refused = speak("deepgram", fake.base_url(), "wrong").await;
    assert_eq!(refused["refused"], 401);
}

#[tokio::test]
async fn cartesia() {
    let fake = cartesia::start(Options::default()).await.unwrap();
    let came = speak("cartesia", fake.base_url(), fake.api_key()).await;
    assert_eq!(audio(&came), mulaw());
    assert_eq!(came["events"], json!(["flush_done", "flush_done", "done"]));
    let words: Vec<&str> = TEXTS.iter().flat_map(|text| text.split(' ')).collect();
    assert_eq!(came["words"], json!(words));
    let refused = speak("cartesia", fake.base_url(), "wrong").await;
    assert_eq!(refused["refused"], 401);
}

#[tokio::test]
async fn sarvam() {
    let fake = sarvam::start(Options::default()).await.unwrap();
    let came = speak("sarvam", fake.base_url(), fake.api_key()).await;
    assert_eq!(audio(&came), mulaw());
    assert_eq!(came["events"], json!(["final", "final"]));
    let refused = speak("sarvam", fake.base_url(), "wrong").await;
    assert_eq!(refused["refused"], 403);
}

#[tokio::test]
async fn openai() {
    let fake = openai::start(Options::default()).await.unwrap();
    let came = speak("openai", fake.base_url(), fake.api_key()).await;
    // 24 kHz, two bytes a sample, of which each third is one of the line's.
    let samples: Vec<i16> = (audio(&came).as_chunks::<2>().0.iter())
        .map(|pair| i16::from_le_bytes(*pair))
        .step_by(3)
        .collect();
    let wanted: Vec<i16> = mulaw().iter().map(|code| g711::decode(*code)).collect();
    assert_eq!(samples, wanted);
    let refused = speak("openai", fake.base_url(), "wrong").await;
    assert_eq!(refused["refused"], 401);
}

#[tokio::test]
async fn elevenlabs() {
    let fake = FakeElevenlabs::start(elevenlabs::Options::default())
        .await
        .unwrap();
    let base = fake.base_url().replace("ws://", "http://");
    let came = speak("elevenlabs", base.clone(), fake.api_key()).await;
    // Less than the vendor's schedule asks for: spoken as one when the stream ends.
    assert_eq!(audio(&came), tone::speak(&TEXTS.join(" ")));
    let refused = speak("elevenlabs", base, "wrong").await;
    assert_eq!(refused["refused"], 401);
}
