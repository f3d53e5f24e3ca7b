//! The log of webhooks, telling again, and receivers that are given up.

use bolo_execution::{Change, ExecutionId};
use rstest::rstest;
use secrecy::ExposeSecret;

use super::{Lab, NOW, On, every_status, tenant};
use crate::{DeliveryOutcome, Error, Facts, ToldFilter, deliveries::GIVEN_UP_MS};

const URL: &str = "https://customer.example/hook";

/// A call that tells `queued`, `initiated` and `busy`, a second apart.
async fn told(lab: &Lab, at: i64) -> ExecutionId {
    let mut new = lab.call();
    new.webhook = every_status();
    let (record, _) = lab.store.create_execution(new, at).await.unwrap();
    for (change, after) in [(Change::CarrierAccepted, 1000), (Change::Busy, 2000)] {
        lab.store
            .change(record.id, change, Facts::default(), at + after)
            .await
            .unwrap();
    }
    record.id
}

/// Settles all that is due, one after the other; the events.
async fn settle(lab: &Lab, now: i64, outcome: DeliveryOutcome) -> Vec<(ExecutionId, String)> {
    let mut events = Vec::new();
    loop {
        let due = lab.store.claim_deliveries(now, 1000, 10).await.unwrap();
        if due.is_empty() {
            return events;
        }
        for delivery in due {
            let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
            events.push((
                delivery.execution,
                body["event"].as_str().unwrap().to_owned(),
            ));
            lab.store
                .settle_delivery(delivery.id, outcome.clone(), now)
                .await
                .unwrap();
        }
    }
}

fn exhausted() -> DeliveryOutcome {
    DeliveryOutcome::Exhausted {
        error: "the receiver answered 503".into(),
    }
}

#[rstest]
#[tokio::test]
async fn the_log_shows_what_was_told_and_what_was_not(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let first = told(&lab, NOW).await;
    settle(&lab, NOW + 3000, DeliveryOutcome::Delivered).await;
    let second = told(&lab, NOW + 10_000).await;
    settle(&lab, NOW + 13_000, exhausted()).await;
    let shown = async |filter: ToldFilter| {
        let (rows, total) = lab.store.told(lab.account, &filter, 1, 50).await.unwrap();
        assert_eq!(rows.len() as i64, total);
        rows
    };
    let all = shown(ToldFilter::default()).await;
    assert_eq!(all.len(), 6);
    assert_eq!(
        (all[0].execution, all[0].status.as_str(), all[0].sequence),
        (second, "busy", 3)
    );
    assert_eq!(
        (all[5].state.as_str(), all[5].tries, all[5].error.as_ref()),
        ("delivered", 1, None)
    );
    assert_eq!(all[0].error.as_deref(), Some("the receiver answered 503"));
    let filter = ToldFilter {
        execution: Some(first),
        event: Some("initiated"),
        ..Default::default()
    };
    assert_eq!(shown(filter).await.len(), 1);
    let filter = ToldFilter {
        state: Some("exhausted"),
        from: Some(NOW + 11_000),
        ..Default::default()
    };
    assert_eq!(shown(filter).await.len(), 2);
    let (page, total) = lab
        .store
        .told(lab.account, &ToldFilter::default(), 2, 4)
        .await
        .unwrap();
    assert_eq!((page.len(), total), (2, 6));
    let (other, _) = tenant(&lab.store, "other").await;
    assert_eq!(
        lab.store
            .told(other, &ToldFilter::default(), 1, 9)
            .await
            .unwrap()
            .1,
        0
    );
    assert_eq!(
        lab.store
            .tell_again(other, &ToldFilter::default(), NOW)
            .await
            .unwrap(),
        0
    );
}

#[rstest]
#[tokio::test]
async fn what_is_told_again_comes_in_its_order(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (first, second) = (told(&lab, NOW).await, told(&lab, NOW + 100).await);
    settle(&lab, NOW + 3000, exhausted()).await;
    let filter = ToldFilter {
        state: Some("exhausted"),
        ..Default::default()
    };
    assert_eq!(
        lab.store
            .tell_again(lab.account, &filter, NOW + 9000)
            .await
            .unwrap(),
        6
    );
    assert_eq!(
        lab.store
            .tell_again(lab.account, &filter, NOW + 9000)
            .await
            .unwrap(),
        0
    );
    let events = settle(&lab, NOW + 9000, DeliveryOutcome::Delivered).await;
    for id in [first, second] {
        let of: Vec<&str> = events
            .iter()
            .filter(|one| one.0 == id)
            .map(|one| one.1.as_str())
            .collect();
        assert_eq!(of, ["queued", "initiated", "busy"]);
    }
    // One that was delivered may be told again too.
    let (rows, _) = lab
        .store
        .told(lab.account, &ToldFilter::default(), 1, 1)
        .await
        .unwrap();
    let one = ToldFilter {
        id: Some(rows[0].id),
        ..Default::default()
    };
    assert_eq!(
        lab.store
            .tell_again(lab.account, &one, NOW + 20_000)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        settle(&lab, NOW + 20_000, DeliveryOutcome::Delivered)
            .await
            .len(),
        1
    );
}

#[rstest]
#[tokio::test]
async fn a_receiver_that_fails_for_five_days_is_switched_off(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let fails = async |at: i64| {
        told(&lab, at).await;
        let due = lab
            .store
            .claim_deliveries(at + 3000, 1000, 1)
            .await
            .unwrap();
        let outcome = DeliveryOutcome::Retry {
            at: i64::MAX,
            error: "no".into(),
        };
        lab.store
            .settle_delivery(due[0].id, outcome, at)
            .await
            .unwrap()
    };
    let is_off = async || lab.store.is_endpoint_off(lab.account, URL).await.unwrap();
    assert!(!fails(NOW).await);
    assert_eq!(
        lab.store.endpoints(lab.account).await.unwrap()[0].failing_since,
        Some(NOW)
    );
    // Once it takes something the days begin anew.
    told(&lab, NOW + 1).await;
    settle(&lab, NOW + 5000, DeliveryOutcome::Delivered).await;
    assert!(lab.store.endpoints(lab.account).await.unwrap().is_empty());
    let again = NOW + GIVEN_UP_MS;
    assert!(!fails(again).await && !fails(again + GIVEN_UP_MS - 1).await);
    assert!(!is_off().await);
    assert!(fails(again + GIVEN_UP_MS).await, "the notice comes once");
    assert!(!fails(again + GIVEN_UP_MS + 1).await);
    assert!(is_off().await);
    let (other, _) = tenant(&lab.store, "other").await;
    assert!(matches!(
        lab.store.enable_endpoint(other, URL).await,
        Err(Error::NotFound)
    ));
    lab.store.enable_endpoint(lab.account, URL).await.unwrap();
    assert!(!is_off().await);
    assert!(matches!(
        lab.store.enable_endpoint(lab.account, URL).await,
        Err(Error::NotFound)
    ));
}

#[tokio::test]
async fn a_new_secret_leaves_the_one_before_it_valid() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let all = async || {
        let secrets = lab.store.secrets(lab.account).await.unwrap();
        secrets["WEBHOOK_SECRET"].expose_secret().to_owned()
    };
    let make = async || {
        let secret = lab
            .store
            .new_webhook_secret(lab.account, NOW)
            .await
            .unwrap();
        secret.expose_secret().to_owned()
    };
    assert!(matches!(
        lab.store.drop_old_webhook_secrets(lab.account, NOW).await,
        Err(Error::NotFound)
    ));
    let first = make().await;
    assert_eq!((first.len(), all().await), (6 + 32, first.clone()));
    let second = make().await;
    assert_eq!(all().await, format!("{second},{first}"));
    let third = make().await;
    assert_eq!(all().await, format!("{third},{second}"));
    lab.store
        .drop_old_webhook_secrets(lab.account, NOW)
        .await
        .unwrap();
    assert_eq!(all().await, third);
}
