//! What the carrier can be told to do wrong.

use super::server::*;
use crate::{
    caller::CallerScript,
    carrier::{BadFrame, CallFaults, DialFault, FakeCarrier, Ledger, Options, Signing},
};

async fn call_with(faults: CallFaults) -> (FakeCarrier, Server, crate::caller::CallHandle) {
    let (twilio, server) = pair(Options::default()).await;
    twilio.script(NUMBER, CallerScript::default().with_faults(faults));
    server.dial(&twilio, &[]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    (twilio, server, call)
}

async fn statuses(twilio: &FakeCarrier, server: &Server, count: usize) -> Vec<String> {
    let enough = |ledger: &Ledger| {
        let sent = ledger
            .webhooks()
            .iter()
            .filter(|hook| hook.what == "status")
            .count();
        (sent >= count).then_some(())
    };
    twilio.ledger_shows(enough).await.unwrap();
    server
        .statuses()
        .into_iter()
        .map(|(status, _)| status)
        .collect()
}

#[tokio::test]
async fn status_callbacks_are_lost_doubled_reversed_and_late() {
    let events = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    for (faults, told) in [
        (
            CallFaults {
                lost_status: events(&["ringing", "completed"]),
                ..CallFaults::default()
            },
            vec!["initiated", "in-progress"],
        ),
        (
            CallFaults {
                doubled_status: events(&["answered"]),
                ..CallFaults::default()
            },
            vec![
                "initiated",
                "ringing",
                "in-progress",
                "in-progress",
                "completed",
            ],
        ),
        (
            CallFaults {
                reversed_status: true,
                ..CallFaults::default()
            },
            vec!["ringing", "initiated", "completed", "in-progress"],
        ),
        (
            CallFaults {
                ringing_after_end: true,
                ..CallFaults::default()
            },
            vec![
                "initiated",
                "ringing",
                "in-progress",
                "completed",
                "ringing",
            ],
        ),
        (
            CallFaults {
                late_status: [("initiated".to_owned(), 500)].into(),
                ..CallFaults::default()
            },
            vec!["ringing", "in-progress", "completed", "initiated"],
        ),
    ] {
        let (twilio, server, call) = call_with(faults.clone()).await;
        call.media_opened().await.unwrap();
        call.hangs_up().await.unwrap();
        assert_eq!(
            statuses(&twilio, &server, told.len()).await,
            told,
            "{faults:?}"
        );
    }
}

#[tokio::test]
async fn the_answer_webhook_comes_twice() {
    let faults = CallFaults {
        duplicate_answer_ms: Some(10),
        ..CallFaults::default()
    };
    let (twilio, server, call) = call_with(faults).await;
    let twice =
        |ledger: &Ledger| (ledger.webhooks_of(call.id(), "answer").len() == 2).then_some(());
    twilio.ledger_shows(twice).await.unwrap();
    call.media_opened().await.unwrap();
    server.say.send(Say::Line("Hello.")).await.unwrap();
    call.hears("hello").await.unwrap();
    call.hangs_up().await.unwrap();
}

#[tokio::test]
async fn a_second_socket_takes_the_call_over() {
    let faults = CallFaults {
        duplicate_answer_ms: Some(200),
        duplicate_answer_runs: true,
        ..CallFaults::default()
    };
    let (_twilio, server, call) = call_with(faults).await;
    call.media_opened().await.unwrap();
    // The first socket holds the orders; it must go before the second one can speak.
    call.media_opened().await.unwrap();
    server.say.send(Say::Close).await.unwrap();
    server.say.send(Say::Line("Hello.")).await.unwrap();
    call.hears("hello").await.unwrap();
    call.hangs_up().await.unwrap();
}

#[tokio::test]
async fn bad_signatures_are_bad() {
    let faults = CallFaults {
        signing: Signing::Wrong,
        ..CallFaults::default()
    };
    let (twilio, server, call) = call_with(faults).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    statuses(&twilio, &server, 4).await;
    assert_eq!(server.hooks(), [""; 0]);
    assert_eq!(server.seen.lock().unwrap().bad_signatures, 5);
    assert!(
        call.warnings()[0].starts_with("11200"),
        "{:?}",
        call.warnings()
    );
}

#[tokio::test]
async fn dial_faults_place_or_do_not_place() {
    let (twilio, server) = pair(Options::default()).await;
    for (fault, status, placed) in [
        (DialFault::unauthorized(), Some(401), 0),
        (DialFault::too_many(3), Some(429), 0),
        (DialFault::bad_request(21211), Some(400), 0),
        (DialFault::ErrorBeforePlacing {}, Some(500), 0),
        (DialFault::ErrorAfterPlacing {}, Some(500), 1),
        (DialFault::TruncatedJson {}, Some(201), 1),
        (DialFault::SlowAnswer { ms: 20 }, Some(201), 1),
    ] {
        let before = twilio.ledger().placed();
        twilio.fail_next_dials([fault.clone()]);
        let (answered, body) = server.dial(&twilio, &[]).await;
        assert_eq!(Some(answered), status, "{fault:?}");
        assert_eq!(twilio.ledger().placed() - before, placed, "{fault:?}");
        if let DialFault::TruncatedJson {} = fault {
            assert!(body.is_null(), "no JSON can be read: {body}");
        }
    }
    assert_eq!(
        twilio.ledger().duplicates(),
        2,
        "three calls with one callback address"
    );
}

#[tokio::test]
async fn dial_connections_break() {
    let (twilio, server) = pair(Options::default()).await;
    for (fault, placed) in [
        (DialFault::ResetBeforePlacing {}, 0),
        (DialFault::ResetAfterPlacing {}, 1),
    ] {
        let before = twilio.ledger().placed();
        twilio.fail_dials_to(NUMBER, [fault]);
        let client = crate::http::client().unwrap();
        let url = format!(
            "{}/2010-04-01/Accounts/{}/Calls.json",
            twilio.base_url(),
            twilio.account()
        );
        let answer = format!("{}/answer/{EXECUTION}", server.url);
        let form = [("To", NUMBER), ("From", OWN), ("Url", &answer)];
        let request = client
            .post(url)
            .basic_auth(twilio.account(), Some(twilio.token()))
            .form(&form);
        let outcome = match request.send().await {
            Ok(response) => response.text().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err());
        assert_eq!(twilio.ledger().placed() - before, placed);
    }
}

#[tokio::test]
async fn bad_frames_stand_between_good_ones() {
    let bad = [
        (2, BadFrame::HalfJson),
        (3, BadFrame::Missing),
        (4, BadFrame::Doubled),
        (5, BadFrame::UnknownEvent),
    ];
    let faults = CallFaults {
        bad_frames: bad.into(),
        ..CallFaults::default()
    };
    let (_twilio, server, call) = call_with(faults).await;
    call.media_opened().await.unwrap();
    call.says("Yes.").await.unwrap();
    call.hangs_up().await.unwrap();
    let seen = server.seen.lock().unwrap();
    let chunks: Vec<&str> = seen
        .messages
        .iter()
        .filter_map(|message| message["media"]["chunk"].as_str())
        .collect();
    // Chunk 2 was no JSON, 3 never sent, 4 sent twice, 5 under another event's name.
    assert_eq!(chunks[..4], ["1", "4", "4", "5"]);
    assert!(
        seen.messages
            .iter()
            .any(|message| message["event"] == "weather")
    );
}

#[tokio::test]
async fn a_call_without_media_stop_or_echo() {
    let faults = CallFaults {
        no_stop: true,
        never_echo: true,
        ..CallFaults::default()
    };
    let (_twilio, server, call) = call_with(faults).await;
    call.media_opened().await.unwrap();
    server.say.send(Say::Mark("m")).await.unwrap();
    server.say.send(Say::Line("Hello.")).await.unwrap();
    call.hears("hello").await.unwrap();
    call.hangs_up().await.unwrap();
    assert_eq!(server.events(), ["connected", "start", "media"]);

    let faults = CallFaults {
        no_media: true,
        ..CallFaults::default()
    };
    let (_twilio, server, call) = call_with(faults).await;
    call.says("Anyone?").await.unwrap();
    call.hangs_up().await.unwrap();
    assert_eq!(server.events(), [""; 0]);

    let faults = CallFaults {
        hang_up_at_answer: true,
        ..CallFaults::default()
    };
    let (_twilio, server, call) = call_with(faults).await;
    assert_eq!(call.ended().await.unwrap(), "completed");
    assert_eq!(server.events(), [""; 0]);
}

#[tokio::test]
async fn what_the_server_does_wrong_is_warned_of() {
    let (_twilio, server, call) = call_with(CallFaults::default()).await;
    call.media_opened().await.unwrap();
    server
        .say
        .send(Say::Raw("{\"event\":\"sing\"}".into()))
        .await
        .unwrap();
    server.say.send(Say::Raw("{".into())).await.unwrap();
    call.media_closed().await.unwrap();
    assert_eq!(
        call.ended().await.unwrap(),
        "completed",
        "the document goes on"
    );
    let warnings = call.warnings();
    assert!(
        warnings[0].starts_with("31951") && warnings[1].starts_with("31924"),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn failing_webhooks_fall_back_or_end_the_call() {
    let (twilio, server) = pair(Options::default()).await;
    let fallback = format!("{}/fallback/{EXECUTION}", server.url);
    server.seen.lock().unwrap().failures.push_back(500);
    server.dial(&twilio, &[("FallbackUrl", &fallback)]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    call.media_opened().await.unwrap();
    let hooks = twilio.ledger().webhooks_of(call.id(), "fallback");
    assert_eq!(hooks[0].field("ErrorCode"), Some("11200"));
    call.hangs_up().await.unwrap();

    server.seen.lock().unwrap().failures.extend([503, 503]);
    let url = format!("{}/answer/{EXECUTION}#rc=1&rp=5xx", server.url);
    server.dial(&twilio, &[("Url", &url)]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let hooks = twilio.ledger().webhooks_of(call.id(), "answer");
    assert_eq!((hooks[0].tries, hooks[0].status), (2, Some(503)));
    assert!(!hooks[0].url.contains('#'));
}
