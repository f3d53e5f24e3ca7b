//! Menus that inbound calls are asked before an agent answers (api.md §11).

use bolo_simulator::{
    caller::{CallHandle, CallerScript, Event},
    carrier::Kind,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, THEIRS, World, agent};

/// For sale at the fake carrier.
const NUMBER: &str = "+14155550121";
const PROMPT: &str = "Press 1 for support, 2 for sales.";

/// A number with a menu: the agents of support, who also answers by default, and of sales.
async fn number_with_menu(world: &World, more: Value) -> (String, String) {
    let named = async |welcome: &str| {
        let mut body = world.of_carrier(&agent());
        body["agent_config"]["agent_welcome_message"] = welcome.into();
        world.server.create_agent(&body).await
    };
    let support = named("Support here.").await;
    let sales = named("Sales here.").await;
    let purchase = json!({ "country": "US", "phone_number": NUMBER });
    let bought = world.server.post("/phone-numbers/buy", purchase).await;
    let mut menu = json!({
        "enabled": true,
        "welcome_message": "Welcome to Acme.",
        "steps": [
            {"step_id": "department", "type": "menu", "prompt": PROMPT, "field_name": "department",
             "options": [
                {"digit": "1", "label": "Support"},
                {"digit": "2", "label": "Sales", "agent_id": sales, "context_label": "wants to buy"},
             ],
             "conditional_next": {"2": "account"}},
            {"step_id": "account", "type": "collect", "prompt": "Your account number?",
             "field_name": "account", "min_digits": 3, "max_digits": 6},
        ],
    });
    menu.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let setup = json!({
        "agent_id": support, "phone_number_id": bought["id"], "ivr_config": menu,
    });
    world.server.post("/inbound/setup", setup).await;
    (support, sales)
}

fn rings(world: &World) -> CallHandle {
    let script = CallerScript::default();
    world.fakes.carrier.call_in(THEIRS, NUMBER, script).unwrap()
}

/// The carrier says this, for so many times.
async fn is_told(call: &CallHandle, text: &str, times: usize) {
    let is = |event: &Event| matches!(event, Event::CarrierSaid(said) if said == text);
    call.waits_for(text, |events| {
        let count = events.iter().filter(|timed| is(&timed.event)).count();
        (count >= times).then_some(())
    })
    .await
    .unwrap();
}

/// The one call of an agent.
async fn call_of(world: &World, agent: &str) -> Value {
    let path = format!("/v2/agent/{agent}/executions");
    let calls = world.server.get(&path).await;
    assert_eq!(calls["total"], 1, "{calls:#}");
    calls["data"][0].clone()
}

#[rstest]
#[tokio::test]
async fn a_menu_leads_to_the_agent_of_its_option_who_knows_what_was_pressed(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let (_, sales) = number_with_menu(&world, json!({})).await;
    let call = rings(&world);
    is_told(&call, "Welcome to Acme.", 1).await;
    is_told(&call, PROMPT, 1).await;
    // No such option; then too few digits.
    call.presses("7").await.unwrap();
    is_told(&call, "Invalid input. Please try again.", 1).await;
    is_told(&call, PROMPT, 2).await;
    call.presses("2").await.unwrap();
    is_told(&call, "Your account number?", 1).await;
    call.presses("12#").await.unwrap();
    is_told(&call, "Your account number?", 2).await;
    call.presses("4711#").await.unwrap();

    call.hears("Sales here").await.unwrap();
    let record = call_of(&world, &sales).await;
    let known = &record["context_details"]["recipient_data"];
    assert_eq!(known["department"], "Sales");
    assert_eq!(known["department_context"], "wants to buy");
    assert_eq!(known["account"], "4711");
    assert!(known["ivr_completed_at"].is_string(), "{known}");
    call.hangs_up().await.unwrap();
    let id = record["id"].as_str().unwrap();
    let record = world.server.status(id, "completed").await;
    let transcript = record["transcript"].as_str().unwrap();
    assert!(transcript.starts_with("assistant: Sales"), "{transcript}");
    assert_eq!(call.warnings(), Vec::<String>::new());
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn an_option_without_an_agent_and_keys_that_mean_nothing_lead_to_the_numbers_own(
    #[values("1", "7")] keys: &str,
) {
    let world = World::on(Kind::Plivo, Database::Postgres).await;
    let (support, _) = number_with_menu(&world, json!({ "max_retries": 0 })).await;
    let call = rings(&world);
    is_told(&call, PROMPT, 1).await;
    call.presses(keys).await.unwrap();
    call.hears("Support here").await.unwrap();
    call_of(&world, &support).await;
    call.hangs_up().await.unwrap();
    world.end(&[]).await;
}

#[tokio::test]
async fn a_caller_who_presses_nothing_reaches_nobody() {
    let world = World::on(Kind::Twilio, Database::Sqlite).await;
    let patience = json!({ "timeout": 1, "max_retries": 1 });
    let (support, _) = number_with_menu(&world, patience).await;
    let call = rings(&world);
    is_told(&call, PROMPT, 2).await;
    is_told(&call, "No input received. Goodbye.", 1).await;
    call.ended().await.unwrap();
    let id = call_of(&world, &support).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let record = world.server.status(&id, "completed").await;
    let told = &record["telephony_data"];
    assert_eq!(told["hangup_reason"], "inactivity_timeout");
    assert_eq!(told["hangup_by"], "API Request");
    world.end(&[]).await;
}
