//! Calls that a machine answers.

use bolo_simulator::{
    caller::{AnsweredBy, CallerScript},
    carrier::Kind,
    llm::Reply,
};
use rstest::rstest;
use serde_json::json;

use crate::support::{Database, World, agent_with};

#[rstest]
#[case::left_a_message("Please call Asha back.")]
#[case::hung_up_on("")]
#[tokio::test]
async fn a_machine_that_answers_is_noticed_and_recorded(#[case] message: &str) {
    let world = World::start(Database::Sqlite).await;
    let verdict = Reply::text("{\"is_voicemail\": \"Yes\"}");
    world.fakes.llm.on("after the tone", verdict);
    let agent = agent_with(json!({
        "voicemail": true,
        "voicemail_detection_time": 0,
        "voicemail_message": message,
        "call_hangup_message": "Goodbye then.",
    }));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    // Without a message the machine is cut off in mid-sentence.
    tokio::select! {
        said = call.says("please leave a message after the tone") => said.unwrap(),
        _ = call.ended() => {}
    }
    if !message.is_empty() {
        call.hears("Please call Asha back").await.unwrap();
    }
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["answered_by_voice_mail"], true);
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "voicemail_detected"
    );
    let transcript = record["transcript"].as_str().unwrap();
    let agents: Vec<&str> = transcript
        .lines()
        .filter_map(|line| line.strip_prefix("assistant: "))
        .collect();
    let expected = ["Hello there.", message];
    assert_eq!(
        agents,
        expected[..expected.len() - usize::from(message.is_empty())]
    );
    let agent = record["agent_id"].as_str().unwrap();
    let found = world
        .server
        .get(&format!("/v2/agent/{agent}/executions?voicemail=true"))
        .await;
    assert_eq!(found["data"][0]["id"], execution.as_str());
    world.end(&[]).await;
}

#[rstest]
#[case::twilio(Kind::Twilio, AnsweredBy::MachineStart)]
#[case::ended_with_a_beep(Kind::Twilio, AnsweredBy::MachineEndBeep)]
#[case::ended_in_silence(Kind::Twilio, AnsweredBy::MachineEndSilence)]
#[case::ended_somehow(Kind::Twilio, AnsweredBy::MachineEndOther)]
#[case::a_fax(Kind::Twilio, AnsweredBy::Fax)]
#[case::plivo(Kind::Plivo, AnsweredBy::MachineStart)]
#[tokio::test]
async fn a_machine_that_the_carrier_hears_is_hung_up_on(
    #[case] carrier: Kind,
    #[case] by: AnsweredBy,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let script = CallerScript {
        answered_by: Some(by),
        ..CallerScript::default()
    };
    let (execution, call) = world
        .dial(&agent_with(json!({ "voicemail": true })), script)
        .await;
    // Nobody says a word: only the carrier can tell.
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["answered_by_voice_mail"], true);
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "voicemail_detected"
    );
    assert!(world.fakes.llm.requests().is_empty());
    world.end(&[]).await;
}

#[rstest]
#[case::a_person(AnsweredBy::Human)]
#[case::not_to_be_found_out(AnsweredBy::Unknown)]
#[tokio::test]
async fn whom_the_carrier_takes_for_no_machine_is_talked_to(#[case] by: AnsweredBy) {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let script = CallerScript {
        answered_by: Some(by),
        ..CallerScript::default()
    };
    let agent = agent_with(json!({ "voicemail": true }));
    let (execution, call) = world.dial(&agent, script).await;
    let told = |ledger: &bolo_simulator::carrier::Ledger| {
        let told = ledger.webhooks_of(call.id(), "machine");
        (!told.is_empty()).then_some(())
    };
    world.fakes.carrier.ledger_shows(told).await.unwrap();
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["answered_by_voice_mail"], false);
    world.end(&[]).await;
}
