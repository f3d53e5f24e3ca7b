//! Somebody calls one of our numbers.

use bolo_execution::{AgentId, Direction};
use serde_json::{Value, json};

use crate::{
    bolo::{Bolo, Reply},
    twilio,
};

fn call<'a>(id: &'a str, from: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("AccountSid", twilio::ACCOUNT),
        ("CallSid", id),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", from),
        ("To", "+14155550199"),
    ]
}

async fn comes_in(bolo: &Bolo, agent: AgentId, id: &str, from: &str) -> Reply {
    let path = format!("/inbound_call?agent_id={agent}&user_id={}", bolo.account);
    bolo.twilio_posts(&path, &call(id, from)).await
}

async fn latest(bolo: &Bolo) -> Value {
    bolo.get("/executions?page_size=1").await.ok()["data"][0].clone()
}

#[tokio::test]
async fn a_call_in_is_taken_and_a_doubled_webhook_finds_it_again() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let reply = comes_in(&bolo, agent, "CA1", "+14155550100").await;
    assert!(
        reply.text().contains("<Connect><Stream"),
        "{}",
        reply.text()
    );
    assert_eq!(
        comes_in(&bolo, agent, "CA1", "+14155550100").await.text(),
        reply.text()
    );
    assert_eq!(bolo.get("/executions").await.ok()["total"], 1);
    let shown = latest(&bolo).await;
    assert_eq!(
        (&shown["status"], &shown["telephony_data"]["call_type"]),
        (&json!("initiated"), &json!("inbound"))
    );
    assert_eq!(
        (&shown["user_number"], &shown["agent_number"]),
        (&json!("+14155550100"), &json!("+14155550199"))
    );
    let record = bolo
        .record(shown["id"].as_str().unwrap().parse().unwrap())
        .await;
    assert_eq!(record.direction, Direction::Inbound);
    // Its own callbacks carry the record's attempt, so they pass the first gate.
    let text = reply.text();
    let start = text.find("/telephony/twilio/resume/").unwrap();
    let path = text[start..].split(['#', '<']).next().unwrap();
    let resumed = bolo.twilio_posts(path, &call("CA1", "+14155550100")).await;
    assert!(
        resumed.text().contains("<Connect><Stream"),
        "{}",
        resumed.text()
    );
}

#[tokio::test]
async fn the_address_must_name_an_agent_and_its_owner_and_be_signed() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let form = call("CA1", "+14155550100");
    for query in [
        String::new(),
        "?agent_id=x".to_owned(),
        format!("?agent_id={}", AgentId::new()),
        format!("?agent_id={agent}&user_id={}", AgentId::new()),
        format!("?agent_id={agent}&user_id=x"),
    ] {
        bolo.twilio_posts(&format!("/inbound_call{query}"), &form)
            .await
            .error(404);
    }
    let path = format!("/inbound_call?agent_id={agent}");
    bolo.send(twilio::post(&path, &form, None)).await.error(403);
    assert_eq!(bolo.get("/executions").await.ok()["total"], 0);
    assert!(
        bolo.twilio_posts(&path, &form)
            .await
            .text()
            .contains("<Stream")
    );
}

#[tokio::test]
async fn a_number_may_call_as_often_as_its_limit_says() {
    let bolo = Bolo::start().await;
    let agent = bolo
        .new_agent_with(json!({ "inbound_limit": 1, "whitelist_phone_numbers": ["+14155550111"] }))
        .await;
    assert!(
        comes_in(&bolo, agent, "CA1", "+14155550100")
            .await
            .text()
            .contains("<Stream")
    );
    for id in ["CA2", "CA2"] {
        assert!(
            comes_in(&bolo, agent, id, "+14155550100")
                .await
                .text()
                .contains("<Reject")
        );
    }
    let turned_away = latest(&bolo).await;
    assert_eq!(turned_away["status"], "canceled");
    assert!(
        turned_away["error_message"]
            .as_str()
            .unwrap()
            .contains("inbound_limit")
    );
    assert!(
        comes_in(&bolo, agent, "CA3", "+14155550101")
            .await
            .text()
            .contains("<Stream")
    );
    for id in ["CA4", "CA5"] {
        assert!(
            comes_in(&bolo, agent, id, "+14155550111")
                .await
                .text()
                .contains("<Stream")
        );
    }
}

#[tokio::test]
async fn unknown_numbers_are_turned_away_where_the_agent_says_so() {
    let bolo = Bolo::start().await;
    let agent = bolo
        .new_agent_with(json!({ "disallow_unknown_numbers": true }))
        .await;
    assert!(
        comes_in(&bolo, agent, "CA1", "+14155550100")
            .await
            .text()
            .contains("<Reject")
    );
    assert!(
        latest(&bolo).await["error_message"]
            .as_str()
            .unwrap()
            .contains("disallow_unknown_numbers")
    );
}

#[tokio::test]
async fn a_caller_who_hangs_up_before_the_media_opens_is_written_down() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    comes_in(&bolo, agent, "CA1", "+14155550100").await;
    let path = format!("/inbound_status?agent_id={agent}");
    let mut form = call("CA1", "+14155550100");
    form.retain(|(name, _)| *name != "CallStatus");
    form.extend([
        ("CallStatus", "completed"),
        ("SequenceNumber", "0"),
        ("CallDuration", "2"),
    ]);
    assert_eq!(bolo.twilio_posts(&path, &form).await.status, 200);
    assert_eq!(latest(&bolo).await["status"], "call-disconnected");
    form[1].1 = "CA-other";
    bolo.twilio_posts(&path, &form).await.error(404);
}

#[tokio::test]
async fn a_node_that_stops_turns_new_calls_away_and_keeps_those_it_has() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let taken = comes_in(&bolo, agent, "CA1", "+14155550100").await;
    bolo.app.draining.begin();
    assert_eq!(
        comes_in(&bolo, agent, "CA1", "+14155550100").await.text(),
        taken.text()
    );
    for id in ["CA2", "CA2"] {
        let reply = comes_in(&bolo, agent, id, "+14155550101").await;
        assert!(reply.text().contains("<Reject"), "{}", reply.text());
    }
    let turned_away = latest(&bolo).await;
    assert_eq!(turned_away["status"], "canceled");
    assert_eq!(turned_away["error_message"], "this node is stopping");
}
