//! What becomes of a dial, and whether a lost one is found.

use bolo_execution::Change;
use bolo_simulator::{
    caller::CallerScript,
    carrier::{DialFault, FakeCarrier, Kind, Ledger, Options},
};
use bolo_telephony::{CallState, CarrierAccount, Dialled, Error, LostDial, NotPlaced};

use crate::{TO, account, account_with, dial};

rules! {
    an_accepted_dial_has_the_carriers_id: twilio plivo vobiz exotel sip_trunk;
    a_dial_without_an_answer_is_looked_up_and_never_repeated: twilio plivo vobiz exotel sip_trunk;
    a_dial_that_is_not_answered_in_time_is_looked_up: twilio plivo vobiz exotel sip_trunk;
    nobody_listening_means_not_dialled: twilio plivo vobiz exotel sip_trunk;
    a_wrong_key_is_told: twilio plivo vobiz exotel sip_trunk;
    a_request_that_fails_says_so_and_may_be_made_again: twilio plivo vobiz exotel sip_trunk;
    a_request_that_is_not_answered_has_an_end: twilio plivo vobiz exotel sip_trunk;
    a_refused_dial_says_what_to_do: twilio plivo vobiz exotel;
    a_call_is_hung_up_once_or_twice: twilio plivo vobiz;
    a_carrier_that_ends_no_call_by_request_says_so_while_it_is_up: exotel;
    a_channel_has_the_id_that_we_chose_and_is_forgotten_with_its_end: sip_trunk;
    an_asterisk_that_refuses_has_something_to_mend: sip_trunk;
}

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
    look_up(account, bound).await.unwrap().map(|state| state.id)
}

async fn look_up(account: &CarrierAccount, bound: &[String]) -> Result<Option<CallState>, Error> {
    let dial = dial(account, NOWHERE.into(), NOWHERE.into());
    let since = chrono::Utc::now().timestamp_millis() - 5000;
    let lost = LostDial {
        reference: &dial.reference,
        to: &dial.to,
        from: &dial.from,
        since,
        bound,
    };
    account.carrier.find_dial(&lost).await
}

async fn an_accepted_dial_has_the_carriers_id(carrier: Kind) {
    let (outcome, fake, account) = place(carrier, &[]).await;
    let Dialled::Accepted(id) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(fake.calls()[0].id(), id);
    assert_eq!(account.carrier.fetch(&id).await.unwrap().id, id);
    assert_eq!(find(&account, &[]).await.as_deref(), Some(id.as_str()));
    assert_eq!(find(&account, &[id]).await, None);
}

async fn a_dial_without_an_answer_is_looked_up_and_never_repeated(carrier: Kind) {
    for (fault, placed) in [
        (DialFault::ErrorAfterPlacing {}, true),
        (DialFault::ResetAfterPlacing {}, true),
        (DialFault::TruncatedJson {}, true),
        (DialFault::NoId {}, true),
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

/// A carrier at which phones ring until nobody waits any more.
async fn patient(carrier: Kind) -> (FakeCarrier, CarrierAccount) {
    let fake = FakeCarrier::start(carrier, Options::default())
        .await
        .unwrap();
    let script = CallerScript {
        ring_ms: 45_000,
        ..CallerScript::default()
    };
    fake.script(TO, script);
    let account = account(&fake);
    (fake, account)
}

/// Once the carrier was asked, the wait for its answer is a matter of no time.
async fn while_time_flies<T>(
    fake: &FakeCarrier,
    asked: impl Fn(&Ledger) -> bool,
    answer: impl Future<Output = T>,
) -> T {
    let flies = async {
        let shown = fake.ledger_shows(|ledger| asked(ledger).then_some(()));
        shown.await.expect("the carrier is not asked");
        tokio::time::pause();
    };
    let (answer, ()) = tokio::join!(answer, flies);
    tokio::time::resume();
    answer
}

async fn a_dial_that_is_not_answered_in_time_is_looked_up(carrier: Kind) {
    for (fault, placed) in [
        (DialFault::SlowAnswer { ms: 20_000 }, true),
        (DialFault::Silence {}, false),
    ] {
        let (fake, account) = patient(carrier).await;
        fake.fail_next_dials([fault.clone()]);
        let dial = dial(&account, NOWHERE.into(), NOWHERE.into());
        let asked = |ledger: &Ledger| !ledger.dials().is_empty();
        let outcome = while_time_flies(&fake, asked, account.carrier.dial(&dial)).await;
        assert!(
            matches!(outcome, Dialled::Unknown(_)),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(find(&account, &[]).await.is_some(), placed, "{fault:?}");
        assert_eq!(fake.ledger().dials().len(), 1, "one dial is one request");
    }
}

async fn nobody_listening_means_not_dialled(carrier: Kind) {
    let (fake, account) = patient(carrier).await;
    drop(fake);
    let dial = dial(&account, NOWHERE.into(), NOWHERE.into());
    let outcome = account.carrier.dial(&dial).await;
    assert!(
        matches!(outcome, Dialled::Refused(NotPlaced::Later(_))),
        "{outcome:?}"
    );
}

async fn a_wrong_key_is_told(carrier: Kind) {
    let (fake, _) = patient(carrier).await;
    let account = account_with(&fake, "not the token");
    let dial = dial(&account, NOWHERE.into(), NOWHERE.into());
    let outcome = account.carrier.dial(&dial).await;
    assert!(
        matches!(outcome, Dialled::Refused(NotPlaced::Credentials(_))),
        "{outcome:?}"
    );
    let id = "CA00000000000000000000000000000000";
    let fetched = account.carrier.fetch(id).await;
    assert!(matches!(fetched, Err(Error::Account(_))), "{fetched:?}");
    let ended = account.carrier.hang_up(id).await;
    assert!(matches!(ended, Err(Error::Account(_))), "{ended:?}");
    let found = look_up(&account, &[]).await;
    assert!(matches!(found, Err(Error::Account(_))), "{found:?}");
    assert_eq!(
        (fake.ledger().placed(), fake.ledger().refused_auth()),
        (0, 4)
    );
}

/// Placed at a patient carrier.
async fn ringing(carrier: Kind) -> (String, FakeCarrier, CarrierAccount) {
    let (fake, account) = patient(carrier).await;
    let dial = dial(&account, NOWHERE.into(), NOWHERE.into());
    let Dialled::Accepted(id) = account.carrier.dial(&dial).await else {
        panic!("not dialled")
    };
    (id, fake, account)
}

/// In the end it is hung up, where a request can do that.
async fn hung_up(carrier: Kind, account: &CarrierAccount, id: &str) {
    let ended = account.carrier.hang_up(id).await;
    let may_be = carrier == Kind::Exotel && matches!(ended, Err(Error::Unsupported(_)));
    assert!(ended.is_ok() || may_be, "{ended:?}");
}

async fn a_request_that_fails_says_so_and_may_be_made_again(carrier: Kind) {
    let (id, fake, account) = ringing(carrier).await;
    for fault in [
        DialFault::ErrorBeforePlacing {},
        DialFault::ResetBeforePlacing {},
        DialFault::too_many(1),
    ] {
        fake.fail_next_requests([fault.clone()]);
        let fetched = account.carrier.fetch(&id).await;
        assert!(
            matches!(fetched, Err(Error::Unavailable(_))),
            "{fault:?}: {fetched:?}"
        );
        fake.fail_next_requests([fault.clone()]);
        let ended = account.carrier.hang_up(&id).await;
        assert!(
            matches!(ended, Err(Error::Unavailable(_))),
            "{fault:?}: {ended:?}"
        );
        fake.fail_next_requests([fault.clone()]);
        let found = look_up(&account, &[]).await;
        assert!(
            matches!(found, Err(Error::Unavailable(_))),
            "{fault:?}: {found:?}"
        );
    }
    // Of a call that rings the first question at these two, whether it is queued, is answered with no.
    let questions = match carrier {
        Kind::Plivo | Kind::Vobiz => 2,
        _ => 1,
    };
    fake.fail_next_requests(vec![DialFault::TruncatedJson {}; questions]);
    let fetched = account.carrier.fetch(&id).await;
    assert!(matches!(fetched, Err(Error::Unavailable(_))), "{fetched:?}");
    assert_eq!(account.carrier.fetch(&id).await.unwrap().id, id);
    // Done, but not said so.
    fake.fail_next_requests([DialFault::ErrorAfterPlacing {}]);
    let ended = account.carrier.hang_up(&id).await;
    assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
    hung_up(carrier, &account, &id).await;
}

async fn a_request_that_is_not_answered_has_an_end(carrier: Kind) {
    let (id, fake, account) = ringing(carrier).await;
    fake.fail_next_requests([DialFault::Silence {}, DialFault::Silence {}]);
    let asked = |times| move |ledger: &Ledger| ledger.requests_spoilt() == times;
    let fetched = while_time_flies(&fake, asked(1), account.carrier.fetch(&id)).await;
    assert!(matches!(fetched, Err(Error::Unavailable(_))), "{fetched:?}");
    let ended = while_time_flies(&fake, asked(2), account.carrier.hang_up(&id)).await;
    assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
    assert_eq!(account.carrier.fetch(&id).await.unwrap().id, id);
    hung_up(carrier, &account, &id).await;
}

async fn a_refused_dial_says_what_to_do(carrier: Kind) {
    let refused = async |fault| match place(carrier, &[fault]).await.0 {
        Dialled::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        refused(DialFault::unauthorized()).await,
        NotPlaced::Credentials(_)
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

async fn a_call_is_hung_up_once_or_twice(carrier: Kind) {
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

async fn a_carrier_that_ends_no_call_by_request_says_so_while_it_is_up(carrier: Kind) {
    let (outcome, fake, account) = place(carrier, &[]).await;
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

async fn a_channel_has_the_id_that_we_chose_and_is_forgotten_with_its_end(carrier: Kind) {
    let (outcome, fake, account) = place(carrier, &[]).await;
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

async fn an_asterisk_that_refuses_has_something_to_mend(carrier: Kind) {
    for fault in [
        DialFault::unauthorized(),
        DialFault::bad_request_saying("Invalid endpoint specified"),
    ] {
        let outcome = place(carrier, &[fault]).await.0;
        assert!(
            matches!(
                outcome,
                Dialled::Refused(NotPlaced::Account(_) | NotPlaced::Credentials(_))
            ),
            "{outcome:?}"
        );
    }
}
