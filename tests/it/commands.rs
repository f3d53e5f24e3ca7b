//! The operator's commands.

use bolo_simulator::{caller::CallerScript, llm::Reply};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Database, Setup, World, agent};

/// Long enough to be cut by someone who speaks in its middle.
const ORDER: &str =
    "It ships on Monday morning and will be with you by the end of the week, as promised.";

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn a_recorded_call_replays_to_the_same_decisions(#[case] database: Database) {
    let world = World::start(database).await;
    world.fakes.llm.on("where is my order", Reply::text(ORDER));
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on").await.unwrap();
    call.says("no wait please").await.unwrap();
    call.sees_clear().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;

    let replayed = world.server.setup().run(&["replay", &execution, "--json"]);
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    assert_eq!(replayed["same"], true);
    assert_eq!(replayed["over"], true);
    assert_eq!(replayed["transcript"], record["transcript"]);

    // A log in which the caller said something else does not lead to the recorded decisions.
    let log = world.server.setup().run(&["replay", &execution, "--print"]);
    let path = world.server.folder().join("other.log");
    std::fs::write(
        &path,
        log.replace("where is my order", "where is my parcel"),
    )
    .unwrap();
    let other = world
        .server
        .setup()
        .command(&["replay", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(
        String::from_utf8(other.stdout)
            .unwrap()
            .contains("recorded")
    );
    world.end(&[]).await;
}

#[tokio::test]
async fn keys_and_accounts_are_made_listed_and_revoked_while_the_server_runs() {
    let world = World::start(Database::Sqlite).await;
    let setup = world.server.setup();
    setup.run(&["account", "create", "acme", "--email", "ops@acme.example"]);
    assert!(setup.run(&["account", "list"]).contains("ops@acme.example"));
    setup.run(&[
        "account",
        "set",
        "acme",
        "--concurrency",
        "3",
        "--wallet",
        "4242",
    ]);
    let key = setup.run(&["key", "create", "--account", "acme", "--label", "ci"]);
    let key = key.trim();
    assert!(key.starts_with("bn-") && key.lines().count() == 1);

    let me = world.server.send("GET", "/user/me", Some(key), None).await;
    assert_eq!(me.status, 200);
    assert_eq!(
        (&me.body["name"], &me.body["email"]),
        (&Value::from("acme"), &Value::from("ops@acme.example"))
    );
    assert_eq!(
        (
            me.body["wallet"].as_f64(),
            me.body["concurrency"]["max"].as_i64()
        ),
        (Some(4242.0), Some(3))
    );

    // What is one account's is not another's.
    let own = world.server.create_agent(&agent()).await;
    let foreign = world
        .server
        .send("GET", &format!("/v2/agent/{own}"), Some(key), None)
        .await;
    assert_eq!(foreign.status, 404);

    let listed = setup.run(&["key", "list", "--json"]);
    let listed = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let id = listed
        .filter(|entry| entry["label"] == "ci")
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .next();
    setup.run(&["key", "revoke", &id.unwrap()]);
    let started = tokio::time::Instant::now();
    while world
        .server
        .send("GET", "/user/me", Some(key), None)
        .await
        .status
        != 401
    {
        assert!(
            started.elapsed() < crate::support::DEADLINE,
            "the revoked key still opens"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await; // no-sleep-ok: polling under a deadline
    }
    world.end(&[]).await;
}

#[tokio::test]
async fn wrong_settings_are_refused_by_their_name() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    for (key, value, named) in [
        ("BOLO_SERVER__LISTN", "x", "listn"),
        ("BOLO_LIMITS__MAX_CALLS", "many", "limits.max_calls"),
        ("BOLO_LIMITS__CLIENT_WAIT_S", "0", "limits.client_wait_s"),
        ("BOLO_LIMITS__KEEP_ALIVE_S", "0", "limits.keep_alive_s"),
        ("BOLO_RUNTIME__PAUSE_MS", "soon", "runtime.pause_ms"),
        ("REDIS_URL", "redis://127.0.0.1", "redis.url"),
        ("DATABASE_URL", "mysql://x", "database.url"),
        ("TWILIO_PHONE_NUMBER", "12", "telephony.twilio.phone_number"),
    ] {
        let output = setup.command(&["serve"]).env(key, value).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{key}: {error}");
        assert!(error.contains(named), "{key}: {error}");
    }
}

#[tokio::test]
async fn migrations_are_checked_and_applied() {
    for database in [Database::Sqlite, Database::Postgres] {
        let setup = Setup::new(database, Vec::new()).await;
        let waiting = setup.command(&["migrate", "--check"]).output().unwrap();
        assert_eq!(
            waiting.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&waiting.stderr)
        );
        setup.run(&["migrate"]);
        assert!(setup.run(&["migrate", "--check"]).starts_with("0 "));
    }
}

#[tokio::test]
async fn the_openapi_document_and_the_models_are_told() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let document: Value = serde_json::from_str(&setup.run(&["openapi"])).unwrap();
    assert!(document["paths"]["/call"]["post"].is_object());
    let models = setup.run(&["models", "list"]);
    for name in ["moonshine-tiny-en", "minilm", "pico", "smart-turn"] {
        assert!(models.contains(name), "{models}");
    }
}

/// The README's first command, in an empty home directory.
#[tokio::test]
async fn the_demo_holds_a_spoken_conversation_without_any_key() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let out = setup.folder.path().join("out");
    let mut command = setup.command(&["demo", "--once", "--out", out.to_str().unwrap()]);
    command.env("HOME", setup.folder.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let record: Value =
        serde_json::from_slice(&std::fs::read(out.join("execution.json")).unwrap()).unwrap();
    let transcript = record["transcript"].as_str().unwrap();
    assert!(
        transcript
            .lines()
            .filter(|line| line.starts_with("user: "))
            .count()
            >= 6,
        "{transcript}"
    );
    assert!(said.contains("cut by the caller"), "no barge-in: {said}");
    assert!(
        transcript.contains("assistant: We are open from nine to six"),
        "no route: {transcript}"
    );
    assert_eq!(
        record["telephony_data"]["hangup_reason"], "end_call_tool",
        "{transcript}"
    );
    let recording = hound::WavReader::open(out.join("recording.wav")).unwrap();
    assert_eq!(
        (recording.spec().channels, recording.spec().sample_rate),
        (2, 8000)
    );
    assert!(recording.duration() > 8000 * 20);
}
