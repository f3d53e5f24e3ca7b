//! What carriers do wrong, and what becomes of the call.

use bolo_simulator::{
    caller::CallerScript,
    carrier::{BadFrame, CallFaults, DialFault, Kind, Signing},
    llm::Reply,
};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Database, EVERYWHERE, THEIRS, World, agent};

/// A short conversation that must go well whatever the carrier does.
pub(crate) async fn converse(world: &World, faults: CallFaults) -> (String, Value) {
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let (execution, call) = world
        .dial(&agent(), CallerScript::default().with_faults(faults))
        .await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday."
    );
    (execution, record)
}

fn reordered() -> CallFaults {
    CallFaults {
        reversed_status: true,
        ringing_after_end: true,
        ..CallFaults::default()
    }
}

fn lost() -> CallFaults {
    let lost_status = ["initiated", "ringing", "answered", "completed"]
        .map(str::to_owned)
        .into();
    CallFaults {
        lost_status,
        ..CallFaults::default()
    }
}

fn doubled() -> CallFaults {
    let doubled_status = ["initiated", "ringing", "answered", "completed"]
        .map(str::to_owned)
        .into();
    CallFaults {
        doubled_status,
        duplicate_answer_ms: Some(5),
        ..CallFaults::default()
    }
}

fn answered_twice() -> CallFaults {
    CallFaults {
        duplicate_answer_ms: Some(30),
        duplicate_answer_runs: true,
        ..CallFaults::default()
    }
}

fn bad_media() -> CallFaults {
    use BadFrame::{
        BadBase64, Binary, Doubled, Empty, HalfJson, Huge, Missing, Numbers, OtherTrack, Restarted,
        UnknownEvent, WrongStream,
    };
    let kinds = [
        HalfJson,
        BadBase64,
        Empty,
        Huge,
        WrongStream,
        UnknownEvent,
        Binary,
        Numbers,
        Missing,
        Doubled,
        Restarted,
        OtherTrack,
    ];
    let bad_frames = kinds
        .into_iter()
        .enumerate()
        .map(|(n, kind)| (5 + 2 * n as u64, kind))
        .collect();
    CallFaults {
        bad_frames,
        media_before_start: true,
        no_parameters: true,
        ..CallFaults::default()
    }
}

fn no_marks() -> CallFaults {
    CallFaults {
        never_echo: true,
        no_stop: true,
        ..CallFaults::default()
    }
}

fn late_callbacks() -> CallFaults {
    let late = [("initiated", 900), ("ringing", 700), ("answered", 1100)];
    CallFaults {
        late_status: late.map(|(event, ms)| (event.to_owned(), ms)).into(),
        ..CallFaults::default()
    }
}

fn strange_callbacks() -> CallFaults {
    CallFaults {
        strange_status: true,
        http_1_0: true,
        ..CallFaults::default()
    }
}

fn late_marks() -> CallFaults {
    CallFaults {
        late_echo_ms: 300,
        reversed_echo: true,
        echo_twice: true,
        ..CallFaults::default()
    }
}

fn shaken_media() -> CallFaults {
    CallFaults {
        jitter_ms: 200,
        bursts_ms: 400,
        seed: 7,
        media_after_stop: true,
        ..CallFaults::default()
    }
}

fn reads_late() -> CallFaults {
    CallFaults {
        stop_reading_after_ms: Some(0),
        stop_reading_for_ms: Some(1000),
        ..CallFaults::default()
    }
}

#[rstest]
#[case::callbacks_reordered(reordered())]
#[case::callbacks_lost(lost())]
#[case::everything_doubled(doubled())]
#[case::answered_twice(answered_twice())]
#[case::malformed_media(bad_media())]
#[case::no_marks_and_no_stop(no_marks())]
#[case::callbacks_late(late_callbacks())]
#[case::callbacks_strange(strange_callbacks())]
#[case::marks_late_twice_and_in_reverse(late_marks())]
#[case::media_late_and_in_bursts(shaken_media())]
#[case::nothing_read_for_a_while(reads_late())]
#[tokio::test]
async fn a_call_survives_its_carrier(#[case] faults: CallFaults) {
    for (carrier, database) in EVERYWHERE {
        let world = World::on(carrier, database).await;
        let (_, record) = converse(&world, faults.clone()).await;
        assert_eq!(record["status"], "completed");
        assert_eq!(world.fakes.carrier.ledger().placed(), 1);
        // Malformed messages are complained of; that is the point.
        world.end(&["media message"]).await;
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
async fn a_lost_socket_is_attached_again_and_the_call_goes_on(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    for reset in [false, true] {
        let world = World::on(carrier, database).await;
        world
            .fakes
            .llm
            .on("where is my order", Reply::text("It ships on Monday."));
        world
            .fakes
            .llm
            .on("thank you", Reply::text("You are welcome."));
        let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
        call.hears("Hello there").await.unwrap();
        call.agent_stopped().await.unwrap();
        call.says("where is my order").await.unwrap();
        call.hears("It ships on Monday").await.unwrap();
        call.agent_stopped().await.unwrap();
        call.media_opened().await.unwrap();
        call.drops_socket(reset).await.unwrap();
        call.media_opened().await.unwrap();
        call.says("thank you so much").await.unwrap();
        call.hears("You are welcome").await.unwrap();
        call.hangs_up().await.unwrap();
        let record = world.server.status(&execution, "completed").await;
        let transcript = record["transcript"].as_str().unwrap();
        assert!(
            transcript.contains("user: where is my order")
                && transcript.contains("user: thank you so much"),
            "{transcript}"
        );
        world.end(&["media socket"]).await;
    }
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_dial_of_unknown_outcome_is_looked_up_and_never_repeated(#[case] carrier: Kind) {
    for fault in [
        DialFault::ErrorAfterPlacing {},
        DialFault::ResetAfterPlacing {},
        DialFault::TruncatedJson {},
        DialFault::NoId {},
    ] {
        let world = World::on(carrier, Database::Sqlite).await;
        world.fakes.carrier.fail_dials_to(THEIRS, [fault]);
        let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
        call.hears("Hello there").await.unwrap();
        call.hangs_up().await.unwrap();
        world.server.status(&execution, "completed").await;
        assert_eq!(
            (
                world.fakes.carrier.ledger().placed(),
                world.fakes.carrier.ledger().duplicates()
            ),
            (1, 0)
        );
        world.end(&["unknown"]).await;
    }
}

#[rstest]
#[case::twilio(Kind::Twilio, DialFault::bad_request(21211), "TWILIO")]
#[case::plivo(
    Kind::Plivo,
    DialFault::bad_request_saying("to parameter is not valid"),
    "PLIVO"
)]
#[tokio::test]
async fn a_refused_dial_says_why_and_a_busy_carrier_is_asked_again(
    #[case] carrier: Kind,
    #[case] bad_number: DialFault,
    #[case] keys: &str,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let agent_id = world.server.create_agent(&agent()).await;

    world.fakes.carrier.fail_dials_to(THEIRS, [bad_number]);
    let execution = world.server.call(&agent_id, THEIRS).await;
    let record = world.server.status(&execution, "failed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "Call recipient number invalid"
    );

    world
        .fakes
        .carrier
        .fail_dials_to(THEIRS, [DialFault::unauthorized()]);
    let execution = world.server.call(&agent_id, THEIRS).await;
    let record = world.server.status(&execution, "error").await;
    assert!(
        record["error_message"].as_str().unwrap().contains(keys),
        "{record:#}"
    );

    world
        .fakes
        .carrier
        .fail_dials_to(THEIRS, [DialFault::too_many(1)]);
    let execution = world.server.call(&agent_id, THEIRS).await;
    let call = world.fakes.carrier.dialled(THEIRS).await.unwrap();
    call.hears("Hello there").await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    assert_eq!(world.fakes.carrier.ledger().placed(), 1);
    world.end(&["call failed", "refuses an account"]).await;
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn requests_with_a_bad_signature_are_refused(#[case] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        signing: Signing::Wrong,
        ..CallFaults::default()
    };
    let (execution, call) = world
        .dial(&agent(), CallerScript::default().with_faults(faults))
        .await;
    call.ended().await.unwrap();
    let hooks = world.fakes.carrier.ledger().webhooks();
    assert!(!hooks.is_empty());
    assert!(
        hooks.iter().all(|hook| hook.status == Some(403)),
        "{hooks:#?}"
    );
    let record = world.server.get(&format!("/executions/{execution}")).await;
    assert_ne!(record["status"], "in-progress");
    world.end(&["signature"]).await;
}
