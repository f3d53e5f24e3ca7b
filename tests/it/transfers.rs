//! Callers who are handed over to somebody else, and those who come back.

use bolo_simulator::{
    caller::{CallHandle, CallerScript, Event, Outcome, Timed},
    carrier::{CallFaults, Delays, Kind},
    llm::Reply,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, Fakes, OURS, World, agent, receiver::Receiver};

pub const SALES: &str = "+14155550177";

pub fn with_sales() -> Value {
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["api_tools"] = json!({
        "tools": [{"name": "sales", "key": "transfer_call", "description": "To sales.", "parameters": {}}],
        "tools_params": {"sales": {
            "pre_call_message": "I will put you through.",
            "param": {"call_transfer_number": SALES, "call_sid": "%(call_sid)s"},
        }},
    });
    agent
}

/// Somebody else's server brings callers to sales.
fn with_controller(controller: &Receiver) -> Value {
    let mut agent = with_sales();
    agent["agent_config"]["tasks"][0]["tools_config"]["api_tools"]["tools_params"]["sales"]["url"] =
        json!(controller.base);
    agent
}

async fn asks_for_sales(world: &World) -> (String, CallHandle) {
    asks(world, &with_sales()).await
}

async fn asks(world: &World, agent: &Value) -> (String, CallHandle) {
    world
        .fakes
        .llm
        .on("sales please", Reply::call("sales", "{}"));
    let (execution, call) = world.dial(agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("sales please").await.unwrap();
    call.hears("I will put you through").await.unwrap();
    (execution, call)
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[tokio::test]
async fn a_caller_who_is_taken_over_leaves_the_agent_and_keeps_the_line(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let world = World::on(carrier, database).await;
    let (execution, call) = asks_for_sales(&world).await;
    let sales = world.fakes.carrier.dialled(SALES).await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "call_transferred"
    );
    assert_eq!(record["transfer_call_data"]["status"], "in-progress");
    assert_eq!(record["transfer_call_data"]["to_number"], SALES);
    assert_eq!(record["transfer_call_data"]["from_number"], OURS);
    assert!(
        record["transcript"]
            .as_str()
            .unwrap()
            .ends_with("assistant: I will put you through.")
    );

    // Our part is over; the two still talk. The other leg's end is the call's.
    sales.hangs_up().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let record = world
        .server
        .until(&execution, "the transfer's end", |record| {
            let transfer = &record["transfer_call_data"];
            transfer["status"] == "completed" && transfer["duration"].is_number()
        })
        .await;
    let sid = record["transfer_call_data"]["provider_call_id"]
        .as_str()
        .unwrap();
    assert_eq!(sid, sales.id());
    assert_eq!(record["transfer_call_data"]["hangup_by"], "Callee");
    world.end(&[]).await;
}

#[rstest]
#[case::busy(Outcome::Busy, "the line is busy", "busy")]
#[case::nobody(Outcome::NoAnswer, "nobody answered", "no-answer")]
#[case::invalid(Outcome::Invalid, "could not be reached", "failed")]
#[tokio::test]
async fn a_caller_whom_nobody_takes_comes_back_to_the_agent(
    #[case] outcome: Outcome,
    #[case] why: &str,
    #[case] status: &str,
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    world
        .fakes
        .carrier
        .script(SALES, CallerScript::fails(outcome));
    world
        .fakes
        .llm
        .on_result(why, Reply::text("Sales can not talk now. Shall I note it?"));
    world
        .fakes
        .llm
        .on("yes please do", Reply::text("It is noted."));
    let (execution, call) = asks_for_sales(&world).await;
    call.hears("Shall I note it").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("yes please do").await.unwrap();
    call.hears("It is noted").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["transfer_call_data"]["status"], status);
    let transcript = record["transcript"].as_str().unwrap();
    assert!(!transcript.contains("line was gone"), "{transcript}");
    assert!(
        transcript.ends_with("user: yes please do\nassistant: It is noted."),
        "{transcript}"
    );
    world.end(&[]).await;
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[tokio::test]
async fn a_caller_who_hangs_up_while_the_other_phone_rings_ends_both(#[case] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    let ringing = CallerScript {
        ring_ms: 30_000,
        ..CallerScript::default()
    };
    world.fakes.carrier.script(SALES, ringing);
    let (execution, call) = asks_for_sales(&world).await;
    let sales = world.fakes.carrier.dialled(SALES).await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_by"], "Callee");
    assert!(["canceled", "completed"].contains(&sales.ended().await.unwrap().as_str()));
    world.end(&[]).await;
}

/// The other phone rings on; whoever picks it up talks with a caller whom no node has.
#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn whoever_answers_after_the_server_died_keeps_the_caller(#[case] carrier: Kind) {
    let hasty = [("BOLO_LIMITS__ORPHAN_S", "1")];
    let world = World::around(Fakes::start(carrier).await, Database::Sqlite, &hasty).await;
    let rings = CallerScript {
        ring_ms: 8000,
        ..CallerScript::default()
    };
    world.fakes.carrier.script(SALES, rings);
    let (execution, call) = asks_for_sales(&world).await;
    let sales = world.fakes.carrier.dialled(SALES).await.unwrap();
    let World { mut server, fakes } = world;
    server.kill();
    let world = World {
        server: server.start_again().await,
        fakes,
    };
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "call_transferred"
    );
    assert_eq!(record["transfer_call_data"]["status"], "in-progress");
    let transcript = record["transcript"].as_str().unwrap();
    assert!(transcript.contains("user: sales please"), "{transcript}");

    // The two are left alone.
    assert_eq!(
        (call.status(), sales.status()),
        ("in-progress", "in-progress")
    );
    let opened = |timed: &&Timed| timed.event == Event::MediaOpened;
    assert_eq!(call.timeline().iter().filter(opened).count(), 1);
    sales.hangs_up().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    world
        .server
        .until(&execution, "the transfer's end", |record| {
            record["transfer_call_data"]["status"] == "completed"
        })
        .await;
    world.end(&[]).await;
}

/// Carriers differ in what they tell when a call is taken from its stream: Twilio stops it, Plivo closes the
/// socket without a word.
#[rstest]
#[case::told(Kind::Twilio)]
#[case::not_told(Kind::Plivo)]
#[tokio::test]
async fn a_caller_whom_a_controller_takes_keeps_the_line(#[case] carrier: Kind) {
    let controller = Receiver::start(200, "{}").await;
    let page = match carrier {
        Kind::Twilio => "<Response><Pause length=\"600\"/></Response>",
        _ => "<Response><Wait length=\"600\"/></Response>",
    };
    let desk = Receiver::start(200, page).await;
    let allowed = [("BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES", "true")];
    let world = World::around(Fakes::start(carrier).await, Database::Sqlite, &allowed).await;
    let (execution, call) = asks(&world, &with_controller(&controller)).await;
    controller.requests_reach(1).await;

    let fake = &world.fakes.carrier;
    let (base, account, id) = (fake.base_url(), fake.account(), call.id());
    let http = reqwest::Client::new();
    let request = match carrier {
        Kind::Twilio => http
            .post(format!(
                "{base}/2010-04-01/Accounts/{account}/Calls/{id}.json"
            ))
            .form(&[("Url", &desk.base)]),
        _ => http
            .post(format!("{base}/v1/Account/{account}/Call/{id}/"))
            .json(&json!({"legs": "aleg", "aleg_url": desk.base})),
    };
    let request = request.basic_auth(account, Some(fake.token()));
    let taken = request.send().await.unwrap();
    assert!(taken.status().is_success(), "{taken:?}");
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["telephony_data"]["hangup_reason"],
        "call_transferred"
    );
    // Only the caller himself ends it.
    call.hangs_up().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    world.end(&[]).await;
}

/// R199: a socket that was only lost may come back as late as the operator says.
#[tokio::test]
async fn a_caller_whose_line_breaks_is_not_taken_by_a_controller() {
    let controller = Receiver::start(200, "{}").await;
    let slow = Delays {
        reset_ms: 6500,
        ..Delays::default()
    };
    let patient = [
        ("BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES", "true"),
        ("BOLO_RUNTIME__MEDIA_REATTACH_S", "20"),
    ];
    let fakes = Fakes::with(Kind::Plivo, slow).await;
    let world = World::around(fakes, Database::Sqlite, &patient).await;
    let llm = &world.fakes.llm;
    llm.on_result("was not answered", Reply::text("Sales are away."));
    let (execution, call) = asks(&world, &with_controller(&controller)).await;
    controller.requests_reach(1).await;
    call.drops_socket(true).await.unwrap();
    call.hears("Sales are away").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_by"], "Callee");
    world.end(&[]).await;
}

/// Callbacks may come in any order: one of the caller's answer that comes when he talks with somebody else
/// ends nothing.
#[tokio::test]
async fn late_news_of_a_caller_who_is_taken_over_does_not_cut_him_off() {
    let world = World::on(Kind::Twilio, Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("sales please", Reply::call("sales", "{}"));
    let faults = CallFaults {
        late_status: [("answered".to_owned(), 12_000)].into(),
        ..CallFaults::default()
    };
    let script = CallerScript::default().with_faults(faults);
    let (execution, call) = world.dial(&with_sales(), script).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("sales please").await.unwrap();
    call.hears("I will put you through").await.unwrap();
    let sales = world.fakes.carrier.dialled(SALES).await.unwrap();
    world.server.status(&execution, "completed").await;
    let ledger = world.fakes.carrier.ledger();
    let has_come = |_: &Value| {
        let told = ledger.webhooks_of(call.id(), "status");
        told.iter()
            .any(|told| told.field("CallStatus") == Some("in-progress"))
    };
    world.server.until(&execution, "late news", has_come).await;
    sales.hangs_up().await.unwrap();
    assert_eq!(call.ended().await.unwrap(), "completed");
    let updates = ledger.updates(call.id());
    assert!(updates.is_empty(), "hung up by us: {updates:?}");
    world.end(&[]).await;
}
