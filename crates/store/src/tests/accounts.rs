//! Accounts and API keys.

use std::time::Duration;

use rstest::rstest;
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{Lab, NOW, On};
use crate::{Error, Holder};

#[rstest]
#[tokio::test]
async fn accounts_are_made_once_listed_by_name_and_changed(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let made = lab
        .store
        .create_account("acme", "a@acme.example", NOW)
        .await
        .unwrap();
    assert_eq!(lab.store.account(made.id).await.unwrap(), made);
    assert_eq!(lab.store.account_named("acme").await.unwrap(), made);
    let twice = lab
        .store
        .create_account("acme", "b@acme.example", NOW)
        .await;
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
    let names: Vec<String> = lab
        .store
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .map(|account| account.name)
        .collect();
    assert_eq!(names, ["acme", "default"]);

    let changed = lab.store.set_account("acme", Some(3), None).await.unwrap();
    assert_eq!((changed.concurrency, changed.wallet), (3, made.wallet));
    let changed = lab
        .store
        .set_account("acme", None, Some(12.5))
        .await
        .unwrap();
    assert_eq!((changed.concurrency, changed.wallet), (3, 12.5));
    assert_eq!(lab.store.account(made.id).await.unwrap(), changed);
    assert!(matches!(
        lab.store.set_account("nobody", None, None).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        lab.store.account_named("nobody").await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test]
async fn a_key_opens_its_account_until_it_is_revoked(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (first, secret) = lab
        .store
        .create_key(lab.account, "first", NOW)
        .await
        .unwrap();
    let (second, _) = lab
        .store
        .create_key(lab.account, "second", NOW + 1)
        .await
        .unwrap();
    let digits = secret.expose_secret().strip_prefix("bn-").unwrap();
    assert!(
        digits.len() == 64
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "{digits}"
    );

    let holder = Holder {
        account: lab.account,
        parent: None,
        key: first.id,
    };
    assert_eq!(
        lab.store
            .authenticate(secret.expose_secret())
            .await
            .unwrap(),
        Some(holder)
    );
    assert_eq!(lab.store.authenticate("bn-wrong").await.unwrap(), None);
    assert_eq!(lab.store.keys().await.unwrap(), [second, first.clone()]);

    lab.store.revoke_key(first.id, NOW + 5).await.unwrap();
    lab.store.revoke_key(first.id, NOW + 9).await.unwrap();
    assert_eq!(
        lab.store
            .authenticate(secret.expose_secret())
            .await
            .unwrap(),
        None
    );
    assert_eq!(lab.store.keys().await.unwrap()[1].revoked_at, Some(NOW + 5));
}

#[rstest]
#[tokio::test]
async fn a_key_revoked_by_another_process_is_refused_within_a_second(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let (key, secret) = lab
        .store
        .create_key(lab.account, "laptop", NOW)
        .await
        .unwrap();
    let holder = lab
        .store
        .authenticate(secret.expose_secret())
        .await
        .unwrap();
    assert_eq!(holder.map(|holder| holder.account), Some(lab.account));
    lab.node("node-2")
        .await
        .revoke_key(key.id, NOW + 5)
        .await
        .unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(
        lab.store
            .authenticate(secret.expose_secret())
            .await
            .unwrap(),
        None
    );
}

#[rstest]
#[tokio::test]
async fn the_key_itself_is_nowhere_in_the_database(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (_, secret) = lab
        .store
        .create_key(lab.account, "laptop", NOW)
        .await
        .unwrap();
    let row: String = crate::db::on!(lab.store.db().read(), |pool| {
        sqlx::query_scalar("SELECT id || account_id || label || hash FROM api_keys")
            .fetch_one(pool)
            .await
    })
    .unwrap();
    assert!(!row.contains(&secret.expose_secret()[3..]));
    assert!(matches!(
        lab.store.revoke_key(Uuid::now_v7(), NOW).await,
        Err(Error::NotFound)
    ));
}
