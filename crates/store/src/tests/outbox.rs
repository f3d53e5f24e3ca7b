//! Webhooks: at least once, in order per call.

use bolo_execution::{Change, ExecutionId};
use rstest::rstest;

use super::{Lab, NOW, On, every_status};
use crate::{Delivery, DeliveryOutcome, Error, Facts};

const LEASE: i64 = 30_000;

/// A call with a webhook for each of `queued`, `initiated`, `ringing`, made one second apart.
async fn ringing(lab: &Lab) -> ExecutionId {
    let mut new = lab.call();
    new.webhook = every_status();
    let id = lab.create(new).await.id;
    for (change, after) in [(Change::CarrierAccepted, 1000), (Change::Ringing, 2000)] {
        lab.store
            .change(id, change, Facts::default(), NOW + after)
            .await
            .unwrap();
    }
    id
}

async fn claim(lab: &Lab, now: i64) -> Vec<Delivery> {
    lab.store.claim_deliveries(now, LEASE, 10).await.unwrap()
}

fn event(delivery: &Delivery) -> String {
    let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
    body["event"].as_str().unwrap().to_owned()
}

fn retry(at: i64) -> DeliveryOutcome {
    DeliveryOutcome::Retry {
        at,
        error: "503".into(),
    }
}

#[rstest]
#[tokio::test]
async fn one_at_a_time_in_the_order_of_the_changes(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = ringing(&lab).await;
    for expected in ["queued", "initiated", "ringing"] {
        assert_eq!(
            lab.store
                .next_delivery()
                .await
                .unwrap()
                .map(|at| at <= NOW + 3000),
            Some(true)
        );
        let claimed = claim(&lab, NOW + 3000).await;
        assert_eq!(claimed.iter().map(event).collect::<Vec<_>>(), [expected]);
        assert_eq!((claimed[0].execution, claimed[0].tries), (id, 0));
        assert!(
            claim(&lab, NOW + 3000).await.is_empty(),
            "the next waits for this one"
        );
        lab.store
            .settle_delivery(claimed[0].id, DeliveryOutcome::Delivered, NOW + 3000)
            .await
            .unwrap();
    }
    assert_eq!(lab.store.next_delivery().await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_failing_one_is_tried_again_and_holds_the_next_for_a_minute_at_most(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    ringing(&lab).await;
    let first = claim(&lab, NOW + 3000).await.remove(0);
    lab.store
        .settle_delivery(first.id, retry(NOW + 300_000), NOW + 3000)
        .await
        .unwrap();

    // `initiated` was made at +1000, so it overtakes a minute later; `ringing` a second after that.
    assert_eq!(lab.store.next_delivery().await.unwrap(), Some(NOW + 61_000));
    assert!(claim(&lab, NOW + 60_999).await.is_empty());
    let second = claim(&lab, NOW + 61_000).await;
    assert_eq!(second.iter().map(event).collect::<Vec<_>>(), ["initiated"]);
    assert_eq!(
        claim(&lab, NOW + 62_000)
            .await
            .iter()
            .map(event)
            .collect::<Vec<_>>(),
        ["ringing"]
    );

    let again = claim(&lab, NOW + 300_000)
        .await
        .into_iter()
        .find(|one| event(one) == "queued")
        .unwrap();
    assert_eq!(
        (again.id, again.tries, &again.body),
        (first.id, 1, &first.body)
    );
}

#[rstest]
#[tokio::test]
async fn an_exhausted_one_does_not_stand_in_the_way(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    ringing(&lab).await;
    let first = claim(&lab, NOW + 3000).await.remove(0);
    let given_up = DeliveryOutcome::Exhausted {
        error: "410".into(),
    };
    lab.store
        .settle_delivery(first.id, given_up, NOW + 3000)
        .await
        .unwrap();
    let second = claim(&lab, NOW + 3000).await.remove(0);
    assert_eq!(event(&second), "initiated");
    let late = lab
        .store
        .settle_delivery(first.id, DeliveryOutcome::Delivered, NOW + 4000)
        .await;
    assert!(late.is_ok());
    let kept: (String, String) = crate::db::on!(lab.store.db().read(), |pool| {
        sqlx::query_as("SELECT state, error FROM webhooks WHERE id = $1")
            .bind(first.id.to_string())
            .fetch_one(pool)
            .await
    })
    .unwrap();
    assert_eq!(
        kept,
        ("exhausted".into(), "410".into()),
        "what is settled stays"
    );
}

#[rstest]
#[tokio::test]
async fn a_try_whose_node_died_is_made_again_and_counted(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    ringing(&lab).await;
    let first = claim(&lab, NOW + 3000).await.remove(0);
    assert!(claim(&lab, NOW + 3000 + LEASE - 1).await.is_empty());
    let again = claim(&lab, NOW + 3000 + LEASE).await.remove(0);
    assert_eq!((again.id, again.tries), (first.id, 1));
}

#[rstest]
#[tokio::test]
async fn a_delivered_one_does_not_hasten_one_that_is_on_its_way(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    ringing(&lab).await;
    let first = claim(&lab, NOW + 3000).await.remove(0);
    lab.store
        .settle_delivery(first.id, retry(NOW + 61_500), NOW + 3000)
        .await
        .unwrap();
    assert_eq!(
        claim(&lab, NOW + 61_000).await.len(),
        1,
        "the second overtakes and is on its way"
    );
    let first = claim(&lab, NOW + 61_500).await.remove(0);
    lab.store
        .settle_delivery(first.id, DeliveryOutcome::Delivered, NOW + 61_600)
        .await
        .unwrap();
    assert!(claim(&lab, NOW + 61_600).await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_claimers_take_each_once_and_calls_do_not_wait_for_each_other(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    for _ in 0..40 {
        let mut new = lab.call();
        new.webhook = every_status();
        lab.create(new).await;
    }
    let claimers = (0..8).map(|_| {
        let store = lab.store.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim_deliveries(NOW, LEASE, 3).await.unwrap();
                if claimed.is_empty() && store.next_delivery().await.unwrap() != Some(NOW) {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|one| one.id));
            }
        })
    });
    let mut taken = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        taken.extend(claimer.await.unwrap());
    }
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 40);
}

/// A status that changes just while the one before is settled must neither be lost nor wait a minute.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_while_the_one_before_is_settled_is_told_at_once(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    for _ in 0..30 {
        let mut new = lab.call();
        new.webhook = every_status();
        let id = lab.create(new).await.id;
        let first = claim(&lab, NOW).await.remove(0);
        let (settler, changer) = (lab.store.clone(), lab.store.clone());
        let settled = tokio::spawn(async move {
            settler
                .settle_delivery(first.id, DeliveryOutcome::Delivered, NOW)
                .await
        });
        let changed = tokio::spawn(async move {
            changer
                .change(id, Change::Canceled, Facts::default(), NOW)
                .await
        });
        settled.await.unwrap().unwrap();
        changed.await.unwrap().unwrap();
        let next = claim(&lab, NOW).await;
        assert_eq!(next.iter().map(event).collect::<Vec<_>>(), ["canceled"]);
        lab.store
            .settle_delivery(next[0].id, DeliveryOutcome::Delivered, NOW)
            .await
            .unwrap();
    }
}

#[rstest]
#[tokio::test]
async fn an_unknown_delivery_is_not_found(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let unknown = lab
        .store
        .settle_delivery(uuid::Uuid::now_v7(), DeliveryOutcome::Delivered, NOW)
        .await;
    assert!(matches!(unknown, Err(Error::NotFound)));
}

/// A call that has ended and has a webhook task as its first step.
async fn with_task(lab: &Lab) -> bolo_execution::Record {
    let mut new = lab.call();
    new.webhook = every_status();
    let id = lab.create(new).await.id;
    for change in [
        Change::CarrierAccepted,
        Change::Answered,
        Change::MediaEnded,
    ] {
        let changed = lab.store.change(id, change, Facts::default(), NOW).await;
        changed.unwrap();
    }
    lab.store.begin_post_call(id, NOW).await.unwrap();
    let due = lab.store.claim_post_calls(NOW, LEASE, 1).await.unwrap();
    due.into_iter().next().unwrap()
}

async fn tell(lab: &Lab, record: &bolo_execution::Record, now: i64) -> Option<bool> {
    let url = "https://crm.example.com/facts".parse().unwrap();
    lab.store
        .tell_extracted(record, 0, &url, "{}", 20_000, now)
        .await
        .unwrap()
}

#[rstest]
#[tokio::test]
async fn what_a_task_sends_waits_for_no_status_and_no_status_for_it(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let record = with_task(&lab).await;
    assert_eq!(tell(&lab, &record, NOW).await, None);
    // The second worker that does the step sends nothing more.
    assert_eq!(tell(&lab, &record, NOW + 1).await, None);
    let claimed = claim(&lab, NOW + 1).await;
    let bodies: Vec<&str> = claimed.iter().map(|told| &*told.body).collect();
    assert_eq!(
        bodies.len(),
        2,
        "the first status, and the task's: {bodies:?}"
    );
    assert!(bodies.contains(&"{}"));
    // The task's fails, and the statuses go on.
    for told in &claimed {
        let outcome = match &*told.body {
            "{}" => retry(NOW + 300_000),
            _ => DeliveryOutcome::Delivered,
        };
        lab.store
            .settle_delivery(told.id, outcome, NOW + 2)
            .await
            .unwrap();
    }
    let next = claim(&lab, NOW + 2).await;
    assert_eq!(next.iter().map(event).collect::<Vec<_>>(), ["initiated"]);
}

#[rstest]
#[tokio::test]
async fn a_call_waits_for_the_receiver_of_its_task_as_long_as_it_may(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let record = with_task(&lab).await;
    assert_eq!(tell(&lab, &record, NOW).await, None);
    let due = |now| lab.store.claim_post_calls(now, LEASE, 1);
    assert!(due(NOW + 19_999).await.unwrap().is_empty());
    let claimed = claim(&lab, NOW).await;
    let task = claimed.iter().find(|told| told.body == "{}").unwrap();
    lab.store
        .settle_delivery(task.id, DeliveryOutcome::Delivered, NOW + 500)
        .await
        .unwrap();
    let again = due(NOW + 500).await.unwrap();
    assert_eq!(again[0].extraction_webhook_status, Some(true));
    assert_eq!(tell(&lab, &again[0], NOW + 500).await, Some(true));

    let late = with_task(&lab).await;
    assert_eq!(tell(&lab, &late, NOW).await, None);
    assert_eq!(due(NOW + 20_000).await.unwrap()[0].id, late.id);
    assert_eq!(tell(&lab, &late, NOW + 20_000).await, Some(false));
}
