//! Documents, dispositions and phone numbers: kept, shared, and seen by their account alone.

use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Lab, NOW, On, tenant};
use crate::{DispositionChange, Draft, Error, Kind, NewPhoneNumber};

fn draft(key: Option<&str>, body: Value) -> Draft {
    Draft {
        key: key.map(str::to_owned),
        body,
    }
}

fn number(number: &str) -> NewPhoneNumber {
    NewPhoneNumber {
        number: number.into(),
        provider: "twilio".into(),
        ..NewPhoneNumber::default()
    }
}

#[rstest]
#[tokio::test]
async fn a_document_is_kept_changed_and_removed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (store, account) = (&lab.store, lab.account);
    let made = store
        .create_document(
            account,
            Kind::SipTrunk,
            draft(Some("main"), json!({"a": 1})),
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(
        store
            .document(account, Kind::SipTrunk, made.id)
            .await
            .unwrap(),
        made
    );
    let taken = store
        .create_document(account, Kind::SipTrunk, draft(Some("main"), json!({})), NOW)
        .await;
    assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
    // The same key is free in another kind.
    store
        .create_document(account, Kind::Model, draft(Some("main"), json!({})), NOW)
        .await
        .unwrap();
    store
        .put_document(account, Kind::Model, "main", &json!({"url": "x"}), NOW + 1)
        .await
        .unwrap();
    let model = store
        .document_named(account, Kind::Model, "main")
        .await
        .unwrap();
    assert_eq!(
        (&model.body, model.updated_at),
        (&json!({"url": "x"}), NOW + 1)
    );
    assert_eq!(
        store.documents(account, Kind::Model).await.unwrap(),
        [model]
    );

    let changed = store
        .change_document::<Error>(account, Kind::SipTrunk, made.id, NOW + 2, |body| {
            assert_eq!(body, json!({"a": 1}));
            Ok(draft(Some("other"), json!({"a": 2})))
        })
        .await
        .unwrap();
    assert_eq!((changed.created_at, changed.updated_at), (NOW, NOW + 2));
    assert_eq!(
        store
            .document_named(account, Kind::SipTrunk, "other")
            .await
            .unwrap(),
        changed
    );
    let refused = store
        .change_document(account, Kind::SipTrunk, made.id, NOW, |_| {
            Err(Error::Conflict("no"))
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(
        store
            .document(account, Kind::SipTrunk, made.id)
            .await
            .unwrap(),
        changed
    );

    let secret = "a password".into();
    store
        .set_document_secret(account, made.id, &secret)
        .await
        .unwrap();
    let rotated = super::settings(
        lab.folder.path(),
        lab.database.as_ref(),
        &format!("another master key,{}", super::MASTER),
        "node-2",
    );
    let other = crate::Store::open(rotated).await.unwrap();
    assert_eq!(other.reseal_secrets().await.unwrap(), 1);
    let read = other.document_secret(account, made.id).await.unwrap();
    assert_eq!(read.unwrap().expose_secret(), "a password");

    let (stranger, _) = tenant(store, "stranger").await;
    assert!(
        store
            .documents(stranger, Kind::SipTrunk)
            .await
            .unwrap()
            .is_empty()
    );
    for outcome in [
        store
            .document(stranger, Kind::SipTrunk, made.id)
            .await
            .map(|_| ()),
        store
            .document_named(stranger, Kind::SipTrunk, "other")
            .await
            .map(|_| ()),
        store.document_secret(stranger, made.id).await.map(|_| ()),
        store.set_document_secret(stranger, made.id, &secret).await,
        store
            .remove_document(stranger, Kind::SipTrunk, made.id)
            .await,
        store.remove_document(account, Kind::Model, made.id).await,
        store.remove_sip_trunk(stranger, made.id).await.map(|_| ()),
        store
            .change_document::<Error>(stranger, Kind::SipTrunk, made.id, NOW, |body| {
                Ok(draft(None, body))
            })
            .await
            .map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
    }
    store
        .remove_document(account, Kind::SipTrunk, made.id)
        .await
        .unwrap();
    assert!(matches!(
        store.document(account, Kind::SipTrunk, made.id).await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test]
async fn a_shared_disposition_is_copied_for_one_agent(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (store, account) = (&lab.store, lab.account);
    let second = store
        .create_agent(account, &json!({}), NOW)
        .await
        .unwrap()
        .id;
    let both = [lab.agent, second];
    let made = store
        .create_dispositions(
            account,
            vec![draft(None, json!("a")), draft(None, json!("b"))],
            &both,
            NOW,
        )
        .await
        .unwrap();
    let asked = store.dispositions_of(account, second).await.unwrap();
    assert_eq!(asked, made, "in the order in which they came");
    let change = |id, agent| {
        store.change_disposition::<Error>(account, id, agent, NOW + 1, |_| {
            Ok(draft(None, json!("c")))
        })
    };
    let DispositionChange::Copied(copy) = change(made[0].id, Some(second)).await.unwrap() else {
        panic!("it is shared");
    };
    let asked: Vec<Value> = store
        .dispositions_of(account, second)
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.body)
        .collect();
    assert_eq!(asked, [json!("b"), json!("c")]);
    assert_eq!(
        store.dispositions_of(account, lab.agent).await.unwrap(),
        made
    );
    assert!(matches!(
        change(copy.id, Some(second)).await,
        Ok(DispositionChange::Changed(_))
    ));
    assert!(matches!(
        change(copy.id, Some(lab.agent)).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        change(made[0].id, None).await,
        Ok(DispositionChange::Changed(_))
    ));

    let (stranger, its_agent) = tenant(store, "stranger").await;
    let stolen = store
        .create_dispositions(stranger, vec![draft(None, json!(1))], &both, NOW)
        .await;
    assert!(matches!(stolen, Err(Error::NotFound)), "{stolen:?}");
    assert!(
        store
            .documents(stranger, Kind::Disposition)
            .await
            .unwrap()
            .is_empty(),
        "all or nothing"
    );
    assert!(
        store
            .dispositions_of(stranger, lab.agent)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .dispositions_of(account, its_agent)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(matches!(
        store.remove_disposition(stranger, copy.id).await,
        Err(Error::NotFound)
    ));
    assert_eq!(store.disposition_owner(copy.id).await.unwrap(), account);

    store.remove_disposition(account, made[1].id).await.unwrap();
    store.delete_agent(account, second, NOW).await.unwrap();
    let left = store.disposition_agents(account).await.unwrap();
    assert_eq!(left, [(made[0].id, vec![lab.agent])].into());
}

#[rstest]
#[tokio::test]
async fn a_number_has_one_agent_and_one_row(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (store, account) = (&lab.store, lab.account);
    let buying = NewPhoneNumber {
        buying: true,
        rented: true,
        ..number("+14155550100")
    };
    let intent = store
        .create_phone_number(account, buying.clone(), NOW)
        .await
        .unwrap();
    assert!(intent.buying);
    let again = store.create_phone_number(account, buying, NOW).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    assert!(
        store.phone_numbers(account).await.unwrap().is_empty(),
        "not yet had"
    );
    let unready = store
        .link_phone_number(account, intent.id, Some(lab.agent), None, NOW)
        .await;
    assert!(matches!(unready, Err(Error::NotFound)), "{unready:?}");
    let bought = store
        .bought_phone_number(
            account,
            intent.id,
            "PN1",
            Some(115),
            Some("2026-12-01"),
            NOW + 1,
        )
        .await
        .unwrap();
    assert_eq!(
        store.phone_numbers(account).await.unwrap(),
        std::slice::from_ref(&bought)
    );

    let menu = json!({"enabled": false});
    let linked = store
        .link_phone_number(account, bought.id, Some(lab.agent), Some(&menu), NOW + 2)
        .await
        .unwrap();
    assert_eq!(
        (linked.agent, linked.ivr.as_ref()),
        (Some(lab.agent), Some(&menu))
    );
    for spelling in ["+14155550100", "14155550100"] {
        assert_eq!(
            store.phone_number_named(account, spelling).await.unwrap(),
            linked
        );
    }
    let (stranger, its_agent) = tenant(store, "stranger").await;
    let foreign = store
        .link_phone_number(account, bought.id, Some(its_agent), None, NOW)
        .await;
    assert!(matches!(foreign, Err(Error::NotFound)), "{foreign:?}");
    for outcome in [
        store.phone_number(stranger, bought.id).await.map(|_| ()),
        store
            .phone_number_named(stranger, "+14155550100")
            .await
            .map(|_| ()),
        store
            .link_phone_number(stranger, bought.id, None, None, NOW)
            .await
            .map(|_| ()),
        store.remove_phone_number(stranger, bought.id).await,
    ] {
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
    }
    assert!(
        !store
            .number_is_claimed(account, "+14155550100")
            .await
            .unwrap()
    );
    store
        .create_phone_number(stranger, number("+14155550100"), NOW)
        .await
        .unwrap();
    assert!(
        store
            .number_is_claimed(account, "+14155550100")
            .await
            .unwrap()
    );

    // What the carrier lists is added; what we know keeps its agent.
    let held = vec![
        NewPhoneNumber {
            rented: true,
            carrier_id: Some("PN1".into()),
            ..number("+14155550100")
        },
        NewPhoneNumber {
            rented: true,
            carrier_id: Some("PN2".into()),
            ..number("+14155550101")
        },
    ];
    store
        .note_phone_numbers(account, held, NOW + 3)
        .await
        .unwrap();
    let all = store.phone_numbers(account).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(
        (all[1].agent, all[1].price_cents),
        (Some(lab.agent), Some(115))
    );
    store.delete_agent(account, lab.agent, NOW).await.unwrap();
    assert_eq!(
        store.phone_number(account, bought.id).await.unwrap().agent,
        None
    );

    let trunk = store
        .create_document(account, Kind::SipTrunk, draft(Some("t"), json!({})), NOW)
        .await
        .unwrap();
    let did = NewPhoneNumber {
        trunk: Some(trunk.id),
        ..number("919876543210")
    };
    store.create_phone_number(account, did, NOW).await.unwrap();
    assert_eq!(store.remove_sip_trunk(account, trunk.id).await.unwrap(), 1);
    assert_eq!(store.phone_numbers(account).await.unwrap().len(), 2);
    store.remove_phone_number(account, bought.id).await.unwrap();
    assert!(matches!(
        store.remove_phone_number(account, Uuid::nil()).await,
        Err(Error::NotFound)
    ));
}
