//! A whole call as it should be, and with what breaks calls.

use bolo_execution::{Change, Direction, ExecutionId, HangupBy};
use bolo_simulator::{
    caller::{CallerScript, Outcome},
    carrier::{CallFaults, Kind, Signing},
};
use bolo_telephony::{CallbackKind, Error, MediaEvent, StatusEvent};

use crate::{
    TO,
    world::{CUT, Seen, World, changes, is_mark},
};

/// What is cut short.
const LONG: &str = "one two three four five six seven eight nine ten eleven twelve";

rules! {
    a_call_from_dial_to_hang_up: twilio plivo vobiz exotel sip_trunk;
    a_call_that_does_not_get_through: twilio plivo vobiz exotel sip_trunk;
    a_socket_that_breaks_in_mid_speech_brings_the_carrier_back: twilio plivo vobiz exotel sip_trunk;
    a_clear_in_mid_speech_drops_what_was_not_heard: twilio plivo vobiz exotel sip_trunk;
    a_hang_up_in_mid_speech_is_told_once: twilio plivo vobiz exotel sip_trunk;
    a_talking_call_is_told_to_go_on_elsewhere: twilio plivo;
    forged_requests_are_refused: twilio plivo vobiz sip_trunk;
}

async fn a_call_from_dial_to_hang_up(carrier: Kind) {
    let mut world = World::start(carrier).await;
    let id = world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    assert_eq!(caller.id(), id);
    caller.hears("hello there").await.unwrap();
    caller.presses("7").await.unwrap();
    let mut all = Vec::new();
    // The key may come before the greeting has been played to its end.
    for wanted in [MediaEvent::Dtmf('7'), MediaEvent::Mark("1:0".into())] {
        while !all
            .iter()
            .any(|seen| matches!(seen, Seen::Media(event) if *event == wanted))
        {
            all.push(world.next().await);
        }
    }
    match world.account.carrier.hang_up(&id).await {
        Ok(()) => {}
        // Then somebody else must.
        Err(Error::Unsupported(_)) if carrier == Kind::Exotel => {
            caller.hangs_up().await.unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(caller.ended().await.unwrap(), "completed");
    all.extend(world.until_over().await);

    assert!(
        !all.iter().any(|seen| matches!(seen, Seen::Refused)),
        "{all:#?}"
    );
    assert_eq!(
        all.iter()
            .filter(|seen| matches!(seen, Seen::Answer(Direction::Outbound)))
            .count(),
        1
    );
    let media: Vec<&MediaEvent> = all
        .iter()
        .filter_map(|seen| match seen {
            Seen::Media(event) => Some(event),
            _ => None,
        })
        .collect();
    let MediaEvent::Start {
        call_id,
        parameters,
        ..
    } = media[0]
    else {
        panic!("{media:?}")
    };
    // That of Asterisk's socket is of another channel.
    let told = if carrier == Kind::SipTrunk { "" } else { &id };
    assert_eq!(call_id, told);
    let given = [("note".to_owned(), "a <b> & \"c\"".to_owned())];
    // An applet's answer and a line for the dialplan have no room for them.
    let given = match carrier {
        Kind::Exotel | Kind::SipTrunk => &[][..],
        _ => &given,
    };
    assert_eq!(parameters, given);
    let told: &[Option<Change>] = match carrier {
        Kind::Twilio => &[
            None,
            Some(Change::Ringing),
            Some(Change::Answered),
            Some(Change::MediaEnded),
        ],
        Kind::Plivo | Kind::Vobiz => &[Some(Change::Ringing), Some(Change::MediaEnded)],
        Kind::Exotel => &[Some(Change::Answered), Some(Change::MediaEnded)],
        Kind::SipTrunk => &[Some(Change::MediaEnded)],
    };
    assert_eq!(changes(&all), told);
    assert!(caller.warnings().is_empty(), "{:?}", caller.warnings());
}

async fn a_call_that_does_not_get_through(carrier: Kind) {
    for (outcome, change, code) in [
        (Outcome::Busy, Change::Busy, 3010),
        (Outcome::NoAnswer, Change::NoAnswer, 3000),
        (Outcome::Reject, Change::Busy, 3020),
        (Outcome::Invalid, Change::CarrierFailed, 2000),
        (Outcome::Congestion, Change::CarrierFailed, 3090),
    ] {
        // Exotel has fewer words for it.
        let code = match (carrier, code) {
            (Kind::Exotel, 3020) => 3010,
            (Kind::Exotel, 2000 | 3090) => 5020,
            _ => code,
        };
        let mut world = World::start(carrier).await;
        world.fake.script(TO, CallerScript::fails(outcome));
        world.dial().await;
        let all = world.until_over().await;
        assert!(
            !all.iter()
                .any(|seen| matches!(seen, Seen::Refused | Seen::Answer(_))),
            "{all:#?}"
        );
        let Some(Seen::Status(event)) = all.last() else {
            panic!("{all:#?}")
        };
        assert_eq!(
            (event.change, event.hangup.as_ref().unwrap().code),
            (Some(change), code)
        );
    }
}

async fn a_socket_that_breaks_in_mid_speech_brings_the_carrier_back(carrier: Kind) {
    for reset in [false, true] {
        let mut world = World::greeting(carrier, LONG).await;
        world.dial().await;
        let caller = world.fake.dialled(TO).await.unwrap();
        caller.hears("one two").await.unwrap();
        caller.drops_socket(reset).await.unwrap();
        let all = world.until_over().await;
        let resumed = all.iter().filter(|seen| matches!(seen, Seen::Resume));
        assert_eq!(resumed.count(), 1, "reset: {reset}: {all:#?}");
    }
}

async fn a_clear_in_mid_speech_drops_what_was_not_heard(carrier: Kind) {
    let mut world = World::greeting(carrier, LONG).await;
    world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    caller.hears("one two").await.unwrap();
    caller.presses(CUT).await.unwrap();
    caller.sees_clear().await.unwrap();
    caller.hears("all right").await.unwrap();
    let all = world.until(|seen| is_mark(seen, "2:0")).await;
    assert!(
        !caller.heard_text().contains("twelve"),
        "{}",
        caller.heard_text()
    );
    // Some say for each mark that it waits no more, some say it once, and one says nothing.
    let echoed = all.iter().any(|seen| is_mark(seen, "1:0"));
    let told = all
        .iter()
        .any(|seen| matches!(seen, Seen::Media(MediaEvent::Cleared)));
    let confirmed = match carrier {
        Kind::Twilio | Kind::Exotel => (true, false),
        Kind::Plivo | Kind::Vobiz => (false, true),
        Kind::SipTrunk => (false, false),
    };
    assert_eq!((echoed, told), confirmed, "{all:#?}");
    assert!(caller.warnings().is_empty(), "{:?}", caller.warnings());
}

async fn a_hang_up_in_mid_speech_is_told_once(carrier: Kind) {
    let mut world = World::greeting(carrier, LONG).await;
    world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    caller.hears("one two").await.unwrap();
    caller.hangs_up().await.unwrap();
    // The socket's end and the news of it take ways of their own.
    let mut all = world.until_over().await;
    if !all.iter().any(|seen| matches!(seen, Seen::Gone)) {
        all.extend(world.until(|seen| matches!(seen, Seen::Gone)).await);
    }
    assert!(
        !all.iter()
            .any(|seen| is_mark(seen, "1:0") || matches!(seen, Seen::Resume | Seen::Refused)),
        "{all:#?}"
    );
    let stops = all
        .iter()
        .filter(|seen| matches!(seen, Seen::Media(MediaEvent::Stop)));
    let says_so = matches!(carrier, Kind::Twilio | Kind::Exotel);
    assert_eq!(stops.count(), usize::from(says_so), "{all:#?}");
    let ends: Vec<&StatusEvent> = all
        .iter()
        .filter_map(|seen| match seen {
            Seen::Status(event) if event.hangup.is_some() => Some(event),
            _ => None,
        })
        .collect();
    let [end] = ends[..] else { panic!("{all:#?}") };
    let hangup = end.hangup.as_ref().unwrap();
    assert_eq!(
        (end.change, hangup.by, hangup.code),
        (Some(Change::MediaEnded), HangupBy::Callee, 4000)
    );
}

/// What a node that vanished leaves behind: a socket that nobody serves.
async fn a_talking_call_is_told_to_go_on_elsewhere(carrier: Kind) {
    let mut world = World::start(carrier).await;
    let id = world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    caller.hears("hello there").await.unwrap();
    let resume = world
        .server
        .url(CallbackKind::Resume, ExecutionId::new(), 1);
    world.account.carrier.redirect(&id, &resume).await.unwrap();
    if matches!(carrier, Kind::Twilio | Kind::Plivo) {
        let asked = format!("{resume}#rc=2&rp=ct,rt,5xx");
        let told = world.fake.ledger().updates(&id);
        let is_retried = told[0].iter().any(|(_, url)| url.contains(&asked));
        assert!(is_retried, "{told:#?}");
    }
    let all = world.until_over().await;
    assert!(
        all.iter().any(|seen| matches!(seen, Seen::Resume)),
        "{all:#?}"
    );
    let over = world.account.carrier.redirect(&id, &resume).await;
    assert!(
        matches!(over, Err(bolo_telephony::Error::NotFound)),
        "{over:?}"
    );
}

async fn forged_requests_are_refused(carrier: Kind) {
    let faults = CallFaults {
        signing: Signing::Wrong,
        ..CallFaults::default()
    };
    let mut world = World::with(carrier, faults).await;
    world.dial().await;
    assert!(matches!(world.next().await, Seen::Refused));
}
