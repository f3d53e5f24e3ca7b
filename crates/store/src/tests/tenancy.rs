//! An account sees nothing of another's, whatever id it names.

use bolo_execution::{Component, Entry, EntryKind};
use rstest::rstest;
use serde_json::json;

use super::{Lab, NOW, On, call, inbound, tenant};
use crate::{Error, Filter};

macro_rules! not_found {
    ($result:expr) => {
        match $result.await {
            Err(Error::NotFound) => {}
            other => panic!("{}: {:?}", stringify!($result), other.map(|_| "found")),
        }
    };
}

#[rstest]
#[tokio::test]
async fn another_accounts_ids_are_not_found(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (store, agent) = (&lab.store, lab.agent);
    let id = lab.talking().await.id;
    let log = store.call_log(id);
    log.event("{}".into()).unwrap();
    log.flush().await.unwrap();
    let entry = || Entry::new(Component::System, EntryKind::Event, "", "hello");
    store
        .set_provider_key(lab.account, "OPENAI", &"sk-1".into(), NOW)
        .await
        .unwrap();
    let key = store.provider_keys(lab.account).await.unwrap().remove(0);

    let (stranger, _) = tenant(store, "stranger").await;
    not_found!(store.agent(stranger, agent));
    not_found!(store.agent_version(stranger, agent, 1));
    not_found!(store.replace_agent(stranger, agent, &json!({}), None, NOW));
    not_found!(store.delete_agent(stranger, agent, NOW));
    not_found!(store.stop_waiting(stranger, agent, NOW));
    not_found!(store.create_execution(call(stranger, agent), NOW));
    not_found!(store.create_execution(inbound(stranger, agent, "CA9"), NOW));
    not_found!(store.execution(stranger, id));
    not_found!(store.events(stranger, id));
    not_found!(store.log_lines(stranger, id));
    not_found!(store.append_log(stranger, id, entry(), NOW));
    not_found!(store.remove_provider_key(stranger, &key.id.to_string()));
    not_found!(store.remove_provider_key(stranger, "OPENAI"));
    assert_eq!(store.agents(stranger).await.unwrap().len(), 1);
    for filter in [
        Filter::default(),
        Filter {
            agent: Some(agent),
            ..Filter::default()
        },
    ] {
        let page = store.executions(stranger, &filter, 1, 20).await.unwrap();
        assert_eq!((page.rows.len(), page.total), (0, 0));
    }
    assert!(store.provider_keys(stranger).await.unwrap().is_empty());
    assert!(store.secrets(stranger).await.unwrap().is_empty());
    assert_eq!(store.live_calls(stranger).await.unwrap(), 0);
    assert!(
        store
            .bound_calls(stranger, "+14155550100", "+14155550199", 0)
            .await
            .unwrap()
            .is_empty()
    );

    let unchanged = store.agent(lab.account, agent).await.unwrap();
    assert_eq!(unchanged.version, 1);
    assert_eq!(store.log_lines(lab.account, id).await.unwrap(), []);
    assert_eq!(store.provider_keys(lab.account).await.unwrap(), [key]);

    // Nobody's account at all.
    let nobody = bolo_execution::AccountId::new();
    not_found!(store.account(nobody));
    not_found!(store.create_agent(nobody, &json!({}), NOW));
    not_found!(store.create_key(nobody, "x", NOW));
    not_found!(store.set_provider_key(nobody, "X", &"y".into(), NOW));
}

#[rstest]
#[tokio::test]
async fn a_carriers_call_is_not_shown_to_another_account(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.create(inbound(lab.account, lab.agent, "CA1")).await;
    let (stranger, its_agent) = tenant(&lab.store, "stranger").await;
    let taken = lab
        .store
        .create_execution(inbound(stranger, its_agent, "CA1"), NOW)
        .await;
    assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
}
