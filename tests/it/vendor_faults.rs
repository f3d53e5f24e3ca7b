//! What vendors do wrong, and what the caller hears.

use bolo_simulator::{
    caller::CallerScript,
    deepgram, elevenlabs,
    llm::{Fault, Outcome, Reply},
};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Database, World, agent, agent_with};

#[rstest]
#[case::rate_limited(Fault::Status { status: 429, retry_after_s: Some(0) })]
#[case::server_error(Fault::Status { status: 500, retry_after_s: None })]
#[case::reset(Fault::ResetBeforeFirst {})]
#[tokio::test]
async fn a_model_that_fails_once_is_asked_again(#[case] fault: Fault) {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    world.fakes.llm.fail_next([fault]);
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    world.end(&["llm"]).await;
}

#[tokio::test]
async fn a_model_that_refuses_the_key_ends_in_an_apology_and_a_named_fault() {
    let world = World::start(Database::Sqlite).await;
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    let refused = Fault::Status {
        status: 401,
        retry_after_s: None,
    };
    world.fakes.llm.fail_next(vec![refused; 20]);
    call.says("where is my order").await.unwrap();
    call.agent_spoke().await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my parcel now").await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_reason"], "llm_error");
    let message = record["error_message"].as_str().unwrap();
    assert!(message.starts_with("openai llm:"), "{message}");
    world.end(&["llm"]).await;
}

#[tokio::test] // R194
async fn a_model_that_refuses_every_second_request_is_heard_in_every_turn() {
    let world = World::start(Database::Sqlite).await;
    let llm = &world.fakes.llm;
    let turns = [
        ("where is my order", "It ships on Monday"),
        ("and the other one", "That one ships on Friday"),
        ("thank you very much", "You are welcome"),
    ];
    for (said, answer) in turns {
        llm.on(said, Reply::text(format!("{answer}.")));
    }
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    llm.rate_limit_every(2);
    for (said, answer) in turns {
        call.says(said).await.unwrap();
        call.hears(answer).await.unwrap();
        call.agent_stopped().await.unwrap();
    }
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    let log = llm.log();
    let refused = log.iter().filter(|one| one.outcome == Outcome::Failed(429));
    assert!(refused.count() >= 2, "{log:#?}");
    world.end(&["llm"]).await;
}

#[tokio::test] // wire-providers.md §10.5
async fn a_slow_first_token_is_hedged_and_both_requests_are_paid_for() {
    let world = World::with(Database::Sqlite, &[("BOLO_RUNTIME__LLM_HEDGE_MS", "300")]).await;
    let llm = &world.fakes.llm;
    llm.on("where is my order", Reply::text("It ships on Monday."));
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    llm.fail_next([Fault::DelayFirst { ms: 60_000 }]);
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;

    let asked = llm.log();
    let went: Vec<_> = asked
        .iter()
        .map(|one| (one.outcome, one.tokens > 0))
        .collect();
    assert_eq!(went, [(Outcome::Aborted, false), (Outcome::Finished, true)]);
    assert_eq!(asked[0].body, asked[1].body);
    let prompt: usize = (asked[0].messages().iter())
        .map(|(_, text)| text.chars().count())
        .sum();
    let used = &record["usage_breakdown"]["llm_model"]["gpt-4.1-mini"];
    assert_eq!(used["input"], 2 * prompt.div_ceil(4), "{used}");
    world.end(&[]).await;
}

#[tokio::test]
async fn a_model_that_stalls_in_mid_sentence_keeps_what_was_said() {
    let world = World::with(Database::Sqlite, &[("BOLO_RUNTIME__LLM_BETWEEN_S", "1")]).await;
    world.fakes.llm.on(
        "where is my order",
        Reply::text("It ships on Monday. We will call you before that, and"),
    );
    world
        .fakes
        .llm
        .on("thank you", Reply::text("You are welcome."));
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    world.fakes.llm.fail_next([Fault::StallAfter { tokens: 8 }]);
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("thank you very much").await.unwrap();
    call.hears("You are welcome").await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    world.end(&["llm"]).await;
}

#[tokio::test]
async fn a_transcriber_that_is_lost_comes_back_and_hears_the_whole_turn() {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    // Lost in the middle of the caller's first turn.
    world
        .fakes
        .deepgram
        .fail_next([deepgram::Fault::LostAfter(1800)]);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert!(
        record["transcript"]
            .as_str()
            .unwrap()
            .contains("user: where is my order"),
        "{record:#}"
    );
    assert!(world.fakes.deepgram.sessions() >= 2);
    world.end(&["transcriber"]).await;
}

#[tokio::test]
async fn a_synthesizer_that_is_lost_in_mid_answer_comes_back() {
    let world = World::start(Database::Sqlite).await;
    let answer =
        "It ships on Monday morning. It arrives on Friday evening at the latest, I promise.";
    world.fakes.llm.on("where is my order", Reply::text(answer));
    world
        .fakes
        .elevenlabs
        .fail_next([elevenlabs::Fault::LostAfter(8)]);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("I promise").await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    assert!(world.fakes.elevenlabs.sessions() >= 2);
    world.end(&["synthesizer"]).await;
}

#[tokio::test]
async fn without_a_vendors_key_nobody_is_called() {
    let world = World::with(Database::Sqlite, &[("DEEPGRAM_API_KEY", "")]).await;
    let agent_id = world.server.create_agent(&agent()).await;
    let execution = world.server.call(&agent_id, crate::support::THEIRS).await;
    let record = world.server.status(&execution, "error").await;
    let message = record["error_message"].as_str().unwrap();
    assert!(
        message.contains("deepgram") && message.contains("DEEPGRAM_API_KEY"),
        "{message}"
    );
    assert_eq!(record["transcript"], Value::Null);
    assert_eq!(world.fakes.carrier.ledger().dials().len(), 0);
    world.end(&["deepgram"]).await;
}

#[tokio::test]
async fn a_model_that_refuses_the_key_at_the_first_turn_is_no_silence() {
    let world = World::start(Database::Sqlite).await;
    let refused = Fault::Status {
        status: 401,
        retry_after_s: None,
    };
    world.fakes.llm.fail_next(vec![refused; 20]);
    let mut agent = agent();
    agent["agent_config"]["agent_welcome_message"] = "".into();
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.media_opened().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.agent_spoke().await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my parcel now").await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_reason"], "llm_error");
    let message = record["error_message"].as_str().unwrap();
    assert!(message.starts_with("openai llm:"), "{message}");
    world.end(&["llm"]).await;
}

#[tokio::test]
async fn a_synthesizer_that_refuses_the_key_ends_the_call_by_name() {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .elevenlabs
        .fail_next(vec![elevenlabs::Fault::Status(401); 50]);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.ended().await.unwrap();
    let record = world.server.status(&execution, "error").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "synthesizer_error"
    );
    let message = record["error_message"].as_str().unwrap();
    assert!(message.starts_with("elevenlabs synthesizer:"), "{message}");
    world.end(&["synthesizer", "rendered ahead"]).await;
}

#[tokio::test]
async fn a_transcriber_that_cannot_be_reached_ends_in_an_apology_and_its_name() {
    // Nobody listens there, nor is it ever given to another story.
    let settings = [("BOLO_PROVIDERS__DEEPGRAM__BASE_URL", "ws://127.0.0.1:9")];
    let world = World::with(Database::Sqlite, &settings).await;
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.ended().await.unwrap();
    assert!(!call.heard_text().is_empty(), "{}", call.log());
    let record = world
        .server
        .until(&execution, "its end", |record| {
            ["completed", "error"].contains(&record["status"].as_str().unwrap())
        })
        .await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "transcriber_connection_error"
    );
    let message = record["error_message"].as_str().unwrap();
    assert!(message.starts_with("deepgram transcriber:"), "{message}");
    world.end(&["transcriber"]).await;
}

#[tokio::test]
async fn the_model_ends_the_call_with_its_tool() {
    let world = World::start(Database::Sqlite).await;
    let agent = agent_with(serde_json::json!({
        "hangup_after_LLMCall": true,
        "call_cancellation_prompt": "The caller says goodbye.",
    }));
    world.fakes.llm.on(
        "that is all",
        Reply::text("Goodbye and thanks.").then_call("end_call", "{}"),
    );
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("that is all").await.unwrap();
    call.hears("Goodbye and thanks").await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_reason"], "end_call_tool");
    world.end(&[]).await;
}
