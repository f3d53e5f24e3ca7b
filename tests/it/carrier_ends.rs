//! Carriers that leave a call without media, or a request without an answer, and how it ends: one record, and the
//! right reason.

use bolo_simulator::{
    caller::{CallerScript, Outcome},
    carrier::{CallFaults, DialFault, Kind},
    llm::Reply,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    calls::{barge_in, orders},
    support::{Database, Fakes, THEIRS, World, agent},
};

/// A server that does not wait as long as it does by itself.
async fn hasty(carrier: Kind) -> World {
    let settings = [
        ("BOLO_LIMITS__ORPHAN_S", "2"),
        ("BOLO_RUNTIME__MEDIA_FROZEN_S", "2"),
        ("BOLO_RUNTIME__MEDIA_REATTACH_S", "1"),
        ("BOLO_TELEPHONY__LOOKUP_S", "2"),
    ];
    World::around(Fakes::start(carrier).await, Database::Sqlite, &settings).await
}

fn script(faults: CallFaults) -> CallerScript {
    CallerScript::default().with_faults(faults)
}

/// The record of the only call that there was.
async fn only_record(world: &World, execution: &str, status: &str) -> Value {
    let record = world.server.status(execution, status).await;
    let agent = record["agent_id"].as_str().unwrap();
    let path = format!("/v2/agent/{agent}/executions");
    let list = world.server.get(&path).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list:#}");
    assert_eq!(world.fakes.carrier.ledger().dials().len(), 1);
    record
}

/// wire-telephony.md §5.2: a call without a socket.
fn is_unreached(record: &Value) {
    let told = &record["telephony_data"];
    let told = [
        &told["hangup_by"],
        &told["hangup_reason"],
        &told["hangup_code"],
    ];
    let expected = [
        json!("Error"),
        json!("Carrier unable to reach bolna"),
        json!(7011),
    ];
    assert_eq!(told, expected.each_ref(), "{record:#}");
}

#[rstest]
#[tokio::test]
async fn a_call_whose_media_never_comes_is_ended(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = hasty(carrier).await;
    let faults = CallFaults {
        no_media: true,
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    let record = only_record(&world, &execution, "error").await;
    is_unreached(&record);
    // No request can end that one.
    if carrier != Kind::Exotel {
        assert_eq!(call.ended().await.unwrap(), "completed");
    }
    assert!(world.fakes.llm.requests().is_empty());
    world.end(&["nobody drives", "call failed"]).await;
}

#[rstest]
#[tokio::test]
async fn a_hang_up_before_the_media_is_an_error_that_says_so(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
    #[values(false, true)] in_upgrade: bool,
) {
    let world = hasty(carrier).await;
    let faults = CallFaults {
        hang_up_at_answer: !in_upgrade,
        hang_up_in_upgrade: in_upgrade,
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = only_record(&world, &execution, "error").await;
    assert_eq!(
        record["error_message"],
        "the call ended before its media reached the server"
    );
    is_unreached(&record);
    assert!(world.fakes.llm.requests().is_empty());
    world.end(&["call failed"]).await;
}

#[rstest]
#[tokio::test]
async fn a_half_open_socket_is_given_up(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = hasty(carrier).await;
    let faults = CallFaults {
        half_open_after_ms: Some(2500),
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    call.hears("Hello there").await.unwrap();
    let record = only_record(&world, &execution, "completed").await;
    let told = &record["telephony_data"];
    assert_eq!(
        (&told["hangup_by"], &told["hangup_reason"]),
        (
            &Value::from("Carrier"),
            &Value::from("Carrier unable to reach bolna")
        )
    );
    assert_eq!(record["transcript"], "assistant: Hello there.");
    if carrier != Kind::Exotel {
        assert_eq!(call.ended().await.unwrap(), "completed");
    }
    world.end(&["media socket"]).await;
}

#[rstest]
#[tokio::test]
async fn whom_nobody_hears_any_more_may_still_hang_up(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = hasty(carrier).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let faults = CallFaults {
        stop_reading_after_ms: Some(2500),
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("can you hear me where is my order")
        .await
        .unwrap();
    call.hangs_up().await.unwrap();
    let record = only_record(&world, &execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "Call recipient hung up"
    );
    assert!(!call.heard_text().contains("Monday"));
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn a_carrier_that_reads_no_more_is_given_up(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = hasty(carrier).await;
    // Longer than the kernels of both ends keep it, and 2 s (R198).
    let order = "It ships on Monday, and should reach you by the end of the week. ".repeat(5);
    world
        .fakes
        .llm
        .on("where is my order", Reply::text(order.trim_end()));
    let faults = CallFaults {
        stop_reading_after_ms: Some(2500),
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("can you hear me where is my order")
        .await
        .unwrap();
    let record = only_record(&world, &execution, "completed").await;
    let told = &record["telephony_data"];
    assert_eq!(
        (&told["hangup_by"], &told["hangup_reason"]),
        (
            &Value::from("Carrier"),
            &Value::from("Carrier unable to reach bolna")
        )
    );
    if carrier != Kind::Exotel {
        assert_eq!(call.ended().await.unwrap(), "completed");
    }
    world.end(&["media socket"]).await;
}

#[rstest]
#[tokio::test]
async fn a_dial_without_an_answer_and_without_a_call_is_an_error(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = hasty(carrier).await;
    world
        .fakes
        .carrier
        .fail_dials_to(THEIRS, [DialFault::Silence {}]);
    let agent = world.server.create_agent(&world.of_carrier(&agent())).await;
    let execution = world.server.call(&agent, THEIRS).await;
    let record = only_record(&world, &execution, "error").await;
    let why = record["error_message"].as_str().unwrap();
    assert!(why.contains("unknown"), "{why}");
    assert_eq!(world.fakes.carrier.ledger().placed(), 0);
    world.end(&["unknown"]).await;
}

#[rstest]
#[tokio::test]
async fn a_stop_that_the_carrier_fails_at_is_asked_again(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::SipTrunk)] carrier: Kind,
) {
    let world = hasty(carrier).await;
    let rings = CallerScript {
        ring_ms: 60_000,
        ..CallerScript::default()
    };
    let (execution, call) = world.dial(&agent(), rings).await;
    call.reaches("ringing").await.unwrap();
    world.fakes.carrier.fail_next_requests([
        DialFault::ErrorBeforePlacing {},
        DialFault::ResetBeforePlacing {},
    ]);
    let stop = format!("/call/{execution}/stop");
    world.server.post(&stop, json!({})).await;
    assert_eq!(call.ended().await.unwrap(), "canceled");
    assert_eq!(world.fakes.carrier.ledger().requests_spoilt(), 2);
    only_record(&world, &execution, "stopped").await;
    world.end(&["hang", "look up"]).await;
}

#[rstest]
#[tokio::test]
async fn a_clear_that_is_not_confirmed_is_a_clear(
    #[values(Kind::Plivo, Kind::Vobiz)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    orders(&world);
    let faults = CallFaults {
        never_cleared: true,
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    let record = barge_in(&world, &execution, &call).await;
    let transcript = record["transcript"].as_str().unwrap();
    assert!(
        transcript.ends_with("user: no wait please\nassistant: All right."),
        "{transcript}"
    );
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn callbacks_by_get_are_as_good(#[values(Kind::Twilio, Kind::Plivo)] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        get_webhooks: true,
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    call.hears("Hello there").await.unwrap();
    call.hangs_up().await.unwrap();
    only_record(&world, &execution, "completed").await;
    let hooks = world.fakes.carrier.ledger().webhooks();
    let asked: Vec<_> = hooks.iter().map(|hook| hook.status).collect();
    assert!(
        asked.iter().all(|status| *status == Some(200)),
        "{hooks:#?}"
    );
    world.end(&[]).await;
}

/// wire-telephony.md §5.1, code 6000. The stream ends before the carrier says why, in some calls long before.
#[rstest]
#[tokio::test]
async fn why_a_carrier_ended_a_call_is_in_its_record(
    #[values((Kind::Plivo, "Plivo"), (Kind::Vobiz, "Carrier"))] (carrier, by): (Kind, &str),
    #[values(0, 4000)] late_ms: u64,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        cut_after_ms: Some(3000),
        late_status: [("completed".to_owned(), late_ms)].into(),
        ..CallFaults::default()
    };
    let (execution, call) = world.dial(&agent(), script(faults)).await;
    call.hears("Hello there").await.unwrap();
    call.ended().await.unwrap();
    let told = |record: &Value| record["telephony_data"]["hangup_code"] == 6000;
    let record = world.server.until(&execution, "the reason", told).await;
    assert_eq!(record["telephony_data"]["hangup_by"], by);
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "Carrier ended call because call limit exceeded"
    );
    world.end(&[]).await;
}

/// wire-telephony.md §5.1, code 5030: no dial.
#[rstest]
#[tokio::test]
async fn a_call_that_the_carrier_had_no_room_for_is_dialled_again(
    #[values(Kind::Plivo, Kind::Vobiz)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let fake = &world.fakes.carrier;
    let full = CallerScript::fails(Outcome::Full);
    let (execution, first) = world.dial(&agent(), full).await;
    assert_eq!(first.ended().await.unwrap(), "failed");
    fake.script(THEIRS, CallerScript::default());
    let call = fake.dialled(THEIRS).await.unwrap();
    assert_eq!(call.execution().as_ref(), Some(&execution));
    call.hears("Hello there").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    let told = &record["telephony_data"];
    assert_eq!(told["provider_call_id"], call.id());
    assert_eq!(told["hangup_code"], 4000);
    assert_eq!(record["error_message"], Value::Null);
    world.end(&[]).await;
}
