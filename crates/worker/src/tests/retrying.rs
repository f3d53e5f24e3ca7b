//! Calls that are tried again, and calls that are not placed at all.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use bolo_execution::{Change, Status};
use bolo_store::{Facts, NewExecution};
use serde_json::json;
use tokio::sync::Notify;

use super::{carrier::Reply, lab::Lab};
use crate::clock::now_ms;

fn retried(lab: &Lab, statuses: &[&str]) -> NewExecution {
    NewExecution {
        retry_config: Some(json!({
            "enabled": true, "max_retries": 1, "retry_intervals_minutes": [30], "retry_on_statuses": statuses,
        })),
        ..lab.call()
    }
}

#[tokio::test]
async fn a_refused_call_is_dialled_again_under_a_new_attempt() {
    let mut lab = Lab::start().await;
    // A webhook whose delivery was not written down is soon told again.
    lab.settings.timings.webhook_limit = Duration::from_millis(500);
    lab.carrier
        .replies([Reply::Refused(StatusCode::BAD_REQUEST, 21211)]);
    lab.work();
    let call = lab.create(retried(&lab, &["failed"])).await;
    assert!(lab.carrier.dialled().await["Url"].contains("/1/"));
    lab.receiver.told(&call, "failed").await;
    let told = lab.receiver.told(&call, "scheduled").await;
    assert_eq!(told["retry_count"], 1);
    assert_eq!(told["retry_history"][0]["status"], "failed");
    lab.rest().await;
    let waiting = lab.read(&call).await;
    assert!(waiting.due_at > now_ms() + 29 * 60_000);
    // Its time comes.
    let due = Facts {
        due_at: Some(now_ms()),
        ..Facts::default()
    };
    lab.store.note(call.id, due, now_ms()).await.unwrap();
    lab.work();
    assert!(lab.carrier.dialled().await["Url"].contains("/3/"));
    lab.receiver.told(&call, "initiated").await;
}

#[tokio::test]
async fn a_reply_that_comes_after_the_end_belongs_to_no_other_attempt() {
    let mut lab = Lab::start().await;
    let gate = Arc::new(Notify::new());
    lab.carrier.replies([Reply::TakenAfter(gate.clone())]);
    lab.work();
    let call = lab.create(retried(&lab, &["busy"])).await;
    lab.carrier.dialled().await;
    lab.store
        .change(call.id, Change::Busy, Facts::default(), now_ms())
        .await
        .unwrap();
    lab.receiver.told(&call, "scheduled").await;
    gate.notify_one();
    // Whatever that call is, nobody waits for it.
    lab.carrier.hung_up().await;
    lab.rest().await;
    let waiting = lab.read(&call).await;
    assert_eq!(
        (waiting.status, waiting.carrier_call_id),
        (Status::Scheduled, None)
    );
}

#[tokio::test]
async fn a_dial_of_unknown_outcome_is_an_attempt_only_where_errors_are_tried_again() {
    let mut lab = Lab::start().await;
    (lab.settings.timings.callback_wait, lab.settings.lookup_for) = Default::default();
    lab.carrier.replies([Reply::Lost, Reply::Lost]);
    lab.work();
    let call = lab.create(retried(&lab, &["error"])).await;
    let told = lab.receiver.told(&call, "scheduled").await;
    assert_eq!(
        told["retry_history"][0]["error_message"],
        "dial outcome unknown"
    );
    let other = lab.create(retried(&lab, &["busy"])).await;
    lab.receiver.told(&other, "error").await;
    lab.rest().await;
    assert_eq!(lab.read(&other).await.status, Status::Error);
    assert_eq!(lab.store.unsettled_dials(i64::MAX).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_empty_wallet_places_no_call() {
    let mut lab = Lab::start().await;
    lab.store
        .set_account("default", None, Some(0.0))
        .await
        .unwrap();
    lab.work();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "balance-low").await;
    assert_eq!(told["error_message"], "the wallet is empty");
    lab.store
        .set_account("default", None, Some(0.01))
        .await
        .unwrap();
    let call = lab.create(lab.call()).await;
    lab.receiver.told(&call, "initiated").await;
    lab.carrier.dialled().await;
    assert!(!lab.carrier.was_dialled_again());
}
