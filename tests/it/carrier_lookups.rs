//! Carriers whose answers to requests say less than they know, or something else than they do.

use std::time::Duration;

use bolo_simulator::{
    caller::{CallHandle, CallerScript},
    carrier::{CallFaults, DialFault, Kind},
};
use rstest::rstest;
use serde_json::json;

use crate::support::{Database, Fakes, THEIRS, World, agent};

/// A phone that rings so long, and of which nobody tells anything before it is answered.
fn rings_unheard(ms: u64) -> CallerScript {
    let all = ["initiated", "ringing", "answered", "completed"];
    CallerScript {
        ring_ms: ms,
        ..CallerScript::default()
    }
    .with_faults(CallFaults {
        lost_status: all.map(str::to_owned).into(),
        ..CallFaults::default()
    })
}

/// A dial that is placed and fails to say so.
async fn lost_dial(world: &World, script: CallerScript) -> (String, CallHandle) {
    let fault = DialFault::ErrorAfterPlacing {};
    world.fakes.carrier.fail_dials_to(THEIRS, [fault]);
    world.dial(&agent(), script).await
}

async fn goes_well(world: &World, execution: &str, call: &CallHandle) {
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(execution, "completed").await;
    assert_eq!(record["transcript"], "assistant: Hello there.");
    let ledger = world.fakes.carrier.ledger();
    assert_eq!((ledger.dials().len(), ledger.placed()), (1, 1));
}

#[rstest]
#[tokio::test]
async fn a_lost_dial_that_no_list_shows_is_found_by_its_first_callback(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    world.fakes.carrier.lists_lag(Duration::MAX);
    let (execution, call) = lost_dial(&world, CallerScript::default()).await;
    goes_well(&world, &execution, &call).await;
    world.end(&["unknown"]).await;
}

#[rstest]
#[tokio::test]
async fn a_lost_dial_is_found_by_a_list_that_lags(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    world.fakes.carrier.lists_lag(Duration::from_secs(12));
    let (execution, call) = lost_dial(&world, rings_unheard(40_000)).await;
    let found =
        |record: &serde_json::Value| record["telephony_data"]["provider_call_id"] == call.id();
    let found = world.server.until(&execution, "the call's id", found);
    found.await;
    let stop = format!("/call/{execution}/stop");
    world.server.post(&stop, json!({})).await;
    if carrier != Kind::Exotel {
        assert_eq!(call.ended().await.unwrap(), "canceled");
    }
    assert_eq!(world.fakes.carrier.ledger().dials().len(), 1);
    world.end(&["unknown"]).await;
}

/// wire-telephony.md §6.1, 6.
#[rstest]
#[tokio::test]
async fn a_call_that_was_given_up_is_ended_when_it_is_answered_all_the_same(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel)] carrier: Kind,
) {
    let settings = [("BOLO_TELEPHONY__LOOKUP_S", "2")];
    let world = World::around(Fakes::start(carrier).await, Database::Sqlite, &settings).await;
    world.fakes.carrier.lists_lag(Duration::MAX);
    let (execution, call) = lost_dial(&world, rings_unheard(28_000)).await;
    let record = world.server.status(&execution, "error").await;
    assert_eq!(record["error_message"], "dial outcome unknown");
    assert_eq!(call.status(), "ringing");
    assert_eq!(call.ended().await.unwrap(), "completed");
    assert_eq!(call.heard_text(), "");
    let record = world.server.get(&format!("/executions/{execution}")).await;
    assert_eq!(record["status"], "error");
    world.end(&["unknown", "call failed"]).await;
}

#[rstest]
#[tokio::test]
async fn an_answer_that_comes_behind_the_call_is_no_second_call(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let slow = DialFault::SlowAnswer { ms: 4000 };
    world.fakes.carrier.fail_dials_to(THEIRS, [slow]);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    goes_well(&world, &execution, &call).await;
    world.end(&[]).await;
}

/// It is over for whoever asked, and not for the phone.
#[rstest]
#[case::twilio(Kind::Twilio, DialFault::bad_request(21220))]
#[case::twilio_forgotten(Kind::Twilio, DialFault::missing())]
#[case::plivo(Kind::Plivo, DialFault::missing())]
#[case::vobiz(Kind::Vobiz, DialFault::missing())]
#[tokio::test]
async fn a_call_that_is_said_to_be_over_and_is_answered_is_ended_again(
    #[case] carrier: Kind,
    #[case] fault: DialFault,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let rings = CallerScript {
        ring_ms: 3000,
        ..CallerScript::default()
    };
    let (execution, call) = world.dial(&agent(), rings).await;
    call.reaches("ringing").await.unwrap();
    // Plivo asks in two places.
    let faults = std::iter::repeat_n(fault, 2);
    world.fakes.carrier.fail_next_requests(faults);
    let stop = format!("/call/{execution}/stop");
    world.server.post(&stop, json!({})).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    assert_eq!(call.heard_text(), "");
    let record = world.server.status(&execution, "stopped").await;
    assert_eq!(record["transcript"], serde_json::Value::Null);
    world.end(&["hang", "look up"]).await;
}
