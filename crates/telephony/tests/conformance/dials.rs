//! What becomes of a dial, and whether a lost one is found.

use bolo_execution::Change;
use bolo_simulator::twilio::{FakeTwilio, Options, faults::DialFault};
use bolo_telephony::{CarrierAccount, Dialled, Error, NotPlaced};

use crate::{account, dial};

/// Nobody listens there; the calls of these tests ring into the void.
const NOWHERE: &str = "http://127.0.0.1:9/x";

async fn place(faults: &[DialFault]) -> (Dialled, FakeTwilio, CarrierAccount) {
    let fake = FakeTwilio::start(Options::default()).await.unwrap();
    fake.fail_next_dials(faults.iter().cloned());
    let account = account(&fake);
    let outcome = account
        .carrier
        .dial(&dial(&account, NOWHERE.into(), NOWHERE.into()))
        .await;
    assert_eq!(fake.ledger().dials().len(), 1, "one dial is one request");
    (outcome, fake, account)
}

/// The id of a call made since the epoch's second 0 that no other execution has.
async fn find(account: &CarrierAccount, bound: &[String]) -> Option<String> {
    let dial = dial(account, NOWHERE.into(), NOWHERE.into());
    let since = chrono::Utc::now().timestamp_millis() - 5000;
    let found = account
        .carrier
        .find_dial(&dial.to, &dial.from, since, bound)
        .await;
    found.unwrap().map(|state| state.id)
}

#[tokio::test]
async fn an_accepted_dial_has_the_carriers_id() {
    let (outcome, fake, account) = place(&[]).await;
    let Dialled::Accepted(sid) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(fake.calls()[0].sid(), sid);
    assert_eq!(account.carrier.fetch(&sid).await.unwrap().id, sid);
    assert_eq!(find(&account, &[]).await.as_deref(), Some(sid.as_str()));
    assert_eq!(find(&account, &[sid]).await, None);
}

#[tokio::test]
async fn a_dial_without_an_answer_is_looked_up_and_never_repeated() {
    for (fault, placed) in [
        (DialFault::ErrorAfterPlacing {}, true),
        (DialFault::ResetAfterPlacing {}, true),
        (DialFault::TruncatedJson {}, true),
        (DialFault::ErrorBeforePlacing {}, false),
        (DialFault::ResetBeforePlacing {}, false),
    ] {
        let (outcome, fake, account) = place(std::slice::from_ref(&fault)).await;
        assert!(
            matches!(outcome, Dialled::Unknown(_)),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(find(&account, &[]).await.is_some(), placed, "{fault:?}");
        assert_eq!(fake.ledger().placed(), usize::from(placed));
    }
}

#[tokio::test]
async fn a_refused_dial_says_what_to_do() {
    let refused = async |fault| match place(&[fault]).await.0 {
        Dialled::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        refused(DialFault::unauthorized()).await,
        NotPlaced::Account(_)
    ));
    assert!(
        matches!(refused(DialFault::too_many(3)).await, NotPlaced::Later(wait) if wait.as_secs() == 3)
    );
    assert!(
        matches!(refused(DialFault::bad_request(21211)).await, NotPlaced::Number(hangup) if hangup.code == 2000)
    );
    assert!(matches!(
        refused(DialFault::bad_request(21212)).await,
        NotPlaced::Account(_)
    ));
}

#[tokio::test]
async fn a_call_is_hung_up_once_or_twice() {
    let (outcome, fake, account) = place(&[]).await;
    let Dialled::Accepted(sid) = outcome else {
        panic!("{outcome:?}")
    };
    account.carrier.hang_up(&sid).await.unwrap();
    fake.call(&sid).unwrap().ended().await.unwrap();
    account.carrier.hang_up(&sid).await.unwrap();
    account
        .carrier
        .hang_up("CA00000000000000000000000000000000")
        .await
        .unwrap();
    let state = account.carrier.fetch(&sid).await.unwrap();
    assert!(
        matches!(
            state.change,
            Some(Change::Canceled | Change::MediaEnded | Change::NoAnswer | Change::CarrierFailed)
        ),
        "{state:?}"
    );
    assert!(matches!(
        account
            .carrier
            .fetch("CA00000000000000000000000000000000")
            .await,
        Err(Error::NotFound)
    ));
}
