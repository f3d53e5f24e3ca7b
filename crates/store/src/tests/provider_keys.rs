//! Keys of vendors and carriers.

use rstest::rstest;
use secrecy::ExposeSecret;

use super::{Lab, MASTER, NOW, On};
use crate::{Error, Store};

async fn value(store: &Store, lab: &Lab, name: &str) -> Option<String> {
    let secrets = store.secrets(lab.account).await.unwrap();
    secrets
        .get(name)
        .map(|value| value.expose_secret().to_owned())
}

#[rstest]
#[tokio::test]
async fn both_spellings_are_one_key_and_the_given_one_is_shown(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let set = async |name, value: &str, now| {
        lab.store
            .set_provider_key(lab.account, name, &value.into(), now)
            .await
            .unwrap()
    };
    let first = set("OPENAI", "sk-first", NOW).await;
    assert_eq!((first.name.as_str(), first.tail.as_str()), ("OPENAI", "st"));
    assert_eq!(
        value(&lab.store, &lab, "OPENAI").await.as_deref(),
        Some("sk-first")
    );
    let second = set("OPENAI_API_KEY", "sk-секрет", NOW + 1).await;
    assert_eq!(
        (second.id, second.name.as_str(), second.tail.as_str()),
        (first.id, "OPENAI_API_KEY", "ет")
    );
    let twilio = set("TWILIO_AUTH_TOKEN", "t", NOW + 2).await;
    assert_eq!(twilio.tail, "t");
    assert_eq!(
        lab.store.provider_keys(lab.account).await.unwrap(),
        [twilio.clone(), second]
    );
    assert_eq!(
        value(&lab.store, &lab, "OPENAI").await.as_deref(),
        Some("sk-секрет")
    );
    assert_eq!(
        value(&lab.store, &lab, "TWILIO_AUTH_TOKEN")
            .await
            .as_deref(),
        Some("t")
    );

    lab.store
        .remove_provider_key(lab.account, "OPENAI")
        .await
        .unwrap();
    lab.store
        .remove_provider_key(lab.account, &twilio.id.simple().to_string())
        .await
        .unwrap();
    assert!(
        lab.store
            .provider_keys(lab.account)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(lab.store.secrets(lab.account).await.unwrap().is_empty());
    for gone in ["OPENAI", "OPENAI_API_KEY", ""] {
        assert!(matches!(
            lab.store.remove_provider_key(lab.account, gone).await,
            Err(Error::NotFound)
        ));
    }
}

#[rstest]
#[tokio::test]
async fn values_are_encrypted_and_survive_a_change_of_master_key(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.store
        .set_provider_key(lab.account, "OPENAI", &"sk-plainly-visible".into(), NOW)
        .await
        .unwrap();
    let row: String = crate::db::on!(lab.store.db().read(), |pool| {
        sqlx::query_scalar("SELECT name || tail || sealed || nonce || key_id FROM provider_keys")
            .fetch_one(pool)
            .await
    })
    .unwrap();
    assert!(!row.contains("plainly") && !row.contains(&crate::secrets::hex(b"plainly")));

    let open = async |masters: &str| Store::open(lab.settings(masters, "node-2")).await.unwrap();
    let new_only = open("another master key").await;
    assert!(matches!(
        new_only.secrets(lab.account).await,
        Err(Error::Corrupt(_))
    ));
    let both = open(&format!("another master key,{MASTER}")).await;
    assert_eq!(
        value(&both, &lab, "OPENAI").await.as_deref(),
        Some("sk-plainly-visible")
    );
    assert_eq!(both.reseal_secrets().await.unwrap(), 1);
    assert_eq!(both.reseal_secrets().await.unwrap(), 0);
    assert_eq!(
        value(&new_only, &lab, "OPENAI").await.as_deref(),
        Some("sk-plainly-visible")
    );
    assert!(matches!(
        lab.store.secrets(lab.account).await,
        Err(Error::Corrupt(_))
    ));
}

#[rstest]
#[tokio::test]
async fn a_value_copied_to_another_accounts_row_does_not_open(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.store
        .set_provider_key(lab.account, "OPENAI", &"sk-1".into(), NOW)
        .await
        .unwrap();
    let (thief, _) = super::tenant(&lab.store, "thief").await;
    crate::db::on!(lab.store.db().write(), |pool| {
        sqlx::query("UPDATE provider_keys SET account_id = $1")
            .bind(thief.to_string())
            .execute(pool)
            .await
            .map(|_| ())
    })
    .unwrap();
    assert!(matches!(
        lab.store.secrets(thief).await,
        Err(Error::Corrupt(_))
    ));
}
