//! Calls that nobody drives come to their end.

use std::time::Duration;

use bolo_execution::{Change, Direction, Record, Status, Transfer};
use bolo_store::Facts;

use serde_json::Value;

use super::{carrier::Asked, lab::Lab};
use crate::clock::now_ms;

/// A call that has come this far, ten minutes ago, and of which the carrier says `status`.
async fn left_behind(lab: &Lab, changes: &[Change], status: &str) -> Record {
    let call = lab.create(lab.call()).await;
    let id = lab.carrier.has("+14155550100", "+14155550199", status);
    let then = now_ms() - 600_000;
    let mut facts = Facts {
        carrier_call_id: Some(id),
        ..Facts::default()
    };
    let mut record = call;
    for change in changes {
        record = lab
            .store
            .change(record.id, *change, std::mem::take(&mut facts), then)
            .await
            .unwrap();
    }
    // Rows never go back in time, and this one was made just now.
    record
}

/// Makes rows that were touched just now count as old.
fn at_once(lab: &mut Lab) {
    lab.settings.orphan_ms = -1;
    lab.settings.timings.no_news = std::time::Duration::ZERO;
}

const TALKING: [Change; 2] = [Change::CarrierAccepted, Change::Answered];

#[tokio::test]
async fn an_ended_call_whose_owner_died_is_finished_with_what_there_is() {
    let mut lab = Lab::start().await;
    at_once(&mut lab);
    let call = left_behind(&lab, &TALKING, "completed").await;
    let dead = lab.other_node().await;
    dead.own_call(call.id, now_ms()).await.unwrap();
    let transcript = Some("assistant: Hello".to_owned());
    lab.store
        .note(
            call.id,
            Facts {
                transcript,
                ..Facts::default()
            },
            now_ms(),
        )
        .await
        .unwrap();
    let scratch = lab.store.recordings().scratch_path(call.id);
    std::fs::create_dir_all(scratch.parent().unwrap()).unwrap();
    std::fs::write(&scratch, b"RIFF").unwrap();
    lab.work();
    let told = lab.receiver.told(&call, "call-disconnected").await;
    assert_eq!(told["telephony_data"]["hangup_by"], "Callee");
    let told = lab.receiver.told(&call, "completed").await;
    assert_eq!(told["transcript"], "assistant: Hello");
    assert_eq!(
        told["recording_url"],
        format!("https://bolo.example/recordings/call/{}", call.id)
    );
    assert_eq!(told["conversation_duration"], 42.0);
}

#[tokio::test]
async fn a_call_that_is_up_and_whose_owner_died_is_hung_up() {
    let mut lab = Lab::start().await;
    at_once(&mut lab);
    let call = left_behind(&lab, &TALKING, "in-progress").await;
    let dead = lab.other_node().await;
    dead.own_call(call.id, now_ms()).await.unwrap();
    let transcript = Some("assistant: Hello".to_owned());
    lab.store
        .note(
            call.id,
            Facts {
                transcript,
                ..Facts::default()
            },
            now_ms(),
        )
        .await
        .unwrap();
    lab.work();
    assert_eq!(Some(lab.carrier.hung_up().await), call.carrier_call_id);
    let told = lab.receiver.told(&call, "completed").await;
    assert_eq!(told["telephony_data"]["hangup_by"], "Error");
    assert_eq!(
        told["error_message"],
        "the server that held the call stopped"
    );
}

/// Between the end of its task and the writing of that nobody drives it.
#[tokio::test]
async fn a_call_of_ours_that_nobody_drives_is_looked_at_twice() {
    let mut lab = Lab::start().await;
    at_once(&mut lab);
    let often = lab.settings.timings.sweep_every;
    lab.settings.timings.sweep_every = Duration::from_secs(3600);
    let ours = left_behind(&lab, &TALKING, "in-progress").await;
    lab.store.own_call(ours.id, now_ms()).await.unwrap();
    let lost = left_behind(&lab, &TALKING, "in-progress").await;
    lab.work();
    // Found by the same look, behind ours.
    assert_eq!(Some(lab.carrier.hung_up().await), lost.carrier_call_id);
    lab.rest().await;
    assert_eq!(lab.carrier.hung_up_already(), Vec::<String>::new());
    lab.settings.timings.sweep_every = often;
    lab.work();
    assert_eq!(Some(lab.carrier.hung_up().await), ours.carrier_call_id);
}

/// A caller who was handed over, whose node died before it wrote that its part is over.
async fn handed_over(lab: &Lab, status: Status) -> Record {
    let call = left_behind(lab, &TALKING, "in-progress").await;
    let facts = Facts {
        transcript: Some("assistant: I will put you through.".to_owned()),
        transfer: Some(Transfer {
            status,
            ..Transfer::new("+14155550177", "+14155550199", 0)
        }),
        ..Facts::default()
    };
    lab.store.note(call.id, facts, now_ms()).await.unwrap()
}

#[tokio::test] // R114
async fn a_caller_who_talks_with_somebody_else_is_left_to_them() {
    // Of a phone that rang, news of the answer came when nobody was there.
    for status in [Status::InProgress, Status::Ringing] {
        let mut lab = Lab::start().await;
        at_once(&mut lab);
        let call = handed_over(&lab, status).await;
        lab.work();
        let told = lab.receiver.told(&call, "completed").await;
        assert_eq!(told["telephony_data"]["hangup_reason"], "call_transferred");
        assert_eq!(told["transcript"], "assistant: I will put you through.");
        lab.rest().await;
        assert_eq!(lab.carrier.hung_up_already(), Vec::<String>::new());
    }
}

#[tokio::test] // R114
async fn a_caller_who_talks_with_somebody_else_is_not_fetched_back() {
    let mut lab = Lab::start().await;
    (
        lab.settings.timings.silent,
        lab.settings.timings.watch_every,
    ) = (Duration::ZERO, Duration::from_millis(20));
    let away = handed_over(&lab, Status::InProgress).await;
    let lost = left_behind(&lab, &TALKING, "in-progress").await;
    let dead = lab.other_node().await;
    for call in [&away, &lost] {
        dead.own_call(call.id, now_ms()).await.unwrap();
    }
    lab.work();
    // An update of a call looks like a hang-up here.
    assert_eq!(Some(lab.carrier.hung_up().await), lost.carrier_call_id);
    lab.rest().await;
    assert_eq!(lab.carrier.hung_up_already(), Vec::<String>::new());
}

#[tokio::test] // wire-telephony.md §5.2
async fn a_call_whose_media_never_came_is_an_error_that_says_so() {
    for (standing, why) in [
        (
            "completed",
            "the call ended before its media reached the server",
        ),
        ("in-progress", "the carrier never opened the call's media"),
    ] {
        let mut lab = Lab::start().await;
        at_once(&mut lab);
        let call = left_behind(&lab, &TALKING, standing).await;
        lab.work();
        let told = lab.receiver.told(&call, "error").await;
        assert_eq!(told["error_message"], why);
        let told = &told["telephony_data"];
        assert_eq!(told["hangup_reason"], "Carrier unable to reach bolna");
        assert_eq!(told["hangup_code"], 7011);
    }
}

#[tokio::test]
async fn a_live_call_is_left_alone() {
    let mut lab = Lab::start().await;
    lab.settings.orphan_ms = -1;
    let live = left_behind(&lab, &TALKING, "in-progress").await;
    let _driven = lab.store.signals().register(live.id);
    let orphan = left_behind(&lab, &TALKING, "completed").await;
    lab.work();
    lab.receiver.told(&orphan, "error").await;
    lab.rest().await;
    assert_eq!(lab.read(&live).await.status, Status::InProgress);
}

#[tokio::test]
async fn a_call_without_news_is_asked_for_at_the_carrier() {
    let mut lab = Lab::start().await;
    at_once(&mut lab);
    let ringing = [Change::CarrierAccepted, Change::Ringing];
    let busy = left_behind(&lab, &ringing, "busy").await;
    let waiting = left_behind(&lab, &[Change::CarrierAccepted], "queued").await;
    lab.work();
    let told = lab.receiver.told(&busy, "busy").await;
    assert_eq!(told["telephony_data"]["hangup_code"], 3010);
    while lab.carrier.next().await != Asked::Fetch(waiting.carrier_call_id.clone().unwrap()) {}
    lab.rest().await;
    assert_eq!(lab.read(&waiting).await.status, Status::Initiated);
}

#[tokio::test]
async fn a_call_that_the_carrier_does_not_know_is_stopped() {
    let mut lab = Lab::start().await;
    at_once(&mut lab);
    let call = lab.create(lab.call()).await;
    let facts = Facts {
        carrier_call_id: Some(format!("CA{:032x}", 99)),
        ..Facts::default()
    };
    lab.store
        .change(call.id, Change::CarrierAccepted, facts, now_ms())
        .await
        .unwrap();
    lab.work();
    let told = lab.receiver.told(&call, "stopped").await;
    assert_eq!(told["error_message"], "telephony provider didn't respond");
}

#[tokio::test]
async fn a_caller_who_hung_up_before_anything_was_said_had_a_call() {
    let mut lab = Lab::start().await;
    at_once(&mut lab);
    let mut new = lab.call();
    (new.direction, new.status) = (Direction::Inbound, Status::Initiated);
    new.carrier_call_id = Some(lab.carrier.has("+14155550199", "+14155550100", "completed"));
    let call = lab.create(new).await;
    lab.store
        .change(call.id, Change::MediaEnded, Facts::default(), now_ms())
        .await
        .unwrap();
    lab.work();
    let told = lab.receiver.told(&call, "completed").await;
    assert_eq!(
        (&told["error_message"], &told["recording_url"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_loop_that_panics_ends_the_worker_with_an_error() {
    let mut lab = Lab::start().await;
    // A clock that cannot tick.
    lab.settings.timings.sweep_every = Duration::ZERO;
    lab.work();
    let error = lab.failed().await;
    assert!(error.is_panic(), "{error}");
}

#[tokio::test]
async fn what_a_node_recorded_before_it_died_is_handed_in_when_it_is_back() {
    let mut lab = Lab::start().await;
    lab.settings.timings.left_behind = std::time::Duration::from_millis(50);
    let record = |call: &Record| {
        let scratch = lab.store.recordings().scratch_path(call.id);
        std::fs::write(&scratch, [0; 100]).unwrap();
        scratch
    };
    // Another node has ended the one; the other may still go on here.
    let ended = [TALKING[0], TALKING[1], Change::MediaEnded, Change::Recorded];
    let ended = left_behind(&lab, &ended, "completed").await;
    let waits = left_behind(&lab, &TALKING, "in-progress").await;
    let (_, kept) = (record(&ended), record(&waits));
    lab.work();
    let handed_in = async {
        let of = |id| lab.store.execution_unscoped(id);
        while !of(ended.id).await.unwrap().has_recording {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await; // no-sleep-ok: polling a condition under a deadline
        }
    };
    super::lab::in_time(handed_in).await;
    assert_eq!(lab.store.recordings().size(ended.id).await.unwrap(), 100);
    assert!(kept.exists());
}
