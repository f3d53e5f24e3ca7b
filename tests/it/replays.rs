//! A recorded media session, replayed by the fake carrier to the running server.

use base64::{Engine, engine::general_purpose::STANDARD};
use bolo_simulator::{
    caller::CallerScript,
    carrier::{Kind, Recorded, Side},
    g711,
    llm::Reply,
    tone,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, World, agent_with};

/// What a carrier sends in a session: four seconds of nothing, a question, keys, and the end.
fn recording(carrier: Kind) -> Vec<Recorded> {
    let mut sound = vec![g711::SILENCE; 32_000];
    sound.extend(tone::speak("where is my order"));
    sound.resize(sound.len().next_multiple_of(160) + 32_000, g711::SILENCE);
    let twilio = carrier == Kind::Twilio;
    let start = match carrier {
        Kind::Twilio => json!({
            "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
            "start": {"accountSid": "AC1", "streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"of": "somebody else"}},
        }),
        _ => json!({
            "event": "start", "sequenceNumber": 1, "extra_headers": "{}",
            "start": {"callId": "c-1", "streamId": "s-1", "accountId": "MA1", "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}},
        }),
    };
    let of_stream = |mut message: Value| {
        let (name, id) = if twilio {
            ("streamSid", "MZ1")
        } else {
            ("streamId", "s-1")
        };
        message[name] = id.into();
        message
    };
    let mut all = vec![(0, json!({"event": "connected"})), (10, start)];
    for (n, frame) in sound.chunks(160).enumerate() {
        let payload = STANDARD.encode(frame);
        let media = json!({"track": "inbound", "chunk": (n + 1).to_string(),
            "timestamp": (n * 20).to_string(), "payload": payload});
        all.push((
            10 + 20 * n as u64,
            of_stream(json!({"event": "media", "media": media})),
        ));
    }
    let end = 10 + sound.len() as u64 / 8;
    for (n, key) in "42#".chars().enumerate() {
        let dtmf = json!({"track": "inbound", "digit": key.to_string()});
        all.push((
            end + n as u64 * 200,
            of_stream(json!({"event": "dtmf", "dtmf": dtmf})),
        ));
    }
    // The answer to what another server sent, and time for this one's.
    let mark = json!({"event": "mark", "mark": {"name": "of another server"}});
    all.push((end + 700, of_stream(mark)));
    let last = json!({"event": "media", "media": {"track": "inbound", "payload": STANDARD.encode([g711::SILENCE; 160])}});
    all.push((end + 5000, of_stream(last)));
    all.push((end + 5010, of_stream(json!({"event": "stop"}))));
    let line = |(ms, message): (u64, Value)| Recorded {
        ms,
        from: Side::Carrier,
        text: Some(message.to_string()),
        binary: None,
    };
    all.into_iter().map(line).collect()
}

#[rstest]
#[tokio::test]
async fn a_recorded_session_is_a_call_again(#[values(Kind::Twilio, Kind::Plivo)] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    let llm = &world.fakes.llm;
    llm.on("where is my order", Reply::text("It ships on Monday."));
    let thanks = Reply::text("Thank you.");
    llm.on_pattern("^dtmf_number: 42$", thanks).unwrap();
    let file = world.server.folder().join("session.jsonl");
    let lines = recording(carrier).into_iter();
    let lines: Vec<String> = lines
        .map(|line| serde_json::to_string(&line).unwrap())
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let script = CallerScript {
        replay: Some(file),
        ..CallerScript::default()
    };
    let agent = agent_with(json!({"dtmf_enabled": true}));
    let (execution, call) = world.dial(&agent, script).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday.\n\
         user: dtmf_number: 42\nassistant: Thank you."
    );
    world.end(&[]).await;
}
