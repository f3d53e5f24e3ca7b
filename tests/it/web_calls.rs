//! Calls from a browser, and events that a call is told.

use base64::{Engine, engine::general_purpose::STANDARD};
use bolo_simulator::{caller::CallerScript, llm::Reply};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::support::{DEADLINE, Database, World, agent};

/// A page with a microphone.
struct Browser(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Browser {
    async fn open(url: &str) -> Self {
        Self(connect_async(url).await.unwrap().0)
    }

    async fn tells(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next message, or how the socket was closed.
    async fn next(&mut self) -> Result<Value, CloseCode> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.unwrap();
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(CloseCode::Status, |frame| frame.code));
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return Err(CloseCode::Abnormal),
            }
        }
    }

    /// Listens, echoing marks as the library does, until so many bytes of sound have come.
    async fn hears(&mut self, bytes: usize) -> Vec<Vec<u8>> {
        let (mut heard, mut sounds) = (0, Vec::new());
        while heard < bytes {
            let message = self.next().await.unwrap();
            match message["type"].as_str().unwrap() {
                "audio" => {
                    let sound = STANDARD.decode(message["data"].as_str().unwrap()).unwrap();
                    heard += sound.len();
                    sounds.push(sound);
                }
                "mark" => self.tells(message).await,
                _ => {}
            }
        }
        sounds
    }
}

fn with_name() -> Value {
    let mut agent = agent();
    agent["agent_prompts"]["task_1"]["system_prompt"] = "You help {name}.".into();
    agent
}

/// wire-telephony.md §5.2: closed by the client.
fn hung_up_by_the_caller(record: &Value) {
    let told = &record["telephony_data"];
    let (by, reason) = (&told["hangup_by"], &told["hangup_reason"]);
    assert_eq!((by, reason), (&json!("Caller"), &json!("Normal Hangup")));
    assert_eq!(told["hangup_code"], 4000);
}

#[tokio::test]
async fn a_page_calls_an_agent_with_an_address_that_opens_once() {
    let world = World::start(Database::Sqlite).await;
    let agent = world.server.create_agent(&with_name()).await;
    let wanted = json!({ "agent_id": agent, "user_data": { "name": "Asha" } });
    let session = world.server.post("/web-call/session", wanted.clone()).await;
    let (run, url) = (
        session["run_id"].as_str().unwrap(),
        session["wss_url"].as_str().unwrap(),
    );
    assert_eq!(session["expires_in"], 120);
    let mut browser = Browser::open(url).await;
    browser
        .tells(json!({ "type": "init", "meta_data": { "context_data": { "city": "Pune" } } }))
        .await;
    assert_eq!(browser.next().await, Ok(json!({ "type": "ack" })));
    // "Hello there." sounds for 780 ms, at 24 kHz.
    let sounds = browser.hears(30_000).await;
    assert!(
        sounds.iter().all(|sound| sound.starts_with(b"RIFF")),
        "each message is a file"
    );
    let record = world.server.status(run, "in-progress").await;
    assert_eq!(
        (
            &record["provider"],
            &record["context_details"]["recipient_data"]["name"]
        ),
        (&json!("web-call"), &json!("Asha"))
    );
    assert_eq!(record["context_details"]["recipient_data"]["city"], "Pune");

    let mut again = Browser::open(url).await;
    again.tells(json!({ "type": "init" })).await;
    assert_eq!(again.next().await, Ok(json!({ "type": "ack" })));
    assert_eq!(
        again.next().await,
        Err(CloseCode::from(4401)),
        "it opens once"
    );
    let other = url.replace(&agent, &uuid::Uuid::new_v4().to_string());
    assert_eq!(
        Browser::open(&other).await.next().await,
        Err(CloseCode::from(4404))
    );
    let forged = format!("{}0", &url[..url.len() - 1]);
    let forged = if forged == url {
        format!("{}1", &url[..url.len() - 1])
    } else {
        forged
    };
    assert_eq!(
        Browser::open(&forged).await.next().await,
        Err(CloseCode::from(4401))
    );

    browser.0.close(None).await.unwrap();
    let record = world.server.status(run, "completed").await;
    // A page that takes the sound faster than it plays, and leaves, has heard a part of it at most.
    let heard = record["transcript"].as_str().unwrap();
    assert!("assistant: Hello there.".starts_with(heard), "{record:#}");
    hung_up_by_the_caller(&record);
    world.end(&[]).await;
}

#[tokio::test]
async fn a_key_opens_the_chat_socket_and_nothing_else_does() {
    let world = World::start(Database::Sqlite).await;
    let agent = world.server.create_agent(&agent()).await;
    let base = world.server.base.replacen("http", "ws", 1);
    let at = |token: &str| format!("{base}/chat/v1/{agent}?auth_token={token}");
    assert_eq!(
        Browser::open(&at("bn-nobody")).await.next().await,
        Err(CloseCode::from(4401))
    );
    let mut browser = Browser::open(&at(&world.server.key)).await;
    // It says nothing first, and the agent begins all the same.
    let sounds = browser.hears(30_000).await;
    assert!(sounds.iter().all(|sound| !sound.starts_with(b"RIFF")));
    let calls = world
        .server
        .get(&format!("/v2/agent/{agent}/executions"))
        .await;
    let run = calls["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(calls["data"][0]["provider"], "websocket");
    // A page that is left says no goodbye.
    drop(browser);
    hung_up_by_the_caller(&world.server.status(&run, "completed").await);
    world.end(&[]).await;
}

#[tokio::test]
async fn what_a_page_types_is_a_turn_of_its_own() {
    let world = World::start(Database::Sqlite).await;
    let llm = &world.fakes.llm;
    llm.on("where is my order", Reply::text("On its way."));
    llm.on("and the bill", Reply::text("It is paid."));
    let agent = world.server.create_agent(&agent()).await;
    let base = world.server.base.replacen("http", "ws", 1);
    let key = &world.server.key;
    let url = format!("{base}/chat/v1/{agent}?auth_token={key}");
    let mut browser = Browser::open(&url).await;
    // The first before the agent has said hello.
    browser
        .tells(json!({ "type": "text", "data": "where is my order" }))
        .await;
    // "Hello there." and "On its way." sound for 780 and 715 ms, at 24 kHz.
    browser.hears(65_000).await;
    browser
        .tells(json!({ "type": "text", "data": "and the bill" }))
        .await;
    browser.hears(30_000).await;
    let calls = world
        .server
        .get(&format!("/v2/agent/{agent}/executions"))
        .await;
    let run = calls["data"][0]["id"].as_str().unwrap().to_owned();
    browser.0.close(None).await.unwrap();
    let record = world.server.status(&run, "completed").await;
    let transcript = record["transcript"].as_str().unwrap();
    let lines: Vec<&str> = transcript.lines().collect();
    assert_eq!(
        lines[..2],
        ["assistant: Hello there.", "user: where is my order"]
    );
    // The page takes the sound faster than it plays: some of it is cut.
    assert!(lines[2].starts_with("assistant: On"), "{transcript}");
    assert_eq!(lines[3], "user: and the bill");
    world.end(&[]).await;
}

#[tokio::test]
async fn the_page_of_an_agent_that_does_not_run_is_told_why() {
    let world = World::start(Database::Sqlite).await;
    let mut body = agent();
    body["agent_config"]["tasks"][0]["tools_config"]["s2s"] =
        json!({"provider": "openai_realtime"});
    let agent = world.server.create_agent(&body).await;
    let base = world.server.base.replacen("http", "ws", 1);
    let key = &world.server.key;
    let url = format!("{base}/chat/v1/{agent}?auth_token={key}");
    let mut browser = Browser::open(&url).await;
    let closed = tokio::time::timeout(DEADLINE, browser.0.next()).await;
    let Some(Ok(Message::Close(Some(frame)))) = closed.unwrap() else {
        panic!("not closed with a reason");
    };
    assert_eq!(frame.code, CloseCode::from(4400));
    let why = "the agent does not run: tasks[0].tools_config.s2s: ";
    assert!(frame.reason.contains(why), "{}", frame.reason);
    world.end(&[]).await;
}

#[tokio::test]
async fn what_an_event_tells_is_in_the_next_request_to_the_model() {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("On its way."));
    let (execution, call) = world.dial(&with_name(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    let path = format!("/v1/call/{execution}/events");
    let body = json!({ "event": "renamed", "properties": { "name": "Clark" } });
    let key = Some(world.server.key.as_str());
    let told = world.server.send("POST", &path, key, Some(&body)).await;
    assert_eq!(
        (told.status, &told.body),
        (
            202,
            &json!({ "status": "accepted", "event": "renamed", "run_id": execution })
        )
    );
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("On its way").await.unwrap();
    let asked = world.fakes.llm.requests();
    let system = asked.last().unwrap()["messages"][0]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(system.starts_with("You help Clark."), "{system}");
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    let late = world.server.send("POST", &path, key, Some(&body)).await;
    assert_eq!(late.status, 404);
    assert_eq!(
        late.body["detail"],
        "Active call with this run_id not found"
    );
    let nothing = world
        .server
        .send("POST", &path, key, Some(&json!({ "event": "" })))
        .await;
    assert_eq!(nothing.status, 400);
    world.end(&[]).await;
}
