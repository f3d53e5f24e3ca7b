//! Tools of the model, over the wire: what their servers see, what the caller hears, what is kept.

use bolo_simulator::{
    caller::{CallHandle, CallerScript},
    llm::Reply,
};
use serde_json::{Value, json};

use crate::support::{DEADLINE, Database, World, agent, receiver::Receiver};

const KEY: &str = "Bearer hush-hush-key";

/// An agent with this one tool.
fn with_tool(name: &str, params: Value) -> Value {
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["api_tools"] = json!({
        "tools": [{
            "name": name,
            "description": "Finds an order.",
            "parameters": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "call_sid": {"type": "string"}},
                "required": ["id"],
            },
        }],
        "tools_params": {name: params},
    });
    agent
}

/// The model calls this tool when it is asked for the order.
fn calls(world: &World, reply: Reply) {
    world.fakes.llm.on("where is my order", reply);
}

async fn asks(call: &CallHandle) {
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
}

async fn ends(world: &World, call: &CallHandle, execution: &str) -> Value {
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(execution, "completed").await
}

/// Waits until the live call's event log holds the end of the caller's second turn.
async fn second_turn_ends(world: &World, execution: &str) {
    let started = tokio::time::Instant::now();
    loop {
        let events = world.server.setup().run(&["replay", execution, "--print"]);
        if events.matches("\"turn_end\"").count() >= 2 {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{events}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
    }
}

/// Lines of the raw log that a tool wrote.
async fn tool_lines(world: &World, execution: &str) -> Vec<Value> {
    let log = world
        .server
        .get(&format!("/executions/{execution}/log"))
        .await;
    let lines = log["data"].as_array().unwrap().iter();
    lines
        .filter(|line| line["component"] == "tool")
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_get_is_sent_as_configured_and_its_answer_is_spoken() {
    let world = World::start(Database::Sqlite).await;
    let shop = Receiver::start(200, r#"{"on": "Monday"}"#).await;
    let agent = with_tool(
        "look_up",
        json!({
            "method": "GET", "url": format!("{}/orders/%(id)s?cb=a%3Ab", shop.base),
            "param": {"sid": "%(call_sid)s", "stream": "%(stream_sid)s", "to": "%(to_number)s"},
            "api_token": KEY, "headers": {"X-Shop": "7"},
        }),
    );
    calls(
        &world,
        Reply::call("look_up", r#"{"id":"A 1/2","call_sid":"made up"}"#),
    );
    world
        .fakes
        .llm
        .on_result("Monday", Reply::text("It comes on Monday."));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    asks(&call).await;
    call.hears("It comes on Monday").await.unwrap();
    let record = ends(&world, &call, &execution).await;

    let asked = shop.requests();
    assert_eq!(asked.len(), 1);
    let sid = record["telephony_data"]["provider_call_id"]
        .as_str()
        .unwrap();
    let stream = asked[0].target.split("stream=").nth(1).unwrap();
    let stream = stream.split('&').next().unwrap();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].target.as_str()),
        (
            "GET",
            format!("/orders/A%201%2F2?cb=a%3Ab&sid={sid}&stream={stream}&to=%2B14155550199")
                .as_str()
        )
    );
    assert!(stream.starts_with("MZ"), "{stream}");
    assert_eq!(
        (asked[0].header("authorization"), asked[0].header("x-shop")),
        (KEY, "7")
    );
    assert_eq!(asked[0].body, "");

    // The model was not asked for what the server knows, and read the answer behind its call.
    let requests = world.fakes.llm.requests();
    let tool = &requests[0]["tools"][0]["function"];
    assert_eq!(
        tool["parameters"]["properties"],
        json!({"id": {"type": "string"}})
    );
    let messages = requests[1]["messages"].as_array().unwrap();
    let (called, result) = (&messages[messages.len() - 2], &messages[messages.len() - 1]);
    assert_eq!(result["content"], r#"{"on": "Monday"}"#);
    assert_eq!(called["tool_calls"][0]["id"], result["tool_call_id"]);

    // What was sent is in the log; keys are in no log.
    let lines = tool_lines(&world, &execution).await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!(
        (&lines[0]["type"], &lines[0]["tool_name"]),
        (&json!("request"), &json!("look_up"))
    );
    assert_eq!(lines[1]["data"], r#"{"on": "Monday"}"#);
    let shown = serde_json::to_string(&lines).unwrap();
    assert!(!shown.contains("hush-hush"), "{shown}");
    assert!(!world.server.log().contains("hush-hush"));
    world.end(&[]).await;
}

#[tokio::test]
async fn two_calls_of_one_answer_are_sent_one_after_the_other_and_faulty_ones_not() {
    let world = World::start(Database::Sqlite).await;
    let shop = Receiver::start(200, "done").await;
    let agent = with_tool(
        "change",
        json!({
            "url": format!("{}/orders", shop.base), "param": r#"{"id": "%(id)s", "n": %(n)i, "who": "%(to_number)s"}"#,
            "api_token": KEY, "pre_call_webhook_url": format!("{}/hook", shop.base),
            "pre_call_webhook_param": {"order": "%(id)s"},
        }),
    );
    let reply = Reply::call("change", r#"{"id":"1","n":2}"#)
        .then_call("change", r#"{"n":1}"#)
        .then_call("change", r#"{"id":"1","n":2}"#)
        .then_call("change", r#"{"id":"3"}"#);
    calls(&world, reply);
    world
        .fakes
        .llm
        .on_result("done", Reply::text("All is changed."));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    asks(&call).await;
    call.hears("All is changed").await.unwrap();
    ends(&world, &call, &execution).await;

    let (hooks, changes): (Vec<_>, Vec<_>) = shop
        .requests()
        .into_iter()
        .partition(|asked| asked.target == "/hook");
    let bodies: Vec<Value> = changes
        .iter()
        .map(|asked| serde_json::from_str(&asked.body).unwrap())
        .collect();
    let who = "+14155550199";
    assert_eq!(
        bodies,
        [
            json!({"id": "1", "n": 2, "who": who}),
            json!({"id": "3", "n": null, "who": who})
        ]
    );
    assert!(changes.iter().all(|asked| asked.method == "POST"
        && asked.header("authorization") == KEY
        && asked.header("content-type") == "application/json"));
    assert_eq!(hooks.len(), 2);
    let hook: Value = serde_json::from_str(&hooks[0].body).unwrap();
    assert_eq!(
        (&hook["order"], &hook["execution_id"], &hook["provider"]),
        (&json!("1"), &json!(execution), &json!("twilio"))
    );

    let requests = world.fakes.llm.requests();
    let messages = requests[1]["messages"].as_array().unwrap();
    let results: Vec<&str> = messages[messages.len() - 4..]
        .iter()
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    assert_eq!(
        results,
        [
            "done",
            "Error: these arguments are missing: id",
            "done",
            "done"
        ]
    );
    world.end(&[]).await;
}

#[tokio::test]
async fn a_slow_tool_has_a_line_and_what_is_said_meanwhile_is_answered() {
    let world = World::start(Database::Sqlite).await;
    let shop = Receiver::start(200, "found").await;
    shop.hold();
    let agent = with_tool(
        "look_up",
        json!({
            "url": shop.base, "param": {"id": "%(id)s"}, "pre_call_message": {"en": "Let me look that up."},
        }),
    );
    calls(&world, Reply::call("look_up", r#"{"id":"1"}"#));
    world
        .fakes
        .llm
        .on("make it two", Reply::text("Two of them it is."));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    asks(&call).await;
    call.hears("Let me look that up").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("make it two").await.unwrap();
    shop.requests_reach(1).await;
    // The words are known before the result is.
    second_turn_ends(&world, &execution).await;
    shop.release();
    call.hears("Two of them it is").await.unwrap();
    let record = ends(&world, &call, &execution).await;

    assert_eq!(shop.requests().len(), 1, "a tool is never sent twice");
    let requests = world.fakes.llm.log();
    let last = requests.last().unwrap().messages();
    let tail: Vec<(&str, &str)> = last[last.len() - 3..]
        .iter()
        .map(|(role, text)| (role.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        tail,
        [
            ("assistant", "Let me look that up."),
            ("tool", "found"),
            ("user", "make it two")
        ]
    );
    let transcript = record["transcript"].as_str().unwrap();
    assert!(
        transcript.ends_with(
            "assistant: Let me look that up.\nuser: make it two\nassistant: Two of them it is."
        ),
        "{transcript}"
    );
    world.end(&[]).await;
}

#[tokio::test]
async fn a_tool_that_fails_is_told_to_the_model_and_the_call_goes_on() {
    let world = World::start(Database::Sqlite).await;
    let broken = Receiver::start(500, "the shop is on fire").await;
    let moved = Receiver::start(302, "elsewhere").await;
    let silent = Receiver::start(200, "never").await;
    silent.hold();
    let told = |text: &str| Reply::text(format!("So: {text}"));
    world
        .fakes
        .llm
        .on_result("status 500", told("five hundred"));
    world.fakes.llm.on_result("status 302", told("it moved"));
    world
        .fakes
        .llm
        .on_result("no answer within 1 s", told("too slow"));
    world
        .fakes
        .llm
        .on_result("could not be reached", told("nobody there"));
    let cases = [
        (broken.base.clone(), "five hundred"),
        (moved.base.clone(), "it moved"),
        (silent.base.clone(), "too slow"),
        ("http://127.0.0.1:9".to_owned(), "nobody there"),
    ];
    for (url, heard) in cases {
        let agent = with_tool("look_up", json!({"url": url, "timeout_s": 1}));
        calls(&world, Reply::call("look_up", r#"{"id":"1"}"#));
        let (execution, call) = world.dial(&agent, CallerScript::default()).await;
        asks(&call).await;
        call.hears(heard).await.unwrap();
        ends(&world, &call, &execution).await;
        let lines = tool_lines(&world, &execution).await;
        assert_eq!(lines[1]["type"], "error", "{lines:#?}");
    }
    assert!(
        broken.requests().len() == 1 && moved.requests().len() == 1,
        "no tool is tried again"
    );
    silent.release();
    world.end(&[]).await;
}

#[tokio::test]
async fn a_private_address_is_not_asked_unless_its_host_is_allowed() {
    for allowed in [false, true] {
        let shop = Receiver::start(200, "found").await;
        let hosts = if allowed { "[\"localhost\"]" } else { "[]" };
        let settings = [
            ("BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES", "false"),
            ("BOLO_SECURITY__PRIVATE_HOSTS", hosts),
        ];
        let world = World::with(Database::Sqlite, &settings).await;
        let url = shop.base.replace("127.0.0.1", "localhost");
        let agent = with_tool("look_up", json!({"url": url}));
        calls(&world, Reply::call("look_up", r#"{"id":"1"}"#));
        world
            .fakes
            .llm
            .on_result("found", Reply::text("Here it is."));
        world
            .fakes
            .llm
            .on_result("Error: blocked by policy", Reply::text("That is blocked."));
        let (execution, call) = world.dial(&agent, CallerScript::default()).await;
        asks(&call).await;
        call.hears(if allowed {
            "Here it is"
        } else {
            "That is blocked"
        })
        .await
        .unwrap();
        ends(&world, &call, &execution).await;
        assert_eq!(shop.requests().len(), usize::from(allowed));
        world.end(&[]).await;
    }
}

#[tokio::test]
async fn a_call_with_tools_replays() {
    let world = World::start(Database::Sqlite).await;
    let shop = Receiver::start(200, "found").await;
    let agent = with_tool(
        "look_up",
        json!({"url": shop.base, "pre_call_message": "One moment."}),
    );
    calls(&world, Reply::call("look_up", r#"{"id":"1"}"#));
    world
        .fakes
        .llm
        .on_result("found", Reply::text("Here it is."));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    asks(&call).await;
    call.hears("Here it is").await.unwrap();
    ends(&world, &call, &execution).await;
    let replayed = world.server.setup().run(&["replay", &execution, "--json"]);
    assert!(
        replayed.contains("\"same\": true") || replayed.contains("\"same\":true"),
        "{replayed}"
    );
    world.end(&[]).await;
}
