//! What happens when a commit fails or its answer is lost.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use bolo_execution::{AccountId, Direction, Status};
use serde_json::{Map, json};
use tokio::sync::Notify;

use sqlx::Executor;

use super::*;
use crate::{MasterKeys, NewExecution, Settings, Store};

struct Lab {
    store: Store,
    account: AccountId,
    id: ExecutionId,
    _folder: tempfile::TempDir,
}

async fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Settings {
        database_url: format!("sqlite://{}", folder.path().join("bolo.db").display()),
        recordings_url: format!("file://{}", folder.path().join("recordings").display()),
        scratch: folder.path().join("scratch"),
        master_keys: MasterKeys(Vec::new()),
        recordings_public_url: String::new(),
        node: "node-1".into(),
        redis_url: None,
        tls: None,
    })
    .await
    .unwrap();
    store.migrate().await.unwrap();
    let account = store.create_account("default", "", 0).await.unwrap().id;
    let agent = store.create_agent(account, &json!({}), 0).await.unwrap().id;
    let new = NewExecution {
        account,
        agent,
        agent_version: 1,
        direction: Direction::Outbound,
        provider: "twilio".into(),
        to: "+1".into(),
        from: "+2".into(),
        status: Status::Queued,
        due_at: 0,
        user_data: Map::new(),
        voice_id: None,
        retry_config: None,
        bypass_guardrails: false,
        carrier_call_id: None,
        webhook: None,
        error_message: None,
    };
    let id = store.create_execution(new, 0).await.unwrap().0.id;
    Lab {
        store,
        account,
        id,
        _folder: folder,
    }
}

#[tokio::test]
async fn a_batch_whose_commit_was_not_answered_is_not_written_twice() {
    let lab = lab().await;
    let (_queue, waiting) = queue();
    let work = Work {
        db: lab.store.inner.db.clone(),
        instance: "i".into(),
        node: "n".into(),
        waiting,
        stop: CancellationToken::new(),
        number: 1,
        committed: Instant::now(),
    };
    let batch = |text: &str| {
        let mut batch = Batch::default();
        batch.add(Message::Line(
            Arc::new(Call::new(lab.id)),
            Line::Event(text.into()),
        ));
        batch
    };
    work.write(&batch("first"), false).await.unwrap();
    work.write(&batch("first"), true).await.unwrap();
    assert_eq!(
        lab.store.events(lab.account, lab.id).await.unwrap(),
        ["first"]
    );
    // One that really failed is written at the second try.
    let work = Work { number: 2, ..work };
    work.write(&batch("second"), true).await.unwrap();
    assert_eq!(
        lab.store.events(lab.account, lab.id).await.unwrap(),
        ["first", "second"]
    );
}

/// Counts what is logged as an error.
#[derive(Clone, Default)]
struct Errors(Arc<Counted>);

#[derive(Default)]
struct Counted {
    errors: AtomicUsize,
    one_more: Notify,
}

impl tracing::Subscriber for Errors {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR && metadata.target().starts_with("bolo_store")
    }
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.errors.fetch_add(1, Ordering::Relaxed);
        self.0.one_more.notify_one();
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_kept_until_they_can_and_that_is_said_once() {
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let lab = lab().await;
    let log = lab.store.call_log(lab.id);
    let Db::Sqlite { write, .. } = lab.store.db() else {
        unreachable!()
    };
    write
        .execute("ALTER TABLE call_logs RENAME TO away")
        .await
        .unwrap();
    log.event("kept".into()).unwrap();
    errors.0.one_more.notified().await;
    log.event("also kept".into()).unwrap();
    write
        .execute("ALTER TABLE away RENAME TO call_logs")
        .await
        .unwrap();
    log.flush().await.unwrap();
    assert_eq!(
        lab.store.events(lab.account, lab.id).await.unwrap(),
        ["kept", "also kept"]
    );
    assert_eq!(errors.0.errors.load(Ordering::Relaxed), 1);
}
