//! Callers handed over to somebody who is asked first, by a summary and a key (R115).

use bolo_simulator::{
    caller::{CallHandle, CallerScript, Event, Outcome},
    carrier::Kind,
    llm::Reply,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, World, agent};

const SALES: &str = "+14155550177";
const SUMMARY: &str = "Asha wants to return order 7.";
const BACK: &str = "Sales can not talk now. Shall I note it?";

fn with_sales() -> Value {
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["api_tools"] = json!({
        "tools": [{"name": "sales", "key": "transfer_call", "description": "To sales."}],
        "tools_params": {"sales": {
            "mode": "warm",
            "pre_call_message": "I will put you through.",
            "param": {"call_transfer_number": SALES},
        }},
    });
    agent
}

/// The key is waited for so long behind the summary, s.
async fn world(carrier: Kind, warm_s: u64) -> World {
    let fakes = crate::support::Fakes::start(carrier).await;
    let patience = warm_s.to_string();
    let more = [("BOLO_RUNTIME__WARM_S", patience.as_str())];
    World::around(fakes, Database::Sqlite, &more).await
}

async fn asks_for_sales(world: &World) -> (String, CallHandle) {
    asks(world, &with_sales()).await
}

async fn asks(world: &World, agent: &Value) -> (String, CallHandle) {
    let llm = &world.fakes.llm;
    let arguments = json!({ "summary": SUMMARY }).to_string();
    llm.on("sales please", Reply::call("sales", &arguments));
    let (execution, call) = world.dial(agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("sales please").await.unwrap();
    call.hears("I will put you through").await.unwrap();
    (execution, call)
}

/// Sales picks up and is told what it is about.
async fn sales_listens(world: &World) -> CallHandle {
    let sales = world.fakes.carrier.dialled(SALES).await.unwrap();
    let told = format!("{SUMMARY} Press 1 to take the call.");
    let is_told = |event: &Event| matches!(event, Event::CarrierSaid(said) if *said == told);
    sales
        .waits_for("the summary", |events| {
            events
                .iter()
                .any(|timed| is_told(&timed.event))
                .then_some(())
        })
        .await
        .unwrap();
    sales
}

#[rstest]
#[case(Kind::Twilio, "hi-IN")]
#[case(Kind::Plivo, "Polly.Aditi")]
#[tokio::test]
async fn whoever_is_asked_hears_a_voice_of_the_agents_language(
    #[case] carrier: Kind,
    #[case] voice: &str,
) {
    let world = world(carrier, 20).await;
    let mut agent = with_sales();
    agent["agent_config"]["tasks"][0]["tools_config"]["transcriber"]["language"] = "hi".into();
    let (execution, call) = asks(&world, &agent).await;
    let sales = world.fakes.carrier.dialled(SALES).await.unwrap();
    let is_asked = |event: &Event| matches!(event, Event::CarrierVoice(asked) if asked == voice);
    sales
        .waits_for("the voice", |events| {
            events
                .iter()
                .any(|timed| is_asked(&timed.event))
                .then_some(())
        })
        .await
        .unwrap();
    sales.presses("1").await.unwrap();
    world.server.status(&execution, "completed").await;
    sales.hangs_up().await.unwrap();
    call.ended().await.unwrap();
    world.end(&[]).await;
}

fn is_connected(sales: &CallHandle) -> bool {
    let events = sales.timeline();
    events.iter().any(|timed| timed.event == Event::Connected)
}

/// The caller is with the agent again, who knows why.
async fn comes_back(world: World, execution: &str, call: CallHandle, status: &str) {
    call.hears("Shall I note it").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(execution, "completed").await;
    assert_eq!(record["transfer_call_data"]["status"], status);
    assert_eq!(record["telephony_data"]["hangup_by"], "Callee");
    let transcript = record["transcript"].as_str().unwrap();
    assert!(
        transcript.contains("assistant: Sales can not talk now."),
        "{transcript}"
    );
    assert!(!transcript.contains("line was gone"), "{transcript}");
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn whoever_takes_the_call_has_heard_what_it_is_about(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = world(carrier, 20).await;
    let (execution, call) = asks_for_sales(&world).await;
    let sales = sales_listens(&world).await;
    let record = world
        .server
        .until(&execution, "sales listening", |record| {
            record["transfer_call_data"]["status"] == "ringing"
        })
        .await;
    assert_eq!(record["status"], "in-progress", "nobody has taken the call");
    assert!(!is_connected(&sales));

    sales.presses("1").await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert!(is_connected(&sales));
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "call_transferred"
    );
    assert_eq!(record["transfer_call_data"]["status"], "in-progress");
    sales.hangs_up().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world
        .server
        .until(&execution, "the transfer's end", |record| {
            let transfer = &record["transfer_call_data"];
            transfer["status"] == "completed" && transfer["duration"].is_number()
        })
        .await;
    assert_eq!(record["transfer_call_data"]["provider_call_id"], sales.id());
    assert_eq!(call.warnings(), Vec::<String>::new());
    world.end(&[]).await;
}

#[rstest]
#[case::by_another_key(Kind::Twilio, Some("2"))]
#[case::by_hanging_up(Kind::Twilio, None)]
#[case::by_hanging_up(Kind::Plivo, None)]
#[tokio::test]
async fn a_caller_who_is_declined_comes_back(#[case] carrier: Kind, #[case] key: Option<&str>) {
    let world = world(carrier, 20).await;
    let llm = &world.fakes.llm;
    llm.on_result("did not take the call", Reply::text(BACK));
    let (execution, call) = asks_for_sales(&world).await;
    let sales = sales_listens(&world).await;
    match key {
        Some(key) => sales.presses(key).await.unwrap(),
        None => drop(sales.hangs_up().await.unwrap()),
    }
    sales.ended().await.unwrap();
    assert!(!is_connected(&sales));
    comes_back(world, &execution, call, "no-answer").await;
}

#[rstest]
#[tokio::test]
async fn a_caller_comes_back_from_somebody_who_presses_nothing(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = world(carrier, 1).await;
    let llm = &world.fakes.llm;
    llm.on_result("did not take the call", Reply::text(BACK));
    let (execution, call) = asks_for_sales(&world).await;
    let sales = sales_listens(&world).await;
    sales.ended().await.unwrap();
    comes_back(world, &execution, call, "no-answer").await;
}

#[rstest]
#[tokio::test]
async fn a_caller_comes_back_from_a_busy_line(#[values(Kind::Twilio, Kind::Plivo)] carrier: Kind) {
    let world = world(carrier, 20).await;
    let busy = CallerScript::fails(Outcome::Busy);
    world.fakes.carrier.script(SALES, busy);
    let llm = &world.fakes.llm;
    llm.on_result("the line is busy", Reply::text(BACK));
    let (execution, call) = asks_for_sales(&world).await;
    comes_back(world, &execution, call, "busy").await;
}

#[rstest]
#[tokio::test]
async fn a_caller_who_hangs_up_while_somebody_is_asked_ends_both(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = world(carrier, 20).await;
    let (execution, call) = asks_for_sales(&world).await;
    let sales = sales_listens(&world).await;
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_by"], "Callee");
    assert_ne!(
        record["telephony_data"]["hangup_reason"],
        "call_transferred"
    );
    sales.ended().await.unwrap();
    assert!(!is_connected(&sales));
    world.end(&[]).await;
}
