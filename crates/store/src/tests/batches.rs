//! Batches: invisible until complete, scheduled and stopped a chunk at a time, counted right.

use bolo_execution::{BatchId, Change, ExecutionId, Record, Status};
use rstest::rstest;
use serde_json::{Map, json};

use super::{Lab, NOW, On, every_status, tenant};
use crate::{BatchState, BatchUpload, Contact, Error, Facts, Filter, NewBatch, Reject, Schedule};

/// More than two chunks.
const MANY: usize = 1_200;
const HOUR: i64 = 3_600_000;

impl Lab {
    pub(super) async fn upload(&self) -> BatchUpload {
        let new = NewBatch {
            account: self.account,
            agent: self.agent,
            agent_version: 1,
            provider: "twilio".into(),
            file_name: "customers.csv".into(),
            from_numbers: vec!["+14155550001".into(), "+14155550002".into()],
            retry_config: Some(json!({"enabled": true})),
        };
        self.store.begin_batch(new, NOW).await.unwrap()
    }

    /// A batch of this many calls.
    async fn batch(&self, calls: usize) -> BatchId {
        let mut upload = self.upload().await;
        upload.add(&contacts(0..calls), &[], NOW).await.unwrap();
        upload
            .finish(i64::try_from(calls).unwrap(), None, NOW)
            .await
            .unwrap()
    }

    async fn schedule(&self, id: BatchId, at: i64, now: i64) -> bool {
        let schedule = Schedule {
            at,
            bypass_guardrails: true,
            agent_version: 1,
            provider: "plivo".into(),
            webhook: every_status(),
        };
        self.store
            .schedule_batch(self.account, id, schedule, now)
            .await
            .unwrap()
    }

    async fn work(&self, id: BatchId) {
        while self.store.work_on_batch(id, NOW).await.unwrap() {}
    }

    /// All calls of a batch, newest first.
    async fn calls_of(&self, id: BatchId) -> Vec<Record> {
        let mut filter = Filter {
            batch: Some(id),
            ..Filter::default()
        };
        let mut all: Vec<Record> = Vec::new();
        loop {
            let page = self.store.executions(self.account, &filter, 1, 1000).await;
            let rows = page.unwrap().rows;
            let Some(last) = rows.last() else { return all };
            filter.behind = Some((last.created_at, last.id));
            all.extend(rows);
        }
    }

    async fn counts(&self, id: BatchId) -> Vec<(&'static str, i64)> {
        let batch = self.store.batch(self.account, id).await.unwrap();
        let counts = batch.counts.into_iter();
        counts
            .map(|(status, calls)| (status.as_str(), calls))
            .collect()
    }

    async fn state(&self, id: BatchId, now: i64) -> BatchState {
        self.store.batch(self.account, id).await.unwrap().state(now)
    }

    async fn webhooks(&self) -> usize {
        let store = &self.store;
        store.claim_deliveries(NOW, 1, 10_000).await.unwrap().len()
    }
}

fn contacts(range: std::ops::Range<usize>) -> Vec<Contact> {
    let one = |n: usize| Contact {
        to: format!("+1415555{n:04}"),
        user_data: Map::from_iter([("n".to_owned(), json!(n.to_string()))]),
    };
    range.map(one).collect()
}

#[rstest]
#[tokio::test]
async fn nothing_of_an_upload_is_shown_before_its_end(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut upload = lab.upload().await;
    let id = upload.id();
    upload.add(&contacts(0..3), &[], NOW).await.unwrap();
    let reject = Reject {
        line: 5,
        contact_number: "abc\0".into(),
        reason: "is no number".into(),
    };
    upload
        .add(&contacts(3..5), std::slice::from_ref(&reject), NOW)
        .await
        .unwrap();

    let store = &lab.store;
    assert!(matches!(
        store.batch(lab.account, id).await,
        Err(Error::NotFound)
    ));
    assert_eq!(store.batches(lab.account, lab.agent).await.unwrap(), []);
    assert_eq!(lab.calls_of(id).await.len(), 0);
    let all = Filter::default();
    let all = store.executions(lab.account, &all, 1, 50).await.unwrap();
    assert_eq!(all.total, 0);
    assert!(!lab.schedule_is_possible(id).await);

    assert_eq!(upload.finish(6, None, NOW).await.unwrap(), id);
    let batch = store.batch(lab.account, id).await.unwrap();
    assert_eq!((batch.total_contacts, batch.valid_contacts), (6, 5));
    assert_eq!(batch.file_name, "customers.csv");
    assert_eq!(batch.state(NOW), BatchState::Created);
    assert_eq!(
        store.batches(lab.account, lab.agent).await.unwrap(),
        [batch]
    );
    assert_eq!(lab.counts(id).await, [("prepared", 5)]);
    let mut calls = lab.calls_of(id).await;
    calls.reverse();
    for (n, call) in calls.iter().enumerate() {
        assert_eq!(call.to, format!("+1415555{n:04}"));
        assert_eq!(call.from, format!("+1415555000{}", n % 2 + 1), "in turn");
        assert_eq!(call.user_data["n"], n.to_string());
        assert_eq!(call.retry_config, Some(json!({"enabled": true})));
        assert_eq!((call.batch, call.status), (Some(id), Status::Prepared));
        store.execution(lab.account, call.id).await.unwrap();
    }
    let rejects = store.batch_rejects(lab.account, id, 0, 10).await.unwrap();
    assert_eq!(rejects.len(), 1);
    assert_eq!((rejects[0].line, &rejects[0].reason), (5, &reject.reason));
    assert_eq!(
        store.batch_rejects(lab.account, id, 5, 10).await.unwrap(),
        []
    );
    assert_eq!(lab.webhooks().await, 0, "a prepared call is nobody's news");
}

impl Lab {
    async fn schedule_is_possible(&self, id: BatchId) -> bool {
        let schedule = Schedule {
            at: NOW,
            bypass_guardrails: false,
            agent_version: 1,
            provider: "twilio".into(),
            webhook: None,
        };
        let done = self.store.schedule_batch(self.account, id, schedule, NOW);
        done.await.is_ok_and(|done| done)
    }
}

#[rstest]
#[tokio::test]
async fn an_upload_that_died_leaves_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut upload = lab.upload().await;
    let id = upload.id();
    upload.add(&contacts(0..600), &[], NOW).await.unwrap();
    let store = &lab.store;
    assert_eq!(store.batches_at_work(NOW + 600_000).await.unwrap(), []);
    assert_eq!(store.batches_at_work(NOW + 600_001).await.unwrap(), [id]);
    assert!(matches!(
        upload.add(&contacts(0..1), &[], NOW).await,
        Err(Error::Conflict(_))
    ));
    assert!(matches!(
        upload.finish(1, None, NOW).await,
        Err(Error::Conflict(_))
    ));
    lab.work(id).await;
    assert_eq!(store.batches_at_work(NOW).await.unwrap(), []);
    assert_eq!(lab.count_rows().await, 0);

    let mut upload = lab.upload().await;
    upload.add(&contacts(0..2), &[], NOW).await.unwrap();
    upload.discard(NOW).await.unwrap();
    assert_eq!(lab.count_rows().await, 0);
}

impl Lab {
    /// Rows of executions and batches, shown or not.
    async fn count_rows(&self) -> i64 {
        let sql = "SELECT (SELECT COUNT(*) FROM executions) + (SELECT COUNT(*) FROM batches)";
        crate::db::on!(self.store.db().read(), |pool| sqlx::query_scalar(sql)
            .fetch_one(pool)
            .await
            .unwrap())
    }
}

#[rstest]
#[tokio::test]
async fn calls_are_scheduled_scheduled_again_and_told_of(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.batch(MANY).await;
    assert!(lab.schedule(id, NOW + HOUR, NOW).await);
    assert_eq!(lab.state(id, NOW).await, BatchState::Scheduled);
    // One chunk, then a crash: who comes next goes on.
    assert!(lab.store.work_on_batch(id, NOW).await.unwrap());
    assert_eq!(
        lab.counts(id).await,
        [("prepared", 700), ("scheduled", 500)]
    );
    assert_eq!(lab.store.batches_at_work(NOW).await.unwrap(), [id]);
    lab.work(id).await;
    assert_eq!(lab.store.batches_at_work(NOW).await.unwrap(), []);
    assert_eq!(lab.counts(id).await, [("scheduled", 1_200)]);
    for call in lab.calls_of(id).await {
        assert_eq!((call.due_at, call.bypass_guardrails), (NOW + HOUR, true));
        assert_eq!(call.provider, "plivo");
    }
    assert_eq!(lab.webhooks().await, MANY);

    assert!(lab.schedule(id, NOW + 2 * HOUR, NOW).await);
    lab.work(id).await;
    let calls = lab.calls_of(id).await;
    assert!(calls.iter().all(|call| call.due_at == NOW + 2 * HOUR));
    assert_eq!(lab.counts(id).await, [("scheduled", 1_200)]);

    let due = NOW + 2 * HOUR;
    assert_eq!(lab.state(id, due).await, BatchState::Running);
    assert!(!lab.schedule(id, due + HOUR, due).await, "it has begun");
}

#[rstest]
#[tokio::test]
async fn a_stopped_batch_dials_nobody_any_more(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let id = lab.batch(600).await;
    assert!(!store.stop_batch(lab.account, id, NOW).await.unwrap());
    assert!(lab.schedule(id, NOW, NOW).await);
    lab.work(id).await;
    store.set_account("default", Some(3), None).await.unwrap();
    let claimed = store.claim_due(NOW, 60_000, 3).await.unwrap();
    let ids: Vec<ExecutionId> = claimed.iter().map(|claimed| claimed.record.id).collect();
    assert_eq!(ids.len(), 3);
    store.intend_dial(ids[0], "+1", NOW).await.unwrap();
    let facts = Facts::default();
    store
        .change(ids[0], Change::CarrierAccepted, facts, NOW)
        .await
        .unwrap();

    assert!(store.stop_batch(lab.account, id, NOW).await.unwrap());
    assert_eq!(lab.state(id, NOW).await, BatchState::Stopped);
    // Before any of its rows has changed.
    assert!(matches!(
        store.intend_dial(ids[1], "+2", NOW).await,
        Err(Error::Conflict(_))
    ));
    lab.work(id).await;
    assert_eq!(
        lab.counts(id).await,
        [("initiated", 1), ("stopped", 599)],
        "a live call goes on"
    );
    let ended = store
        .change(ids[0], Change::Busy, Facts::default(), NOW)
        .await;
    assert_eq!(ended.unwrap().status, Status::Busy, "it is not tried again");
    assert!(!store.stop_batch(lab.account, id, NOW).await.unwrap());
    assert!(!lab.schedule(id, NOW + HOUR, NOW).await);
    let (scheduled, queued, live) = (600, 3, 1);
    assert_eq!(
        lab.all_webhooks().await,
        scheduled + queued + live + 599 + 1,
        "every change is told"
    );
}

impl Lab {
    async fn all_webhooks(&self) -> i64 {
        let sql = "SELECT COUNT(*) FROM webhooks";
        crate::db::on!(self.store.db().read(), |pool| sqlx::query_scalar(sql)
            .fetch_one(pool)
            .await
            .unwrap())
    }
}

#[rstest]
#[tokio::test]
async fn a_batch_is_complete_when_all_its_calls_are_over(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.batch(2).await;
    lab.schedule(id, NOW, NOW).await;
    lab.work(id).await;
    assert_eq!(lab.state(id, NOW).await, BatchState::Running);
    // One is tried again, and each time nobody answers it.
    for (call, tries) in lab.calls_of(id).await.into_iter().zip([1, 4]) {
        for left in (0..tries).rev() {
            assert_eq!(lab.state(id, NOW).await, BatchState::Running);
            let end = if left == 0 && tries == 1 {
                Change::Canceled
            } else {
                Change::Busy
            };
            for change in [Change::Due, end] {
                let done = lab.store.change(call.id, change, Facts::default(), NOW);
                done.await.unwrap();
            }
        }
    }
    assert_eq!(lab.state(id, NOW).await, BatchState::Completed);
    assert_eq!(lab.counts(id).await, [("busy", 1), ("canceled", 1)]);
    assert!(!lab.store.stop_batch(lab.account, id, NOW).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn a_deleted_batch_stops_and_its_executions_stay(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let id = lab.batch(3).await;
    lab.schedule(id, NOW + HOUR, NOW).await;
    lab.work(id).await;
    store.delete_batch(lab.account, id, NOW).await.unwrap();
    lab.work(id).await;
    assert!(matches!(
        store.batch(lab.account, id).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.delete_batch(lab.account, id, NOW).await,
        Err(Error::NotFound)
    ));
    assert_eq!(store.batches(lab.account, lab.agent).await.unwrap(), []);
    let calls = lab.calls_of(id).await;
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.status == Status::Stopped));
}

#[rstest]
#[tokio::test]
async fn an_agents_stop_and_end_reach_its_batches(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let (scheduled, created) = (lab.batch(600).await, lab.batch(2).await);
    lab.schedule(scheduled, NOW + HOUR, NOW).await;
    lab.work(scheduled).await;
    let single = lab.create(lab.call()).await.id;
    let stopped = store
        .stop_waiting(lab.account, lab.agent, NOW)
        .await
        .unwrap();
    assert_eq!(stopped.len(), 601);
    assert!(stopped.contains(&single));
    assert_eq!(lab.counts(scheduled).await, [("stopped", 600)]);
    assert_eq!(lab.counts(created).await, [("prepared", 2)], "not started");

    lab.schedule(created, NOW + HOUR, NOW).await;
    store
        .delete_agent(lab.account, lab.agent, NOW)
        .await
        .unwrap();
    assert!(matches!(
        store.batch(lab.account, created).await,
        Err(Error::NotFound)
    ));
    for id in store.batches_at_work(NOW).await.unwrap() {
        lab.work(id).await;
    }
    let open = "SELECT COUNT(*) FROM executions WHERE status <> 'stopped'";
    let open: i64 = crate::db::on!(store.db().read(), |pool| sqlx::query_scalar(open)
        .fetch_one(pool)
        .await
        .unwrap());
    assert_eq!(open, 0);
}

#[rstest]
#[tokio::test]
async fn a_stranger_sees_and_does_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.batch(1).await;
    lab.schedule(id, NOW + HOUR, NOW).await;
    let (stranger, _) = tenant(&lab.store, "stranger").await;
    let store = &lab.store;
    assert!(matches!(
        store.batch(stranger, id).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.batches(stranger, lab.agent).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.stop_batch(stranger, id, NOW).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.delete_batch(stranger, id, NOW).await,
        Err(Error::NotFound)
    ));
    assert_eq!(store.batch_rejects(stranger, id, 0, 9).await.unwrap(), []);
    assert_eq!(lab.state(id, NOW).await, BatchState::Scheduled);
}
