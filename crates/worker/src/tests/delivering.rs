//! Webhooks: signed, in order, tried again, and never to a private address.

use std::time::Duration;

use axum::http::StatusCode;
use bolo_execution::Change;
use bolo_store::{DeliveryOutcome, Facts, ToldFilter, WebhookTarget};

use super::lab::{Lab, in_time};
use crate::{clock::now_ms, signature::signatures};

#[tokio::test]
async fn a_webhook_is_signed_with_every_secret() {
    let mut lab = Lab::start().await;
    let secrets = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,older";
    lab.store
        .set_provider_key(lab.account, "WEBHOOK_SECRET", &secrets.into(), now_ms())
        .await
        .unwrap();
    lab.work();
    lab.create(lab.call()).await;
    let told = lab.receiver.next().await;
    assert_eq!(
        (told.event(), told.header("content-type")),
        ("queued", "application/json")
    );
    assert_eq!(
        told.header("webhook-id"),
        told.body["event_id"].as_str().unwrap()
    );
    let timestamp: i64 = told.header("webhook-timestamp").parse().unwrap();
    assert!((now_ms() / 1000 - timestamp).abs() < 60);
    let expected = signatures(secrets, told.header("webhook-id"), timestamp, &told.raw).unwrap();
    assert_eq!(told.header("webhook-signature"), expected);
    assert_eq!(expected.split(' ').count(), 2);
}

#[tokio::test]
async fn without_a_secret_there_is_no_signature() {
    let mut lab = Lab::start().await;
    lab.work();
    lab.create(lab.call()).await;
    assert_eq!(
        lab.receiver.next().await.headers.get("webhook-signature"),
        None
    );
}

#[tokio::test]
async fn statuses_come_in_order_however_often_one_fails() {
    let mut lab = Lab::start().await;
    // A redirect is a failure too, and is not followed.
    lab.receiver.answers([
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::FOUND,
        StatusCode::NOT_FOUND,
    ]);
    lab.work();
    let call = lab.create(lab.call()).await;
    lab.carrier.dialled().await;
    lab.store
        .change(call.id, Change::Busy, Facts::default(), now_ms())
        .await
        .unwrap();
    let mut events = Vec::new();
    let mut ids = Vec::new();
    while events.last().is_none_or(|event| event != "busy") {
        let told = lab.receiver.next().await;
        events.push(told.event().to_owned());
        ids.push(told.header("webhook-id").to_owned());
    }
    assert_eq!(events[..4], ["queued"; 4]);
    assert!(ids[..4].iter().all(|id| *id == ids[0]), "{ids:?}");
    let rest: Vec<&str> = events[4..].iter().map(String::as_str).collect();
    assert!(
        rest == ["initiated", "busy"] || rest == ["busy"],
        "{rest:?}"
    );
}

#[tokio::test]
async fn after_eight_tries_it_is_given_up_and_the_next_one_comes() {
    let mut lab = Lab::start().await;
    lab.receiver.answers([StatusCode::BAD_GATEWAY; 8]);
    lab.work();
    lab.create(lab.call()).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event| event == "queued") {
        events.push(lab.receiver.next().await.event().to_owned());
    }
    assert_eq!(events.len(), 9, "{events:?}");
}

#[tokio::test]
async fn a_private_address_is_not_called() {
    let mut lab = Lab::start().await;
    lab.allow_private = false;
    lab.settings.timings.webhook_retries.clear();
    lab.work();
    let call = lab.create(lab.call()).await;
    lab.carrier.dialled().await;
    // Given up, so the next one falls due, and so on: in the end none waits.
    in_time(async {
        while lab.read(&call).await.carrier_call_id.is_none()
            || lab.store.next_delivery().await.unwrap().is_some()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    lab.rest().await;
    let mut allowed = lab.call();
    allowed.webhook = Some(WebhookTarget {
        url: lab.receiver.url.clone(),
        statuses: None,
    });
    lab.allow_private = true;
    lab.work();
    let next = lab.create(allowed).await;
    assert_eq!(lab.receiver.next().await.body["id"], next.id.to_string());
}

#[tokio::test]
async fn a_receiver_that_never_answers_does_not_hold_up_others() {
    let mut lab = Lab::start().await;
    lab.settings.timings.webhook_limit = Duration::from_millis(200);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    lab.work();
    let mut stuck = lab.call();
    (stuck.to, stuck.webhook) = (
        "+14155550101".into(),
        Some(WebhookTarget {
            url,
            statuses: None,
        }),
    );
    lab.create(stuck).await;
    let (mut socket, _) = in_time(silent.accept()).await.unwrap();
    let call = lab.create(lab.call()).await;
    lab.receiver.told(&call, "initiated").await;
    // The receiver is let go of in time, and asked again.
    let mut request = Vec::new();
    in_time(tokio::io::AsyncReadExt::read_to_end(
        &mut socket,
        &mut request,
    ))
    .await
    .unwrap();
    in_time(silent.accept()).await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_switched_off_is_sent_nothing() {
    let mut lab = Lab::start().await;
    lab.create(lab.call()).await;
    // It has failed for six days, and once more now.
    for days in [6, 0] {
        let now = now_ms() + 1000;
        let due = lab.store.claim_deliveries(now, -1000, 1).await.unwrap();
        let outcome = DeliveryOutcome::Retry {
            at: now_ms(),
            error: "no".into(),
        };
        let at = now - days * 24 * 3_600_000;
        lab.store
            .settle_delivery(due[0].id, outcome, at)
            .await
            .unwrap();
    }
    lab.work();
    let filter = ToldFilter {
        state: Some("exhausted"),
        ..ToldFilter::default()
    };
    let given_up = in_time(async {
        loop {
            let (rows, _) = lab.store.told(lab.account, &filter, 1, 1).await.unwrap();
            if let Some(told) = rows.into_iter().next() {
                return told;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        given_up.error.as_deref(),
        Some("the receiver is switched off")
    );
    // On again, it gets what it has missed.
    let url = lab.receiver.url.clone();
    lab.store.enable_endpoint(lab.account, &url).await.unwrap();
    lab.store
        .tell_again(lab.account, &filter, now_ms())
        .await
        .unwrap();
    let mut told = lab.receiver.next().await;
    while told.header("webhook-id") != given_up.id.to_string() {
        told = lab.receiver.next().await;
    }
}
