//! SDKs of vendors that turn speech into text: each must find its own messages in what the fake says.

use base64::{Engine, prelude::BASE64_STANDARD};
use bolo_simulator::{
    deepgram::{FakeDeepgram, Options},
    tone,
};
use serde_json::Value;

use super::python;

/// What Deepgram's SDK gets when it lets the fake hear a question and some silence.
async fn heard(model: &str) -> Vec<Value> {
    let fake = FakeDeepgram::start(Options::default()).await.unwrap();
    let mut audio = tone::speak("where is my order");
    audio.resize(audio.len() + 9600, 0xFF);
    let (base, audio) = (fake.base_url(), BASE64_STANDARD.encode(audio));
    let arguments = [model, &base, fake.api_key(), &audio];
    let came = python("transcribers.py", arguments.map(str::to_owned).into()).await;
    came.as_array().unwrap().clone()
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = messages
        .iter()
        .map(|message| message["python"].as_str().unwrap())
        .collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn deepgram_nova() {
    let messages = heard("nova").await;
    assert_eq!(
        kinds(&messages),
        [
            "ListenV1SpeechStarted",
            "ListenV1Results",
            "ListenV1UtteranceEnd",
            "ListenV1Metadata"
        ]
    );
    let last = messages
        .iter()
        .find(|message| message["speech_final"] == true)
        .unwrap();
    assert_eq!(
        last["channel"]["alternatives"][0]["transcript"],
        "where is my order"
    );
}

#[tokio::test]
async fn deepgram_flux() {
    let messages = heard("flux").await;
    assert_eq!(
        kinds(&messages),
        [
            "ListenV2Connected",
            "ListenV2TurnInfo",
            "ListenV2ConfigureSuccess"
        ]
    );
    let events: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["event"].as_str())
        .filter(|event| *event != "Update")
        .collect();
    assert_eq!(events, ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]);
    let numbers: Vec<u64> = messages
        .iter()
        .map(|message| message["sequence_id"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..messages.len() as u64).collect::<Vec<_>>());
}
