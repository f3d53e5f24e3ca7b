//! Calls as users and carriers see them, from the first ring to the record.

use bolo_simulator::{
    caller::{CallerScript, Event, Outcome},
    carrier::Kind,
    llm::{Fault, Reply},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, EVERYWHERE, OURS, THEIRS, World, agent, agent_with};

/// Loudest sample of a stretch of the recording.
fn peak(samples: &[i16]) -> i32 {
    samples
        .iter()
        .map(|sample| i32::from(*sample).abs())
        .max()
        .unwrap_or_default()
}

pub async fn barge_in(
    world: &World,
    execution: &str,
    call: &bolo_simulator::caller::CallHandle,
) -> Value {
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("Your order ships on").await.unwrap();
    call.says("no wait please").await.unwrap();
    call.sees_clear().await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hears("All right").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(execution, "completed").await
}

pub fn orders(world: &World) {
    world.fakes.llm.on("where is my order", Reply::text(
        "Your order ships on Monday morning and will be with you by the end of the week, as promised.",
    ));
    world
        .fakes
        .llm
        .on("no wait please", Reply::text("All right."));
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn an_outbound_call_is_cut_and_remembers_only_what_was_heard(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let world = World::on(carrier, database).await;
    orders(&world);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    let record = barge_in(&world, &execution, &call).await;

    assert_eq!(record["telephony_data"]["to_number"], THEIRS);
    assert_eq!(record["telephony_data"]["from_number"], OURS);
    assert_eq!(record["telephony_data"]["hangup_by"], "Callee");
    assert_eq!(record["telephony_data"]["call_type"], "outbound");
    let transcript = record["transcript"].as_str().unwrap();
    let lines: Vec<&str> = transcript.lines().collect();
    assert_eq!(lines.len(), 5, "{transcript}");
    assert_eq!(lines[0], "assistant: Hello there.");
    assert_eq!(lines[1], "user: where is my order");
    // The server's clock allows for the line to the caller: it may be a word behind his ear.
    assert!(
        lines[2].starts_with("assistant: Your order"),
        "{transcript}"
    );
    assert!(!lines[2].contains("promised"), "{transcript}");
    assert_eq!(
        lines[3..],
        ["user: no wait please", "assistant: All right."]
    );

    // The next request to the model held only what was heard, word for word.
    let asked = world.fakes.llm.requests();
    let history = asked.last().unwrap()["messages"].as_array().unwrap();
    let heard: Vec<&Value> = history
        .iter()
        .filter(|message| message["role"] == "assistant")
        .collect();
    assert_eq!(
        format!("assistant: {}", heard[1]["content"].as_str().unwrap()),
        lines[2]
    );

    // What was cleared is not in the recording, and both sides are.
    let (caller, agent) = world.server.recording(&execution).await;
    assert_eq!(caller.len(), agent.len());
    assert!(peak(&caller) > 1000 && peak(&agent) > 1000);
    assert_eq!(world.fakes.carrier.ledger().duplicates(), 0);
    world.end(&[]).await;
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn an_inbound_call_is_answered_and_can_be_cut(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let world = World::on(carrier, database).await;
    orders(&world);
    let (execution, call) = world.ring(&agent(), CallerScript::default()).await;
    let record = barge_in(&world, &execution, &call).await;
    assert_eq!(record["telephony_data"]["call_type"], "inbound");
    assert_eq!(record["user_number"], THEIRS);
    assert_eq!(record["agent_number"], OURS);
    assert_eq!(record["telephony_data"]["hangup_by"], "Caller");
    world.end(&[]).await;
}

#[tokio::test]
async fn sentences_follow_each_other_without_a_gap_where_the_carrier_wants_long_pieces() {
    let world = World::on(Kind::Exotel, Database::Sqlite).await;
    let answer = "It ships on Monday. It comes in two boxes, both of them small. You will have it by Friday.";
    world.fakes.llm.on("where is my order", Reply::text(answer));
    let (_, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("by Friday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    assert!(call.heard_text().ends_with(answer), "{}", call.heard_text());
    let bad_sizes = call.warnings();
    let bad_sizes = bad_sizes.iter().filter(|told| told.contains("bytes"));
    assert_eq!(bad_sizes.collect::<Vec<_>>(), [""; 0], "{}", call.log());
    world.end(&[]).await;
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn after_a_clear_the_caller_hears_nothing_more_of_the_answer(#[case] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    orders(&world);
    let (_, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("Your order").await.unwrap();
    call.starts_saying("no wait please").await.unwrap();
    call.sees_clear().await.unwrap();
    call.hears("All right").await.unwrap();
    let text = call.heard_text();
    assert!(!text.contains("promised"), "{text}");
    // The ear was silent within 100 ms of the clear.
    let events = call.timeline();
    let clear = events
        .iter()
        .position(|timed| matches!(timed.event, Event::Cleared { .. }))
        .unwrap();
    let silent = events[clear..]
        .iter()
        .find(|timed| timed.event == Event::AgentStopped)
        .unwrap();
    assert!(
        silent.at_us <= events[clear].at_us + 100_000,
        "{}",
        call.log()
    );
    // Nothing came between the clear and the next answer: the utterance after the cut one is that answer.
    let after = text.split("All right").next().unwrap();
    assert!("Hello there. Your order ships on Monday morning and will be with you by the end of the week, as promised. ".starts_with(after.trim_end()), "{text}");
    call.hangs_up().await.unwrap();
    world.end(&[]).await;
}

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn a_route_answers_without_the_model(#[case] database: Database) {
    let world = World::start(database).await;
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["llm_agent"]["routes"] = json!({"routes": [{
        "route_name": "hours",
        "utterances": ["What are your opening hours?", "When are you open?"],
        "response": "We are open from nine to five.",
        "score_threshold": 0.85,
    }]});
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    // However long a busy machine embeds the words, the model is not there before.
    world.fakes.llm.fail_next([Fault::Silence {}]);
    call.says("what are your opening hours").await.unwrap();
    call.hears("We are open from nine to five").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert!(
        record["transcript"].as_str().unwrap().ends_with(
            "user: what are your opening hours\nassistant: We are open from nine to five."
        )
    );
    let log = world
        .server
        .get(&format!("/executions/{execution}/log"))
        .await;
    let routed = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .any(|entry| entry["provider"] == "semantic_route");
    assert!(routed, "{log:#}");
    world.end(&[]).await;
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn a_silent_caller_is_asked_and_then_told_goodbye(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let world = World::on(carrier, database).await;
    let agent = agent_with(json!({
        "check_if_user_online": true,
        "trigger_user_online_message_after": 1,
        "check_user_online_message": "Are you there?",
        "hangup_after_silence": 3,
        "call_hangup_message": "Goodbye then.",
    }));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.hears("Are you there").await.unwrap();
    call.hears("Goodbye then").await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "inactivity_timeout"
    );
    assert_eq!(record["telephony_data"]["hangup_by"], "API Request");
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nassistant: Are you there?\nassistant: Goodbye then."
    );
    world.end(&[]).await;
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn a_caller_who_hangs_up_in_mid_sentence_leaves_what_he_heard(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let world = World::on(carrier, database).await;
    orders(&world);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("Your order ships").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    let transcript = record["transcript"].as_str().unwrap();
    let last = transcript.lines().last().unwrap();
    assert!(
        last.starts_with("assistant: Your") && !last.contains("promised"),
        "{transcript}"
    );
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "Call recipient hung up"
    );
    world.end(&[]).await;
}

#[rstest]
#[case::busy(Outcome::Busy, "busy", "Call recipient was busy")]
#[case::no_answer(Outcome::NoAnswer, "no-answer", "Call unanswered")]
#[case::rejected(Outcome::Reject, "busy", "Call recipient rejected")]
#[case::invalid(Outcome::Invalid, "failed", "Call recipient number invalid")]
#[tokio::test]
async fn a_call_that_is_not_answered_says_why(
    #[case] outcome: Outcome,
    #[case] status: &str,
    #[case] reason: &str,
) {
    for (carrier, database) in EVERYWHERE {
        let world = World::on(carrier, database).await;
        let (execution, _call) = world.dial(&agent(), CallerScript::fails(outcome)).await;
        let record = world.server.status(&execution, status).await;
        let said = &record["telephony_data"]["hangup_reason"];
        // Exotel's statuses are few: who rejects is busy, and a number that is none just fails.
        let wanted = match (carrier, outcome) {
            (Kind::Exotel, Outcome::Reject) => "Call recipient was busy",
            (Kind::Exotel, Outcome::Invalid) => "failed",
            _ => reason,
        };
        assert_eq!(said, wanted, "{carrier:?}");
        assert_eq!(record["transcript"], Value::Null);
        assert_eq!(world.fakes.carrier.ledger().placed(), 1);
        world.end(&[]).await;
    }
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn a_call_can_be_stopped_while_it_waits_rings_and_talks(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let world = World::on(carrier, database).await;
    let agent_id = world.server.create_agent(&agent()).await;

    // Waiting: scheduled for later, never dialled.
    let body = json!({"agent_id": agent_id, "recipient_phone_number": THEIRS, "scheduled_at": "2099-01-01T10:00:00+05:30"});
    let waiting = world.server.post("/call", body).await;
    assert_eq!(waiting["status"], "scheduled");
    let waiting = waiting["execution_id"].as_str().unwrap().to_owned();
    let stopped = world
        .server
        .post(&format!("/call/{waiting}/stop"), json!({}))
        .await;
    assert_eq!(
        stopped,
        json!({"message": "done", "status": "stopped", "execution_id": waiting})
    );
    world.server.status(&waiting, "stopped").await;
    assert_eq!(world.fakes.carrier.ledger().placed(), 0);

    // Ringing: the carrier ends it; Exotel once it is answered. Not every carrier tells that it rings.
    let (ring_ms, word) = match carrier {
        Kind::Exotel => (3000, "initiated"),
        Kind::SipTrunk => (60_000, "initiated"),
        Kind::Twilio | Kind::Plivo | Kind::Vobiz => (60_000, "ringing"),
    };
    let long = CallerScript {
        ring_ms,
        ..CallerScript::default()
    };
    world.fakes.carrier.script(THEIRS, long);
    let ringing = world.server.call(&agent_id, THEIRS).await;
    let call = world.fakes.carrier.dialled(THEIRS).await.unwrap();
    world.server.status(&ringing, word).await;
    world
        .server
        .post(&format!("/call/{ringing}/stop"), json!({}))
        .await;
    assert!(["canceled", "completed"].contains(&call.ended().await.unwrap().as_str()));
    world.server.status(&ringing, "stopped").await;

    // Talking: hung up at once, no goodbye.
    world.fakes.carrier.script(THEIRS, CallerScript::default());
    let talking = world.server.call(&agent_id, THEIRS).await;
    let call = world.fakes.carrier.dialled(THEIRS).await.unwrap();
    call.hears("Hello there").await.unwrap();
    world
        .server
        .post(&format!("/call/{talking}/stop"), json!({}))
        .await;
    call.ended().await.unwrap();
    let record = world
        .server
        .until(&talking, "its transcript", |record| {
            record["transcript"] != Value::Null
        })
        .await;
    assert_eq!(record["status"], "stopped");

    // Over: nothing to stop.
    let again = world
        .server
        .send(
            "POST",
            &format!("/call/{talking}/stop"),
            Some(&world.server.key),
            Some(&json!({})),
        )
        .await;
    assert_eq!(again.status, 400);
    world.end(&[]).await;
}
