//! Carriers that do what they do in another way than mostly: signed, tried, opened and confirmed otherwise, they are
//! as good as ever.

use bolo_simulator::{
    caller::CallerScript,
    carrier::{CallFaults, Kind, Signing, WebhookEntry},
};
use rstest::rstest;

use crate::{
    calls::{barge_in, orders},
    carrier_faults::converse,
    support::{Database, World, agent},
};

/// Every webhook that got through was taken.
fn all_taken(world: &World) -> Vec<WebhookEntry> {
    let hooks = world.fakes.carrier.ledger().webhooks();
    let refused = hooks.iter().find(|hook| hook.status != Some(200));
    assert_eq!(refused, None);
    hooks
}

#[rstest]
#[case::twilio_port(Kind::Twilio, Signing::OtherPort)]
#[case::twilio_scheme(Kind::Twilio, Signing::OtherScheme)]
#[case::twilio_slash(Kind::Twilio, Signing::LongerPath)]
#[case::plivo_scheme(Kind::Plivo, Signing::OtherScheme)]
#[case::plivo_path(Kind::Plivo, Signing::LongerPath)]
#[case::plivo_rotated(Kind::Plivo, Signing::Rotated)]
#[case::plivo_main_account(Kind::Plivo, Signing::MainAccount)]
#[case::vobiz_scheme(Kind::Vobiz, Signing::OtherScheme)]
#[case::vobiz_rotated(Kind::Vobiz, Signing::Rotated)]
#[case::vobiz_main_account(Kind::Vobiz, Signing::MainAccount)]
#[tokio::test]
async fn requests_signed_in_another_way_are_the_carriers(
    #[case] carrier: Kind,
    #[case] signing: Signing,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        signing,
        ..CallFaults::default()
    };
    converse(&world, faults).await;
    all_taken(&world);
    world.end(&[]).await;
}

/// Asterisk's `CURL` tries once.
#[rstest]
#[tokio::test]
async fn webhooks_that_need_a_second_try_are_in_time(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let lost = ["answer", "status"].map(|what| (what.to_owned(), 1));
    let faults = CallFaults {
        lost_tries: lost.into(),
        ..CallFaults::default()
    };
    converse(&world, faults).await;
    let hooks = all_taken(&world);
    let tries = |what: &str| {
        let of_kind = hooks.iter().filter(|hook| hook.what == what);
        of_kind.map(|hook| hook.tries).collect::<Vec<_>>()
    };
    for what in ["answer", "status"] {
        let tries = tries(what);
        assert!(
            !tries.is_empty() && tries.iter().all(|tries| *tries == 2),
            "{hooks:#?}"
        );
    }
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn a_carrier_that_gives_up_asks_elsewhere_and_tells_nothing(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let lost = ["answer", "status"].map(|what| (what.to_owned(), u32::MAX));
    let faults = CallFaults {
        lost_tries: lost.into(),
        ..CallFaults::default()
    };
    converse(&world, faults).await;
    let hooks = world.fakes.carrier.ledger().webhooks();
    let tried = |what: &str, status| {
        hooks
            .iter()
            .any(|hook| hook.what == what && hook.status == status)
    };
    assert!(
        tried("answer", None) && tried("status", None) && tried("fallback", Some(200)),
        "{hooks:#?}"
    );
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn a_call_that_did_not_ring_and_whose_media_is_late_is_held(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        no_ringing: true,
        late_upgrade_ms: 5000,
        ..CallFaults::default()
    };
    converse(&world, faults).await;
    world.end(&[]).await;
}

/// More than any carrier tries at once: the next document asks again.
#[rstest]
#[tokio::test]
async fn a_socket_that_opens_at_the_fourth_try_is_the_calls(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        lost_upgrades: 3,
        ..CallFaults::default()
    };
    converse(&world, faults).await;
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn marks_that_come_back_from_a_clear_were_not_heard(
    #[values(Kind::Plivo, Kind::Vobiz, Kind::SipTrunk)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    orders(&world);
    let faults = CallFaults {
        echo_after_clear: true,
        ..CallFaults::default()
    };
    let script = CallerScript::default().with_faults(faults);
    let (execution, call) = world.dial(&agent(), script).await;
    let record = barge_in(&world, &execution, &call).await;
    let transcript = record["transcript"].as_str().unwrap();
    assert!(
        transcript.ends_with("user: no wait please\nassistant: All right.")
            && !transcript.contains("promised"),
        "{transcript}"
    );
    world.end(&[]).await;
}

/// The server never has so much under way that it would be dropped, and hears of what is.
#[rstest]
#[tokio::test]
async fn a_carrier_with_little_room_drops_nothing(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let faults = CallFaults {
        buffer_ms: Some(1100),
        ..CallFaults::default()
    };
    converse(&world, faults).await;
    let call = &world.fakes.carrier.calls()[0];
    assert_eq!(call.warnings(), [""; 0]);
    let hooks = all_taken(&world);
    let degraded = |hook: &WebhookEntry| hook.field("Event") == Some("DegradedStream");
    let is_told = matches!(carrier, Kind::Plivo | Kind::Vobiz);
    assert_eq!(hooks.iter().any(degraded), is_told, "{hooks:#?}");
    world.end(&[]).await;
}
