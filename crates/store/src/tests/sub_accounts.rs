//! Sub-accounts: tenants of their own, bounded by their parent, gone with all that is theirs.

use std::collections::BTreeSet;

use bolo_execution::{AccountId, Change, Cost, Status, Usage};
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Map, json};

use super::{Lab, NOW, On, call, tenant};
use crate::{Db, Error, Facts, Holder, NewSubAccount, SubAccount, SubAccountPatch, purge};

const MINUTES: i64 = 10 * 60_000;

fn new(title: &str) -> NewSubAccount {
    NewSubAccount {
        title: title.into(),
        concurrency: None,
        min_concurrency: 0,
        max_concurrency: None,
        details: Map::from_iter([("description".to_owned(), json!("a client"))]),
    }
}

impl Lab {
    async fn sub_account(&self, title: &str) -> SubAccount {
        self.store
            .create_sub_account(self.account, new(title), NOW)
            .await
            .unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn its_key_opens_it_and_is_shown_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let made = lab.sub_account("alpha").await;
    let key = made.key.expose_secret();
    let digits = key.strip_prefix("sa-").unwrap();
    assert!(
        digits.len() == 32
            && digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    );
    let Holder {
        account, parent, ..
    } = lab.store.authenticate(key).await.unwrap().unwrap();
    assert_eq!((account, parent), (made.account.id, Some(lab.account)));
    lab.sub_account("alpha").await; // names may repeat
    let all = lab.store.sub_accounts(lab.account).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].account, made.account);
    assert_eq!(all[1].key.expose_secret(), key);
    assert_eq!(all[1].details["description"], "a client");
    assert_eq!(made.account.concurrency, 10, "as many as its parent");

    // Rotated master keys: the value still opens.
    let both = super::settings(
        lab.folder.path(),
        lab.database.as_ref(),
        &format!("another master key,{}", super::MASTER),
        "node-2",
    );
    let other = crate::Store::open(both).await.unwrap();
    assert_eq!(other.reseal_secrets().await.unwrap(), 2);
    assert_eq!(
        other.sub_accounts(lab.account).await.unwrap()[1]
            .key
            .expose_secret(),
        key
    );
}

#[rstest]
#[tokio::test]
async fn another_account_and_a_sub_account_have_none(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let made = lab.sub_account("alpha").await.account.id;
    let (stranger, _) = tenant(&lab.store, "stranger").await;
    let patch = SubAccountPatch::default;
    for other in [stranger, made, AccountId::new()] {
        assert!(lab.store.sub_accounts(other).await.unwrap().is_empty());
        for outcome in [
            lab.store.sub_account(other, made).await.map(|_| ()),
            lab.store
                .change_sub_account(other, made, patch(), NOW)
                .await,
            lab.store
                .delete_sub_account(other, made, NOW)
                .await
                .map(|_| ()),
        ] {
            assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        }
    }
    let below = lab.store.create_sub_account(made, new("below"), NOW).await;
    assert!(matches!(below, Err(Error::NotFound)), "{below:?}");
}

#[rstest]
#[tokio::test]
async fn lines_are_bounded_by_the_parents(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let with = |change: fn(&mut NewSubAccount)| {
        let mut asked = new("alpha");
        change(&mut asked);
        lab.store.create_sub_account(lab.account, asked, NOW)
    };
    let first = with(|new| new.min_concurrency = 6)
        .await
        .unwrap()
        .account
        .id;
    for refused in [
        with(|new| new.concurrency = Some(11)).await,
        with(|new| new.max_concurrency = Some(11)).await,
        with(|new| new.min_concurrency = 5).await,
        with(|new| (new.concurrency, new.min_concurrency) = (Some(2), 3)).await,
        with(|new| (new.max_concurrency, new.min_concurrency) = (Some(2), 3)).await,
    ] {
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    with(|new| new.min_concurrency = 4).await.unwrap();
    let change = |patch| {
        lab.store
            .change_sub_account(lab.account, first, patch, NOW + 1)
    };
    let more = SubAccountPatch {
        min_concurrency: Some(7),
        ..SubAccountPatch::default()
    };
    assert!(matches!(change(more).await, Err(Error::Conflict(_))));
    let paused = SubAccountPatch {
        title: Some("beta".into()),
        concurrency: Some(8),
        max_concurrency: Some(Some(0)),
        details: Map::from_iter([("metadata".to_owned(), json!({"tier": 1}))]),
        ..SubAccountPatch::default()
    };
    change(paused).await.unwrap();
    let found = lab.store.sub_account(lab.account, first).await.unwrap();
    let account = &found.account;
    assert_eq!(
        (
            account.title.as_deref(),
            account.concurrency,
            account.min_concurrency,
            account.max_concurrency
        ),
        (Some("beta"), 8, 6, Some(0))
    );
    assert_eq!(
        (&found.details["description"], &found.details["metadata"]),
        (&json!("a client"), &json!({"tier": 1}))
    );
    assert_eq!(found.updated_at, NOW + 1);
}

#[rstest]
#[tokio::test]
async fn usage_adds_up_what_calls_of_the_span_used(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let call = lab.talking().await;
    let facts = Facts {
        usage: Some(Usage {
            synthesizer_characters: 70,
            synthesizer_model: "elevenlabs:flash".into(),
            ..Usage::default()
        }),
        cost: Some(Cost {
            synthesizer: 0.7,
            ..Cost::default()
        }),
        happened_at: Some(NOW + 5_000),
        ..Facts::default()
    };
    lab.store
        .change(call.id, Change::MediaEnded, facts, NOW + 5_000)
        .await
        .unwrap();
    lab.create(lab.call()).await;
    let totals = lab.store.usage(lab.account, NOW, NOW).await.unwrap();
    assert_eq!((totals.calls, totals.seconds), (2, 5.0));
    assert_eq!(totals.statuses[&Status::Queued], 1);
    assert_eq!(totals.synthesizers["elevenlabs"]["flash"].amount, 70.0);
    assert_eq!(totals.cost.total(), 0.7);
    for (from, to) in [(NOW + 1, NOW + 9), (0, NOW - 1)] {
        assert_eq!(
            lab.store.usage(lab.account, from, to).await.unwrap().calls,
            0
        );
    }
}

#[rstest]
#[tokio::test]
async fn a_deleted_one_opens_nothing_and_goes_when_its_calls_are_over(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let made = lab.sub_account("alpha").await;
    let id = made.account.id;
    let agent = store.create_agent(id, &json!({}), NOW).await.unwrap().id;
    store
        .set_provider_key(id, "OPENAI", &"sk-1".into(), NOW)
        .await
        .unwrap();
    let waiting = lab.create(call(id, agent)).await.id;
    let live = lab.create(call(id, agent)).await.id;
    for change in [Change::CarrierAccepted, Change::Answered] {
        store
            .change(live, change, Facts::default(), NOW)
            .await
            .unwrap();
    }
    let log = store.call_log(live);
    log.event("{}".into()).unwrap();
    log.flush().await.unwrap();
    tokio::fs::create_dir_all(store.recordings().scratch_path(live).parent().unwrap())
        .await
        .unwrap();
    tokio::fs::write(store.recordings().scratch_path(live), b"wav")
        .await
        .unwrap();
    store.recordings().finish(live).await.unwrap();

    let left = store
        .delete_sub_account(lab.account, id, NOW)
        .await
        .unwrap();
    assert_eq!(
        left.iter().map(|record| record.id).collect::<Vec<_>>(),
        [live]
    );
    assert_eq!(
        store.authenticate(made.key.expose_secret()).await.unwrap(),
        None
    );
    assert_eq!(
        store.execution_unscoped(waiting).await.unwrap().status,
        Status::Stopped
    );
    assert!(store.sub_accounts(lab.account).await.unwrap().is_empty());
    assert!(matches!(store.account(id).await, Err(Error::NotFound)));

    assert_eq!(
        store.purge_deleted(NOW + MINUTES).await.unwrap(),
        0,
        "a call is open"
    );
    store
        .change(live, Change::StopAsked, Facts::default(), NOW)
        .await
        .unwrap();
    assert_eq!(
        store.purge_deleted(NOW).await.unwrap(),
        0,
        "it may still be hung up"
    );
    assert_eq!(store.purge_deleted(NOW + MINUTES).await.unwrap(), 1);
    assert!(matches!(
        store.execution_unscoped(live).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.recordings().size(live).await,
        Err(Error::NotFound)
    ));
    assert!(store.secrets(id).await.unwrap().is_empty());
    assert_eq!(store.purge_deleted(NOW + MINUTES).await.unwrap(), 0);
    // What is others' stays.
    assert_eq!(store.agents(lab.account).await.unwrap().len(), 1);
}

/// Whoever adds a table of an account's lists it in `purge.rs`, else its rows would keep the account.
#[tokio::test]
async fn every_table_of_an_account_is_purged() {
    let lab = Lab::on(On::Sqlite).await.unwrap();
    let Db::Sqlite { read, .. } = lab.store.db() else {
        unreachable!()
    };
    for (column, listed) in [
        ("account_id", &purge::OF_ACCOUNT[..]),
        ("agent_id", &purge::OF_AGENT[..]),
        ("batch", &purge::OF_BATCH[..]),
        ("execution_id", &purge::OF_EXECUTION[..]),
    ] {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = $1",
        )
        .bind(column)
        .fetch_all(read)
        .await
        .unwrap();
        let known: BTreeSet<&str> = purge::OF_ACCOUNT
            .iter()
            .chain(&purge::OF_AGENT)
            .chain(&purge::OF_BATCH)
            .chain(&purge::OF_EXECUTION)
            .copied()
            // The log of who did what outlives the account.
            .chain(["executions", "audit_log"])
            .collect();
        for table in &tables {
            assert!(
                known.contains(table.as_str()),
                "{table}, by {column}, is in no list of purge.rs"
            );
        }
        for table in listed {
            assert!(
                tables.iter().any(|name| name == table),
                "{table} has no {column}"
            );
        }
    }
}
