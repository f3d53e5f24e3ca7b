//! Whole calls without faults.

use super::server::*;
use crate::{
    caller::{CallerScript, Event, Line, Outcome, Step},
    carrier::{FakeCarrier, Options},
    g711, tone,
};

fn pairs(words: &[&str]) -> Vec<(String, String)> {
    words
        .iter()
        .enumerate()
        .map(|(n, word)| ((*word).to_owned(), n.to_string()))
        .collect()
}

async fn told(twilio: &FakeCarrier, count: usize) {
    let enough = |ledger: &crate::carrier::Ledger| {
        let statuses = ledger
            .webhooks()
            .iter()
            .filter(|hook| hook.what == "status")
            .count();
        (statuses >= count).then_some(())
    };
    twilio.ledger_shows(enough).await.unwrap();
}

#[tokio::test]
async fn an_outbound_call_from_dial_to_hang_up() {
    let (twilio, server) = pair(Options::default()).await;
    let (status, dialled) = server.dial(&twilio, &[]).await;
    assert_eq!((status, &dialled["status"]), (201, &"queued".into()));
    let call = twilio.dialled(NUMBER).await.unwrap();
    assert_eq!(dialled["sid"], call.id());
    assert_eq!(call.execution().as_deref(), Some(EXECUTION));

    server
        .say
        .send(Say::Line("Your order ships on Monday."))
        .await
        .unwrap();
    server.say.send(Say::Mark("1:1")).await.unwrap();
    call.hears("your order ships").await.unwrap();
    call.starts_saying("no wait").await.unwrap();
    server.say.send(Say::Clear).await.unwrap();
    call.sees_clear().await.unwrap();
    call.agent_stopped().await.unwrap();
    server.say.send(Say::Line("All right.")).await.unwrap();
    call.hears("all right").await.unwrap();
    call.presses("5#").await.unwrap();
    assert_eq!(call.hangs_up().await.unwrap(), "completed");

    told(&twilio, 4).await;
    assert_eq!(
        server.statuses(),
        pairs(&["initiated", "ringing", "in-progress", "completed"])
    );
    let heard = call.heard_text();
    assert!(
        heard.starts_with("Your order ships") && heard.ends_with("All right."),
        "{heard}"
    );
    assert!(
        !heard.contains("Monday"),
        "what was cleared is not heard: {heard}"
    );
    let echoed = call.timeline().into_iter().any(|timed| {
        timed.event
            == Event::MarkEchoed {
                name: "1:1".into(),
                cleared: true,
            }
    });
    assert!(echoed, "{}", call.log());
    assert_eq!(twilio.ledger().duplicates(), 0);
    assert_eq!(call.warnings(), [""; 0]);

    let (_, fetched) = request(&twilio, "GET", &format!("/Calls/{}.json", call.id()), &[]).await;
    assert_eq!(
        (&fetched["status"], &fetched["direction"]),
        (&"completed".into(), &"outbound-api".into())
    );
    assert!(
        fetched["duration"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
}

#[tokio::test]
async fn the_media_socket_speaks_as_the_carrier_does() {
    let (twilio, server) = pair(Options::default()).await;
    server.dial(&twilio, &[]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    call.media_opened().await.unwrap();
    call.says(Line::Tone("Hello there.".into())).await.unwrap();
    call.presses("1").await.unwrap();
    call.hangs_up().await.unwrap();
    twilio
        .ledger_shows(|ledger| ledger.webhooks_of(call.id(), "stream").get(1).cloned())
        .await
        .unwrap();

    let messages = std::mem::take(&mut server.seen.lock().unwrap().messages);
    assert_eq!(messages[0]["event"], "connected");
    assert_eq!(messages[1]["start"]["customParameters"]["eid"], "7f1c");
    assert_eq!(messages.last().unwrap()["event"], "stop");
    for (n, message) in messages.iter().enumerate().skip(1) {
        assert_eq!(message["sequenceNumber"], n.to_string());
    }
    let media: Vec<_> = messages
        .iter()
        .filter(|message| message["event"] == "media")
        .collect();
    let mut decoder = tone::Decoder::default();
    let mut transcript = tone::Transcript::default();
    for (n, message) in media.iter().enumerate() {
        assert_eq!(message["media"]["chunk"], (n + 1).to_string());
        assert_eq!(message["media"]["timestamp"], (n * 20).to_string());
        let payload = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            message["media"]["payload"].as_str().unwrap(),
        )
        .unwrap();
        assert_eq!(payload.len(), g711::FRAME);
        if let Some(note) = decoder.frame(&payload) {
            transcript.add(&note);
        }
    }
    assert_eq!(transcript.text(), "Hello there.");
}

#[tokio::test]
async fn marks_are_echoed_when_reached_and_the_recording_holds_both_sides() {
    let (twilio, server) = pair(Options::default()).await;
    server.dial(&twilio, &[]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    call.media_opened().await.unwrap();
    server.say.send(Say::Mark("now")).await.unwrap();
    let audio = tone::speak("Hi you.");
    server.say.send(Say::Audio(audio.clone())).await.unwrap();
    server.say.send(Say::Mark("later")).await.unwrap();
    let at = |name: &'static str| {
        move |events: &[crate::caller::Timed]| {
            let is = |event: &Event| matches!(event, Event::MarkEchoed { name: own, cleared: false } if own == name);
            events
                .iter()
                .find(|timed| is(&timed.event))
                .map(|timed| timed.at_us)
        }
    };
    let now = call.waits_for("mark now", at("now")).await.unwrap();
    let later = call.waits_for("mark later", at("later")).await.unwrap();
    assert!(later - now >= g711::ms(audio.len()) * 1000, "{now} {later}");
    call.says("Yes.").await.unwrap();
    call.hangs_up().await.unwrap();
    let [caller, agent] = call.recording();
    assert_eq!(caller.len(), agent.len());
    assert!(agent.windows(audio.len()).any(|heard| heard == audio));
    let said = tone::speak("Yes.");
    assert!(caller.windows(said.len()).any(|heard| heard == said));
    let file = tempfile::NamedTempFile::new().unwrap();
    call.write_recording(file.path()).unwrap();
    assert_eq!(crate::wav::read(file.path()).unwrap().len(), caller.len());
}

#[tokio::test]
async fn an_inbound_call_and_a_script_that_hangs_up() {
    let (twilio, server) = pair(Options::default()).await;
    let voice = format!("{}/inbound/{EXECUTION}?agent_id=1", server.url);
    twilio.set_voice_url(
        OWN,
        &voice,
        Some(&format!("{}/status/{EXECUTION}", server.url)),
    );
    let script = CallerScript::new([
        Step::WaitForAgent { silence_ms: 200 },
        Step::Say("Thank you, goodbye.".into()),
    ]);
    let call = twilio
        .call_in("+919876543210", OWN, script.then_hang_up())
        .unwrap();
    server.say.send(Say::Line("Hello.")).await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    told(&twilio, 1).await;
    assert_eq!(
        server.statuses(),
        [("completed".to_owned(), "0".to_owned())]
    );
    let hooks = twilio.ledger().webhooks_of(call.id(), "inbound");
    assert_eq!(hooks[0].field("CallStatus"), Some("ringing"));
    assert_eq!(hooks[0].field("Direction"), Some("inbound"));
    assert_eq!(hooks[0].url, voice);
    let events = call.timeline();
    let has = |event: Event| events.iter().any(|timed| timed.event == event);
    assert!(
        has(Event::CallerStopped {
            line: "Thank you, goodbye.".into()
        }),
        "{}",
        call.log()
    );
}

#[tokio::test]
async fn a_phone_that_does_not_get_through() {
    for (outcome, status, sip, told_of) in [
        (Outcome::Busy, "busy", "486", 3),
        (Outcome::Reject, "busy", "603", 3),
        (Outcome::NoAnswer, "no-answer", "487", 3),
        (Outcome::Invalid, "failed", "404", 2),
        (Outcome::Congestion, "failed", "503", 2),
    ] {
        let (twilio, server) = pair(Options::default()).await;
        twilio.script(NUMBER, CallerScript::fails(outcome));
        server.dial(&twilio, &[]).await;
        let call = twilio.dialled(NUMBER).await.unwrap();
        assert_eq!(call.ended().await.unwrap(), status, "{outcome:?}");
        told(&twilio, told_of).await;
        let hooks = twilio.ledger().webhooks_of(call.id(), "status");
        let last = hooks.last().unwrap();
        assert_eq!(last.field("CallStatus"), Some(status));
        assert_eq!(last.field("SipResponseCode"), Some(sip));
        assert_eq!(last.field("CallDuration"), None);
        assert!(!server.hooks().contains(&"answer".to_owned()));
    }
}

#[tokio::test]
async fn a_server_that_closes_is_asked_to_resume() {
    for say in [Say::Close, Say::Vanish] {
        let (twilio, server) = pair(Options::default()).await;
        server.dial(&twilio, &[]).await;
        let call = twilio.dialled(NUMBER).await.unwrap();
        call.media_opened().await.unwrap();
        server.say.send(say).await.unwrap();
        assert_eq!(
            call.ended().await.unwrap(),
            "completed",
            "resume answers Hangup"
        );
        let resumes = twilio.ledger().webhooks_of(call.id(), "redirect");
        assert!(resumes[0].url.ends_with("?n=1&k=2"));
        assert_eq!(resumes[0].status, Some(200));
    }
}

#[tokio::test]
async fn a_dropped_socket_is_attached_again() {
    for reset in [true, false] {
        let (twilio, server) = pair(Options::default()).await;
        let again = server.seen.lock().unwrap().documents[0].clone();
        server
            .seen
            .lock()
            .unwrap()
            .documents
            .push_back(again.clone());
        server.seen.lock().unwrap().documents.push_back(again);
        server.dial(&twilio, &[]).await;
        let call = twilio.dialled(NUMBER).await.unwrap();
        call.media_opened().await.unwrap();
        call.drops_socket(reset).await.unwrap();
        call.media_opened().await.unwrap();
        assert!(!server.events().contains(&"stop".to_owned()));
        server.say.send(Say::Line("Still here?")).await.unwrap();
        call.hears("still here").await.unwrap();
        call.hangs_up().await.unwrap();
    }
}

#[tokio::test]
async fn rest_ends_and_redirects_calls() {
    let (twilio, server) = pair(Options::default()).await;
    let script = CallerScript {
        ring_ms: 60_000,
        ..CallerScript::default()
    };
    twilio.script(NUMBER, script);
    server.dial(&twilio, &[]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    call.reaches("ringing").await.unwrap();
    let path = format!("/Calls/{}.json", call.id());
    let (status, body) = request(&twilio, "POST", &path, &[("Status", "completed")]).await;
    assert_eq!((status, &body["status"]), (200, &"canceled".into()));
    assert_eq!(call.ended().await.unwrap(), "canceled");
    let (status, body) = request(&twilio, "POST", &path, &[("Status", "completed")]).await;
    assert_eq!((status, &body["code"]), (400, &21220.into()));

    twilio.script(NUMBER, CallerScript::default());
    server.dial(&twilio, &[]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    call.media_opened().await.unwrap();
    let path = format!("/Calls/{}.json", call.id());
    let twiml = "<Response><Say>Moving on.</Say><Hangup/></Response>";
    let (status, _) = request(&twilio, "POST", &path, &[("Twiml", twiml)]).await;
    assert_eq!(status, 200);
    call.media_closed().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    assert!(call.log().contains("CarrierSaid(\"Moving on.\")"));
    assert_eq!(twilio.ledger().updates(call.id()).len(), 1);
}

#[tokio::test]
async fn the_carrier_cuts_a_call_at_its_time_limit() {
    let (twilio, server) = pair(Options::default()).await;
    server.dial(&twilio, &[("TimeLimit", "1")]).await;
    let call = twilio.dialled(NUMBER).await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    assert!(server.events().contains(&"stop".to_owned()));
}
