//! What carriers call, for outbound calls: two gates, any order, doubled, late, and to calls that are over.

use axum::body::Body;
use bolo_execution::{Change, ExecutionId, Hangup, HangupBy};
use bolo_store::{Command, Facts};
use bolo_telephony::CallbackKind::{Answer, Resume, Status, Stream};

use crate::{
    bolo::{Bolo, PUBLIC, Reply, now},
    twilio::{self, form},
};

async fn status(bolo: &Bolo, id: ExecutionId, call: &str, word: &str, more: &[(&str, &str)]) {
    let reply = bolo
        .twilio_posts(&bolo.callback(Status, id), &form(call, word, more))
        .await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
}

async fn answer(bolo: &Bolo, id: ExecutionId, call: &str) -> Reply {
    bolo.twilio_posts(&bolo.callback(Answer, id), &form(call, "in-progress", &[]))
        .await
}

fn streams(reply: &Reply) -> bool {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("content-type").contains("xml"));
    reply.text().contains("<Connect><Stream")
}

fn hangs_up(reply: &Reply) -> bool {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().contains("<Response><Hangup />")
}

#[tokio::test]
async fn an_answered_call_gets_a_document_with_socket_and_resume() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    let reply = answer(&bolo, id, "CA1").await;
    assert!(streams(&reply));
    let text = reply.text();
    for part in [
        format!("wss://bolo.example.com/media/twilio/{id}/1/"),
        format!("{PUBLIC}/telephony/twilio/resume/{id}/1/"),
        format!("{PUBLIC}/telephony/twilio/stream/{id}/1/"),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
    assert_eq!(bolo.status(id).await, "in-progress");
    // Twilio may ask twice: the same document, nothing else happens.
    assert_eq!(answer(&bolo, id, "CA1").await.text(), text);
    let record = bolo.record(id).await;
    assert_eq!(
        (record.carrier_call_id.as_deref(), record.attempt),
        (Some("CA1"), 1)
    );
}

#[tokio::test]
async fn a_wrong_mac_is_404_and_a_wrong_signature_403() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let id = bolo.dialled(agent, "CA1").await;
    let fields = form("CA1", "in-progress", &[]);
    let path = bolo.callback(Answer, id);
    let (front, mac) = path.rsplit_once('/').unwrap();
    let other = bolo.callback(Answer, bolo.dialled(agent, "CA2").await);
    for bad in [
        format!("{front}/0000000000000000"),
        format!("{front}/{}", other.rsplit('/').next().unwrap()),
        format!("/telephony/plivo/answer/{id}/1/{mac}"),
        format!("/telephony/twilio/answer/{id}/2/{mac}"),
        format!("/telephony/twilio/answer/{}/1/{mac}", ExecutionId::new()),
        format!("/telephony/twilio/answer/x/1/{mac}"),
        format!("/telephony/twilio/answer/{id}/x/{mac}"),
    ] {
        bolo.twilio_posts(&bad, &fields).await.error(404);
    }
    bolo.send(twilio::post(&path, &fields, None))
        .await
        .error(403);
    bolo.send(twilio::post(
        &path,
        &fields,
        Some("bm9ub25vbm9ub25vbm9ub25vbm8="),
    ))
    .await
    .error(403);
    let signature = twilio::signature(&format!("{PUBLIC}{path}"), &fields);
    let forged = form("CA1", "completed", &[]);
    bolo.send(twilio::post(&path, &forged, Some(&signature)))
        .await
        .error(403);
    assert_eq!(bolo.status(id).await, "initiated");
    bolo.send(twilio::post(&path, &fields, Some(&signature)))
        .await;
    assert_eq!(bolo.status(id).await, "in-progress");
}

#[tokio::test]
async fn signatures_can_be_switched_off_but_the_mac_can_not() {
    let bolo = Bolo::start_with(|settings| settings.verify_signatures = false).await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    let fields = form("CA1", "in-progress", &[]);
    assert!(streams(
        &bolo
            .send(twilio::post(&bolo.callback(Answer, id), &fields, None))
            .await
    ));
    let wrong = format!("/telephony/twilio/answer/{id}/1/0000000000000000");
    bolo.send(twilio::post(&wrong, &fields, None))
        .await
        .error(404);
}

#[tokio::test]
async fn a_callback_by_get_is_signed_over_its_query() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    let path = format!(
        "{}?CallSid=CA1&CallStatus=in-progress&To=%2B10123456789",
        bolo.callback(Answer, id)
    );
    let request = axum::http::Request::get(&path).header(
        "x-twilio-signature",
        twilio::signature(&format!("{PUBLIC}{path}"), &[]),
    );
    assert!(streams(
        &bolo.send(request.body(Body::empty()).unwrap()).await
    ));
}

#[tokio::test]
async fn statuses_in_any_order_lead_to_the_same_end() {
    for order in [
        vec!["initiated", "ringing", "in-progress"],
        vec!["ringing", "initiated", "in-progress"],
        vec!["in-progress", "ringing", "initiated"],
        vec!["in-progress", "in-progress", "ringing"],
    ] {
        let bolo = Bolo::start().await;
        let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
        for (sequence, word) in order.iter().enumerate() {
            status(
                &bolo,
                id,
                "CA1",
                word,
                &[("SequenceNumber", &sequence.to_string())],
            )
            .await;
        }
        assert_eq!(bolo.status(id).await, "in-progress", "{order:?}");
    }
}

#[tokio::test]
async fn an_end_without_an_answer_is_final_whatever_comes_later() {
    for (word, sip, wanted, code) in [
        ("busy", "486", "busy", 3010),
        ("no-answer", "487", "no-answer", 3000),
        ("failed", "404", "failed", 2000),
        ("canceled", "487", "canceled", 4000),
    ] {
        let bolo = Bolo::start().await;
        let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
        status(
            &bolo,
            id,
            "CA1",
            word,
            &[("SequenceNumber", "3"), ("SipResponseCode", sip)],
        )
        .await;
        status(&bolo, id, "CA1", "ringing", &[("SequenceNumber", "1")]).await;
        let record = bolo.record(id).await;
        assert_eq!(record.status.to_string(), wanted);
        assert_eq!(record.hangup.unwrap().code, code, "{word}");
        assert_eq!(record.error_message.is_some(), word == "failed");
    }
}

#[tokio::test]
async fn the_first_callback_settles_a_dial_of_unknown_outcome() {
    for kind in [Status, Answer] {
        let bolo = Bolo::start().await;
        let id = bolo.dialling(bolo.new_agent().await).await;
        match kind {
            Status => status(&bolo, id, "CA5", "initiated", &[("SequenceNumber", "0")]).await,
            _ => assert!(streams(&answer(&bolo, id, "CA5").await)),
        }
        let record = bolo.record(id).await;
        assert_eq!(record.carrier_call_id.as_deref(), Some("CA5"));
        assert_eq!(
            record.status.to_string(),
            if kind == Status {
                "initiated"
            } else {
                "in-progress"
            }
        );
        assert!(
            bolo.app
                .store
                .unsettled_dials(i64::MAX)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn the_end_of_a_live_call_goes_to_whoever_runs_it() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    answer(&bolo, id, "CA1").await;
    let mut commands = bolo.app.store.signals().register(id);
    status(
        &bolo,
        id,
        "CA1",
        "completed",
        &[("SequenceNumber", "3"), ("CallDuration", "49")],
    )
    .await;
    assert_eq!(commands.recv().await, Some(Command::CarrierEnded(None)));
    assert_eq!(bolo.status(id).await, "in-progress");
    assert!(bolo.record(id).await.hangup.is_none());
}

#[tokio::test]
async fn the_end_of_a_call_that_no_node_runs_is_written_down() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    answer(&bolo, id, "CA1").await;
    let store = &bolo.app.store;
    store.own_call(id, bolo_store::now()).await.unwrap();
    for _ in 0..2 {
        status(
            &bolo,
            id,
            "CA1",
            "completed",
            &[("SequenceNumber", "3"), ("CallDuration", "49")],
        )
        .await;
    }
    let record = bolo.record(id).await;
    assert_eq!(record.status.to_string(), "call-disconnected");
    assert_eq!(record.hangup.unwrap().code, 4000);
}

/// A media stream's end says no more than that the far end went.
#[tokio::test]
async fn why_the_carrier_ended_a_call_is_written_over_that_it_ended() {
    for is_complete in [false, true] {
        let bolo = Bolo::start().await;
        let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
        answer(&bolo, id, "CA1").await;
        let store = &bolo.app.store;
        store.own_call(id, bolo_store::now()).await.unwrap();
        let change = async |change, facts| store.change(id, change, facts, now()).await.unwrap();
        let far_end = Hangup {
            by: HangupBy::Callee,
            reason: "Call recipient hung up".into(),
            code: 4000,
        };
        let facts = Facts {
            hangup: Some(far_end.clone()),
            ..Facts::default()
        };
        change(Change::MediaEnded, facts).await;
        if is_complete {
            change(Change::Recorded, Facts::default()).await;
        }
        status(&bolo, id, "CA1", "completed", &[("CallDuration", "49")]).await;
        assert_eq!(bolo.record(id).await.hangup, Some(far_end));
        for sip in ["503", "404"] {
            let fields = [("CallDuration", "49"), ("SipResponseCode", sip)];
            status(&bolo, id, "CA1", "failed", &fields).await;
            // The first reason stays.
            assert_eq!(bolo.record(id).await.hangup.unwrap().code, 3090);
        }
    }
}

#[tokio::test]
async fn the_end_of_a_call_whose_media_never_came_says_so() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    answer(&bolo, id, "CA1").await;
    let fields = [("SequenceNumber", "3"), ("CallDuration", "49")];
    status(&bolo, id, "CA1", "completed", &fields).await;
    let hangup = bolo.record(id).await.hangup.unwrap();
    let told = (hangup.reason.as_str(), hangup.code);
    assert_eq!(told, ("Carrier unable to reach bolna", 7011));
}

#[tokio::test]
async fn a_call_that_was_connected_but_never_asked_for_media_is_an_error() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    status(
        &bolo,
        id,
        "CA1",
        "completed",
        &[("SequenceNumber", "3"), ("CallDuration", "7")],
    )
    .await;
    let record = bolo.record(id).await;
    assert_eq!(
        (
            record.status.to_string().as_str(),
            record.hangup.unwrap().code
        ),
        ("error", 7011)
    );
}

#[tokio::test]
async fn a_stopped_call_that_is_answered_after_all_is_hung_up() {
    let bolo = Bolo::start().await;
    let id = bolo.dialling(bolo.new_agent().await).await;
    bolo.post_empty(&format!("/call/{id}/stop")).await.ok();
    assert!(hangs_up(&answer(&bolo, id, "CA1").await));
    bolo.twilio.hung_up("CA1").await;
    assert_eq!(bolo.status(id).await, "stopped");
}

#[tokio::test]
async fn a_stopped_call_that_rings_is_hung_up_and_its_end_changes_nothing() {
    let bolo = Bolo::start().await;
    let id = bolo.dialling(bolo.new_agent().await).await;
    bolo.post_empty(&format!("/call/{id}/stop")).await.ok();
    status(&bolo, id, "CA1", "ringing", &[("SequenceNumber", "1")]).await;
    bolo.twilio.hung_up("CA1").await;
    status(&bolo, id, "CA1", "canceled", &[("SequenceNumber", "2")]).await;
    assert_eq!(bolo.status(id).await, "stopped");
    assert_eq!(bolo.twilio.ended(), ["CA1"]);
}

#[tokio::test]
async fn a_second_call_of_one_dial_is_hung_up() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    assert!(hangs_up(&answer(&bolo, id, "CA2").await));
    bolo.twilio.hung_up("CA2").await;
    assert!(streams(&answer(&bolo, id, "CA1").await));
    assert_eq!(
        bolo.record(id).await.carrier_call_id.as_deref(),
        Some("CA1")
    );
}

#[tokio::test]
async fn resume_streams_again_a_few_times_then_apologises() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    answer(&bolo, id, "CA1").await;
    let resume = || async {
        bolo.twilio_posts(&bolo.callback(Resume, id), &form("CA1", "in-progress", &[]))
            .await
    };
    for _ in 0..5 {
        assert!(streams(&resume().await));
    }
    let last = resume().await.text();
    assert!(
        last.contains(r#"<Say language="en-US">"#) && last.contains("<Hangup"),
        "{last}"
    );
    assert_eq!(bolo.status(id).await, "in-progress");
}

#[tokio::test]
async fn resume_of_a_call_that_is_over_hangs_up() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    answer(&bolo, id, "CA1").await;
    bolo.change(id, Change::MediaEnded, Facts::default()).await;
    assert!(hangs_up(
        &bolo
            .twilio_posts(&bolo.callback(Resume, id), &form("CA1", "in-progress", &[]))
            .await
    ));
    assert_eq!(bolo.status(id).await, "call-disconnected");
}

#[tokio::test]
async fn resume_stands_in_for_an_answer_that_never_reached_us() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    assert!(streams(
        &bolo
            .twilio_posts(&bolo.callback(Resume, id), &form("CA1", "in-progress", &[]))
            .await
    ));
    assert_eq!(bolo.status(id).await, "in-progress");
}

#[tokio::test]
async fn what_the_carrier_said_stands_in_the_raw_log_once() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    for _ in 0..2 {
        status(&bolo, id, "CA1", "ringing", &[("SequenceNumber", "1")]).await;
    }
    let error = [("StreamEvent", "stream-error"), ("StreamError", "31921")];
    bolo.twilio_posts(&bolo.callback(Stream, id), &error).await;
    let log = bolo.get(&format!("/executions/{id}/log")).await.ok();
    let said: Vec<&str> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["metadata"]["callback"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["status", "stream"]);
    assert!(log["data"][1]["data"].as_str().unwrap().contains("31921"));
}

#[tokio::test]
async fn a_callback_that_names_no_call_is_400() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    for kind in [Answer, Status, Resume] {
        bolo.twilio_posts(&bolo.callback(kind, id), &[("Hello", "there")])
            .await
            .error(400);
    }
}

#[tokio::test]
async fn whatever_word_the_carrier_has_an_answered_call_ends_as_one() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    answer(&bolo, id, "CA1").await;
    status(&bolo, id, "CA1", "failed", &[("SequenceNumber", "3")]).await;
    assert_eq!(bolo.status(id).await, "call-disconnected");
}

#[tokio::test]
async fn a_signature_covers_the_address_as_the_carrier_asked_it() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    let path = format!("{}/?a=b%20c", bolo.callback(Answer, id));
    let fields = form("CA1", "in-progress", &[]);
    assert!(streams(&bolo.twilio_posts(&path, &fields).await));
}

#[tokio::test]
async fn what_an_attempt_that_is_past_still_says_is_not_of_the_next_one() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let body = serde_json::json!({ "agent_id": agent.to_string(), "recipient_phone_number": "+10123456789",
        "retry_config": { "enabled": true, "retry_intervals_minutes": [1] } });
    let placed = bolo.post("/call", body).await.ok();
    let id: ExecutionId = placed["execution_id"].as_str().unwrap().parse().unwrap();
    let store = &bolo.app.store;
    let dial = async |now| {
        assert_eq!(store.claim_due(now, 60_000, 10).await.unwrap().len(), 1);
        store.intend_dial(id, "+19876543007", now).await.unwrap()
    };
    let now = now();
    dial(now).await;
    status(&bolo, id, "CA1", "busy", &[("SequenceNumber", "3")]).await;
    assert_eq!(bolo.status(id).await, "scheduled");
    // While it waits, and while it is dialled anew.
    for again in [false, true] {
        if again {
            dial(now + 120_000).await;
        }
        let before = bolo.record(id).await;
        let (sequence, later) = if again { ("5", "6") } else { ("1", "2") };
        status(&bolo, id, "CA1", "ringing", &[("SequenceNumber", sequence)]).await;
        status(&bolo, id, "CA9", "completed", &[("SequenceNumber", later)]).await;
        assert!(hangs_up(&answer(&bolo, id, "CA1").await));
        assert_eq!(bolo.record(id).await, before);
    }
}
