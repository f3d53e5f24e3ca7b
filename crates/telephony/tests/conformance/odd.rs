//! Whole calls by carriers that do something odd: each goes on as if nothing had been.

use std::collections::BTreeMap;

use bolo_execution::{Change, ExecutionId};
use bolo_simulator::{
    caller::{AnsweredBy, CallerScript},
    carrier::{BadFrame, CallFaults, Kind},
};
use bolo_telephony::{CallbackKind, Dialled, MediaEvent};

use crate::{
    TO, dial,
    world::{Seen, World, is_mark},
};

rules! {
    garbage_on_the_socket_is_told_and_the_call_goes_on: twilio plivo vobiz exotel sip_trunk;
    an_unknown_message_on_the_socket_is_passed_over: twilio plivo vobiz exotel sip_trunk;
    audio_late_and_in_bursts_is_taken_in_order: twilio plivo vobiz exotel sip_trunk;
    audio_behind_the_stop_is_taken: twilio exotel;
    late_marks_are_those_that_were_sent: twilio plivo vobiz exotel sip_trunk;
    a_hang_up_before_the_start_is_a_call_without_one: twilio plivo vobiz exotel sip_trunk;
    fields_and_words_that_nobody_knows_change_nothing: twilio plivo vobiz exotel sip_trunk;
    webhooks_by_get_are_read: twilio plivo vobiz;
    webhooks_by_http_1_0_are_read: twilio plivo vobiz exotel sip_trunk;
    webhooks_that_wait_for_a_continue_are_read: twilio plivo vobiz exotel sip_trunk;
    who_answered_is_told: twilio plivo vobiz;
}

/// A call that must go well: greeted, a key pressed, hung up. Everything seen.
async fn goes_well(world: &mut World) -> Vec<Seen> {
    world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    caller.hears("hello there").await.unwrap();
    caller.presses("7").await.unwrap();
    let mut all = world.until(|seen| is_mark(seen, "1:0")).await;
    let pressed = |seen: &Seen| matches!(seen, Seen::Media(MediaEvent::Dtmf('7')));
    if !all.iter().any(pressed) {
        all.extend(world.until(pressed).await);
    }
    assert_eq!(caller.hangs_up().await.unwrap(), "completed");
    all.extend(world.until_over().await);
    assert!(
        !all.iter()
            .any(|seen| matches!(seen, Seen::Refused | Seen::Resume)),
        "{all:#?}"
    );
    ended(&all);
    all
}

/// It was connected, and is over.
fn ended(all: &[Seen]) {
    let Some(Seen::Status(event)) = all.last() else {
        panic!("{all:#?}")
    };
    assert_eq!(event.change, Some(Change::MediaEnded), "{event:#?}");
}

fn garbage(all: &[Seen]) -> usize {
    all.iter()
        .filter(|seen| matches!(seen, Seen::Garbage))
        .count()
}

/// Odd frames, a good one between each two.
fn frames(kinds: impl IntoIterator<Item = BadFrame>) -> BTreeMap<u64, BadFrame> {
    let places = (2..).step_by(2);
    places.zip(kinds).collect()
}

async fn garbage_on_the_socket_is_told_and_the_call_goes_on(carrier: Kind) {
    let faults = CallFaults {
        bad_frames: frames([
            BadFrame::HalfJson,
            BadFrame::BadBase64,
            BadFrame::WrongStream,
            BadFrame::Binary,
        ]),
        ..CallFaults::default()
    };
    let all = goes_well(&mut World::with(carrier, faults).await).await;
    // Asterisk's messages of audio are binary anyway.
    let told = if carrier == Kind::SipTrunk { 3 } else { 4 };
    assert_eq!(garbage(&all), told, "{all:#?}");
}

async fn an_unknown_message_on_the_socket_is_passed_over(carrier: Kind) {
    let faults = CallFaults {
        bad_frames: frames([
            BadFrame::UnknownEvent,
            BadFrame::Empty,
            BadFrame::Huge,
            BadFrame::Missing,
            BadFrame::Doubled,
            BadFrame::Restarted,
        ]),
        ..CallFaults::default()
    };
    let all = goes_well(&mut World::with(carrier, faults).await).await;
    assert_eq!(garbage(&all), 0, "{all:#?}");
}

async fn audio_late_and_in_bursts_is_taken_in_order(carrier: Kind) {
    let faults = CallFaults {
        jitter_ms: 200,
        bursts_ms: 300,
        seed: 7,
        ..CallFaults::default()
    };
    let mut world = World::with(carrier, faults).await;
    let all = goes_well(&mut world).await;
    assert_eq!(garbage(&all), 0, "{all:#?}");
    assert!(world.heard().is_sorted(), "{:?}", world.heard());
}

async fn audio_behind_the_stop_is_taken(carrier: Kind) {
    let faults = CallFaults {
        media_after_stop: true,
        ..CallFaults::default()
    };
    let mut world = World::with(carrier, faults).await;
    let mut all = goes_well(&mut world).await;
    if !all.iter().any(|seen| matches!(seen, Seen::Gone)) {
        all.extend(world.until(|seen| matches!(seen, Seen::Gone)).await);
    }
    let stops = all
        .iter()
        .filter(|seen| matches!(seen, Seen::Media(MediaEvent::Stop)));
    assert_eq!((stops.count(), garbage(&all)), (1, 0), "{all:#?}");
}

async fn late_marks_are_those_that_were_sent(carrier: Kind) {
    let faults = CallFaults {
        late_echo_ms: 400,
        reversed_echo: true,
        echo_twice: true,
        ..CallFaults::default()
    };
    let all = goes_well(&mut World::with(carrier, faults).await).await;
    let marks = all.iter().filter(|seen| is_mark(seen, "1:0"));
    assert_eq!(marks.count(), 2, "{all:#?}");
}

async fn a_hang_up_before_the_start_is_a_call_without_one(carrier: Kind) {
    let faults = CallFaults {
        hang_up_in_upgrade: true,
        ..CallFaults::default()
    };
    let mut world = World::with(carrier, faults).await;
    world.dial().await;
    let all = world.until_over().await;
    assert!(
        !all.iter()
            .any(|seen| matches!(seen, Seen::Media(_) | Seen::Resume | Seen::Refused)),
        "{all:#?}"
    );
    ended(&all);
}

async fn fields_and_words_that_nobody_knows_change_nothing(carrier: Kind) {
    let faults = CallFaults {
        strange_status: true,
        ..CallFaults::default()
    };
    let all = goes_well(&mut World::with(carrier, faults).await).await;
    let events = all.iter().filter_map(|seen| match seen {
        Seen::Status(event) => Some(event),
        _ => None,
    });
    for event in events {
        let is_kept = event.raw.iter().any(|(name, _)| name == "Weather");
        assert!(is_kept, "{event:#?}");
        let is_strange = event.raw.iter().any(|(_, value)| value == "teleported");
        let changes = event.change.is_some() || event.hangup.is_some();
        assert!(!(is_strange && changes), "{event:#?}");
    }
}

async fn webhooks_by_get_are_read(carrier: Kind) {
    let faults = CallFaults {
        get_webhooks: true,
        ..CallFaults::default()
    };
    goes_well(&mut World::with(carrier, faults).await).await;
}

async fn webhooks_by_http_1_0_are_read(carrier: Kind) {
    let faults = CallFaults {
        http_1_0: true,
        ..CallFaults::default()
    };
    goes_well(&mut World::with(carrier, faults).await).await;
}

async fn webhooks_that_wait_for_a_continue_are_read(carrier: Kind) {
    let faults = CallFaults {
        expect_continue: true,
        ..CallFaults::default()
    };
    goes_well(&mut World::with(carrier, faults).await).await;
}

async fn who_answered_is_told(carrier: Kind) {
    use AnsweredBy::{
        Fax, Human, MachineEndBeep, MachineEndOther, MachineEndSilence, MachineStart, Unknown,
    };
    let machines = [
        MachineStart,
        MachineEndBeep,
        MachineEndSilence,
        MachineEndOther,
    ];
    for by in machines.into_iter().chain([Human, Fax, Unknown]) {
        let mut world = World::start(carrier).await;
        let script = CallerScript {
            answered_by: Some(by),
            ..CallerScript::default()
        };
        world.fake.script(TO, script);
        let execution = ExecutionId::new();
        let url = |kind| world.server.url(kind, execution, 1);
        let (answer, status) = (url(CallbackKind::Answer), url(CallbackKind::Status));
        let mut dial = dial(&world.account, answer, status);
        dial.machine_url = Some(url(CallbackKind::AnsweredBy));
        let Dialled::Accepted(id) = world.account.carrier.dial(&dial).await else {
            panic!("not dialled")
        };
        let caller = world.fake.dialled(TO).await.unwrap();
        let is_machine = machines.contains(&by);
        // One tells of all, the others of machines only.
        let expected = match (carrier, is_machine) {
            (Kind::Twilio, _) => Some(is_machine || by == Fax),
            (_, true) => Some(true),
            (_, false) => None,
        };
        let told = |seen: &Seen| matches!(seen, Seen::AnsweredBy(_));
        match expected {
            Some(expected) => {
                let all = world.until(told).await;
                let Some(Seen::AnsweredBy(found)) = all.last() else {
                    panic!("{all:#?}")
                };
                assert_eq!(
                    (&found.call_id, found.is_machine),
                    (&id, expected),
                    "{by:?}"
                );
            }
            None => {
                caller.hears("hello there").await.unwrap();
                caller.hangs_up().await.unwrap();
                let all = world.until_over().await;
                assert!(!all.iter().any(told), "{all:#?}");
            }
        }
    }
}
