//! What becomes of a dial, and whether a lost one is found.

use bolo_execution::Change;
use bolo_simulator::carrier::{DialFault, FakeCarrier, Kind, Options};
use bolo_telephony::{CarrierAccount, Dialled, Error, LostDial, NotPlaced};
use rstest::rstest;

use crate::{account, dial};

/// Nobody listens there; the calls of these tests ring into the void.
const NOWHERE: &str = "http://127.0.0.1:9/x";

async fn place(carrier: Kind, faults: &[DialFault]) -> (Dialled, FakeCarrier, CarrierAccount) {
    let fake = FakeCarrier::start(carrier, Options::default())
        .await
        .unwrap();
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
        .find_dial(&LostDial {
            reference: &dial.reference,
            to: &dial.to,
            from: &dial.from,
            since,
            bound,
        })
        .await;
    found.unwrap().map(|state| state.id)
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn an_accepted_dial_has_the_carriers_id(#[case] carrier: Kind) {
    let (outcome, fake, account) = place(carrier, &[]).await;
    let Dialled::Accepted(id) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(fake.calls()[0].id(), id);
    assert_eq!(account.carrier.fetch(&id).await.unwrap().id, id);
    assert_eq!(find(&account, &[]).await.as_deref(), Some(id.as_str()));
    assert_eq!(find(&account, &[id]).await, None);
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn a_dial_without_an_answer_is_looked_up_and_never_repeated(#[case] carrier: Kind) {
    for (fault, placed) in [
        (DialFault::ErrorAfterPlacing {}, true),
        (DialFault::ResetAfterPlacing {}, true),
        (DialFault::TruncatedJson {}, true),
        (DialFault::ErrorBeforePlacing {}, false),
        (DialFault::ResetBeforePlacing {}, false),
    ] {
        let (outcome, fake, account) = place(carrier, std::slice::from_ref(&fault)).await;
        assert!(
            matches!(outcome, Dialled::Unknown(_)),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(find(&account, &[]).await.is_some(), placed, "{fault:?}");
        assert_eq!(fake.ledger().placed(), usize::from(placed));
    }
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[tokio::test]
async fn a_refused_dial_says_what_to_do(#[case] carrier: Kind) {
    let refused = async |fault| match place(carrier, &[fault]).await.0 {
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
    let (bad_to, bad_from) = match carrier {
        Kind::Twilio => (DialFault::bad_request(21211), DialFault::bad_request(21212)),
        Kind::Exotel => (
            DialFault::bad_request_saying("Invalid From number"),
            DialFault::bad_request_saying("Invalid CallerId"),
        ),
        _ => (
            DialFault::bad_request_saying("to parameter is not valid"),
            DialFault::bad_request_saying("from parameter is not valid"),
        ),
    };
    assert!(matches!(refused(bad_to).await, NotPlaced::Number(hangup) if hangup.code == 2000));
    assert!(matches!(refused(bad_from).await, NotPlaced::Account(_)));
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[tokio::test]
async fn a_call_is_hung_up_once_or_twice(#[case] carrier: Kind) {
    let (outcome, fake, account) = place(carrier, &[]).await;
    let Dialled::Accepted(id) = outcome else {
        panic!("{outcome:?}")
    };
    account.carrier.hang_up(&id).await.unwrap();
    fake.call(&id).unwrap().ended().await.unwrap();
    account.carrier.hang_up(&id).await.unwrap();
    account
        .carrier
        .hang_up("CA00000000000000000000000000000000")
        .await
        .unwrap();
    let state = account.carrier.fetch(&id).await.unwrap();
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

#[tokio::test]
async fn a_carrier_that_ends_no_call_by_request_says_so_while_it_is_up() {
    let (outcome, fake, account) = place(Kind::Exotel, &[]).await;
    let Dialled::Accepted(id) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(
        account.carrier.hang_up(&id).await,
        Err(Error::Unsupported(_))
    ));
    // Its flow finds nobody, so it ends by itself.
    fake.call(&id).unwrap().ended().await.unwrap();
    account.carrier.hang_up(&id).await.unwrap();
    account.carrier.hang_up("0000").await.unwrap();
    let state = account.carrier.fetch(&id).await.unwrap();
    assert!(state.hangup.is_some(), "{state:?}");
    assert!(matches!(
        account.carrier.fetch("0000").await,
        Err(Error::NotFound)
    ));
}

#[tokio::test]
async fn a_channel_has_the_id_that_we_chose_and_is_forgotten_with_its_end() {
    let (outcome, fake, account) = place(Kind::SipTrunk, &[]).await;
    let Dialled::Accepted(id) = outcome else {
        panic!("{outcome:?}")
    };
    // Without the mac, which opens our addresses.
    assert_eq!(id, "7f1c.1");
    // A second dial of the same attempt finds the id taken: it may be ours.
    let again = dial(&account, NOWHERE.into(), NOWHERE.into());
    assert!(matches!(
        account.carrier.dial(&again).await,
        Dialled::Unknown(_)
    ));
    assert_eq!(fake.ledger().placed(), 1);
    account.carrier.hang_up(&id).await.unwrap();
    fake.call(&id).unwrap().ended().await.unwrap();
    account.carrier.hang_up(&id).await.unwrap();
    assert!(matches!(
        account.carrier.fetch(&id).await,
        Err(Error::NotFound)
    ));
}

#[tokio::test]
async fn an_asterisk_that_refuses_has_something_to_mend() {
    for fault in [
        DialFault::unauthorized(),
        DialFault::bad_request_saying("Invalid endpoint specified"),
    ] {
        let outcome = place(Kind::SipTrunk, &[fault]).await.0;
        assert!(
            matches!(outcome, Dialled::Refused(NotPlaced::Account(_))),
            "{outcome:?}"
        );
    }
}
