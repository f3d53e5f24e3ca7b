//! An account that its carrier refuses (wire-telephony.md §1.3): one call is told, the others wait.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use bolo_execution::{BatchId, Record, Status};
use bolo_store::{Contact, Filter, NewBatch, Schedule, WebhookTarget};

use super::{
    carrier::Reply,
    lab::{Lab, agent_body, in_time},
};
use crate::clock::now_ms;

fn refused() -> Reply {
    Reply::Refused(StatusCode::UNAUTHORIZED, 20003)
}

impl Lab {
    /// A batch that is dialled now.
    async fn batch(&self, calls: usize) -> BatchId {
        let new = NewBatch {
            account: self.account,
            agent: self.agent,
            agent_version: 1,
            provider: "twilio".into(),
            file_name: "customers.csv".into(),
            from_numbers: Vec::new(),
            retry_config: None,
        };
        let mut upload = self.store.begin_batch(new, now_ms()).await.unwrap();
        let contact = |n| Contact {
            to: format!("+1415555{n:04}"),
            user_data: serde_json::Map::new(),
        };
        let contacts: Vec<Contact> = (0..calls).map(contact).collect();
        upload.add(&contacts, &[], now_ms()).await.unwrap();
        let count = i64::try_from(calls).unwrap();
        let id = upload.finish(count, None, now_ms()).await.unwrap();
        let schedule = Schedule {
            at: now_ms(),
            bypass_guardrails: true,
            agent_version: 1,
            provider: "twilio".into(),
            webhook: Some(WebhookTarget {
                url: self.receiver.url.clone(),
                statuses: None,
            }),
        };
        let scheduled = self
            .store
            .schedule_batch(self.account, id, schedule, now_ms());
        assert!(scheduled.await.unwrap());
        while self.store.work_on_batch(id, now_ms()).await.unwrap() {}
        id
    }

    async fn calls_of(&self, id: BatchId) -> Vec<Record> {
        let filter = Filter {
            batch: Some(id),
            ..Filter::default()
        };
        let page = self.store.executions(self.account, &filter, 1, 100).await;
        page.unwrap().rows
    }

    /// Waits until so many calls of the batch have reached these statuses.
    async fn stands(&self, id: BatchId, expected: &[(Status, usize)]) {
        let expected: BTreeMap<Status, usize> = expected.iter().copied().collect();
        in_time(async {
            loop {
                let mut found = BTreeMap::<Status, usize>::new();
                for call in self.calls_of(id).await {
                    // Whoever looks for what is due makes one of the other, when it comes to it.
                    let status = match call.status {
                        Status::Scheduled => Status::Queued,
                        status => status,
                    };
                    *found.entry(status).or_default() += 1;
                }
                if found == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await; // no-sleep-ok: polling a condition under a deadline
            }
        })
        .await;
    }
}

#[tokio::test]
async fn while_an_account_is_refused_its_calls_wait_and_those_of_others_do_not() {
    let mut lab = Lab::start().await;
    lab.settings.timings.refused = Duration::from_secs(3600);
    lab.carrier.replies([refused()]);
    lab.work();
    let first = lab.create(lab.call()).await;
    let told = lab.receiver.told(&first, "error").await;
    let why = told["error_message"].as_str().unwrap();
    assert!(
        why.contains("Twilio") && why.contains("TWILIO_AUTH_TOKEN"),
        "{why}"
    );
    lab.carrier.dialled().await;

    let waits = lab.create(lab.call()).await;
    let store = lab.store.clone();
    let other = store.create_account("other", "other@example.com", now_ms());
    let other = other.await.unwrap().id;
    for (name, value) in [
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000002"),
        ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_PHONE_NUMBER", "+14155550188"),
    ] {
        let value = value.into();
        let set = store.set_provider_key(other, name, &value, now_ms());
        set.await.unwrap();
    }
    let agent = store.create_agent(other, &agent_body(), now_ms()).await;
    let mut new = lab.call();
    (new.account, new.agent) = (other, agent.unwrap().id);
    lab.create(new).await;
    assert_eq!(lab.carrier.dialled().await["From"], "+14155550188");
    lab.rest().await;
    assert_eq!(lab.read(&waits).await.status, Status::Queued);
    assert!(!lab.carrier.was_dialled_again());
}

#[tokio::test]
async fn a_batch_loses_one_call_to_a_bad_key_and_goes_on_when_it_is_mended() {
    let mut lab = Lab::start().await;
    lab.settings.timings.refused = Duration::from_millis(20);
    lab.store
        .set_account("default", Some(1), None)
        .await
        .unwrap();
    lab.carrier.replies((0..3).map(|_| refused()));
    let batch = lab.batch(3).await;
    lab.work();
    lab.stands(
        batch,
        &[
            (Status::Error, 1),
            (Status::Queued, 1),
            (Status::Initiated, 1),
        ],
    )
    .await;
    lab.rest().await;
    let mut logged = 0;
    for call in lab.calls_of(batch).await {
        let log = lab.store.log_lines(lab.account, call.id).await.unwrap();
        logged += log
            .iter()
            .filter(|line| line.entry.data.contains("the call waits"))
            .count();
    }
    assert_eq!(logged, 2);
}
