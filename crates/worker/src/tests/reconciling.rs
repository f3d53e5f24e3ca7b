//! Dials of unknown outcome: found and bound, or given up; never repeated.

use std::time::Duration;

use bolo_execution::{Change, Status};
use bolo_store::Facts;

use super::{carrier::Reply, lab::Lab};
use crate::clock::now_ms;

/// Callbacks are not waited for.
async fn lab() -> Lab {
    let mut lab = Lab::start().await;
    lab.settings.timings.callback_wait = Duration::ZERO;
    lab
}

#[tokio::test]
async fn a_call_whose_reply_was_lost_is_found_and_bound() {
    let mut lab = lab().await;
    lab.carrier.replies([Reply::TakenInSilence]);
    lab.work();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "initiated").await;
    assert_eq!(
        told["telephony_data"]["provider_call_id"],
        "CA00000000000000000000000000000001"
    );
    lab.carrier.dialled().await;
    lab.rest().await;
    assert!(!lab.carrier.was_dialled_again());
    assert_eq!(lab.store.unsettled_dials(i64::MAX).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_call_that_is_nowhere_is_an_error_and_is_not_dialled_again() {
    let mut lab = lab().await;
    lab.settings.lookup_for = Duration::from_millis(100);
    lab.carrier.replies([Reply::Lost]);
    lab.work();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "error").await;
    assert_eq!(told["error_message"], "dial outcome unknown");
    lab.carrier.dialled().await;
    // The same numbers are free again for another call.
    let next = lab.create(lab.call()).await;
    lab.receiver.told(&next, "initiated").await;
    assert!(lab.carrier.dialled().await["Url"].contains(&next.id.to_string()));
    lab.rest().await;
    assert!(!lab.carrier.was_dialled_again());
}

#[tokio::test]
async fn a_dial_of_a_node_that_died_is_looked_up_not_repeated() {
    let mut lab = lab().await;
    let call = lab.create(lab.call()).await;
    let dead = lab.other_node().await;
    assert_eq!(dead.claim_due(now_ms(), 60_000, 10).await.unwrap().len(), 1);
    assert_eq!(
        dead.intend_dial(call.id, "+14155550199", now_ms())
            .await
            .unwrap(),
        1
    );
    let id = lab.carrier.has("+14155550100", "+14155550199", "ringing");
    drop(dead);
    lab.work();
    let told = lab.receiver.told(&call, "ringing").await;
    assert_eq!(told["telephony_data"]["provider_call_id"], id.as_str());
    lab.rest().await;
    assert!(!lab.carrier.was_dialled_again());
}

#[tokio::test]
async fn a_call_of_another_execution_is_not_taken_for_it() {
    let mut lab = lab().await;
    lab.settings.lookup_for = Duration::from_millis(100);
    lab.work();
    let first = lab.create(lab.call()).await;
    lab.receiver.told(&first, "initiated").await;
    lab.carrier.replies([Reply::Lost]);
    let second = lab.create(lab.call()).await;
    let told = lab.receiver.told(&second, "error").await;
    assert_eq!(told["error_message"], "dial outcome unknown");
}

#[tokio::test]
async fn a_lost_call_that_was_stopped_is_hung_up_when_found() {
    let mut lab = lab().await;
    let call = lab.create(lab.call()).await;
    let dead = lab.other_node().await;
    dead.claim_due(now_ms(), 60_000, 10).await.unwrap();
    dead.intend_dial(call.id, "+14155550199", now_ms())
        .await
        .unwrap();
    let id = lab
        .carrier
        .has("+14155550100", "+14155550199", "in-progress");
    lab.store
        .change(call.id, Change::StopAsked, Facts::default(), now_ms())
        .await
        .unwrap();
    lab.work();
    assert_eq!(lab.carrier.hung_up().await, id);
    lab.rest().await;
    assert_eq!(lab.read(&call).await.status, Status::Stopped);
}

#[tokio::test]
async fn while_an_outcome_is_unknown_the_same_numbers_are_not_dialled() {
    let mut lab = lab().await;
    lab.settings.lookup_for = Duration::from_secs(600);
    lab.carrier.replies([Reply::Lost]);
    lab.work();
    let unknown = lab.create(lab.call()).await;
    lab.carrier.dialled().await;
    let held = lab.create(lab.call()).await;
    let mut other = lab.call();
    other.to = "+14155550101".into();
    let other = lab.create(other).await;
    lab.receiver.told(&other, "initiated").await;
    assert_eq!(lab.carrier.dialled().await["To"], "+14155550101");
    lab.rest().await;
    assert_eq!(lab.read(&unknown).await.status, Status::Queued);
    assert_eq!(
        (lab.read(&held).await.status, lab.read(&held).await.attempt),
        (Status::Queued, 0)
    );
    assert!(!lab.carrier.was_dialled_again());
}

#[tokio::test]
async fn a_carrier_that_cannot_be_asked_has_not_said_no() {
    let mut lab = lab().await;
    lab.settings.lookup_for = Duration::ZERO;
    lab.carrier.is_deaf_for(3);
    lab.carrier.replies([Reply::TakenInSilence]);
    lab.work();
    let call = lab.create(lab.call()).await;
    lab.receiver.told(&call, "initiated").await;
    lab.rest().await;
    assert_eq!(lab.read(&call).await.error_message, None);
}
