//! `bolo simulate`: callers of every kind, against a server of its own and against another.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{DEADLINE, Database, Server, Setup, port::free_ports};

/// Runs the command beside the runtime, and reads the object that it prints.
async fn simulate(setup: &Setup, arguments: &[&str]) -> Value {
    let mut command = setup.command(&["simulate", "--json"]);
    // A bare machine has no certificate roots.
    command.env("SSL_CERT_FILE", "/dev/null");
    command.env("SSL_CERT_DIR", setup.folder.path());
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let (said, complained) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{said}\n{complained}");
    serde_json::from_str(&said).unwrap()
}

/// Writes a script; its path.
fn script(setup: &Setup, text: &str) -> String {
    let path = setup.folder.path().join("script.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[rstest::rstest]
#[tokio::test]
async fn turns_and_delays_give_the_figures_of_a_server_of_its_own(
    #[values("twilio", "plivo", "vobiz", "exotel", "sip-trunk")] carrier: &str,
) {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let script = script(&setup, "turns = 1\nfirst_token_ms = 50");
    let arguments = ["--script", &script, "--calls", "2", "--ramp", "0.2"];
    let report = simulate(&setup, &[&arguments[..], &["--carrier", carrier]].concat()).await;
    assert_eq!(report["calls"], 2);
    assert_eq!(report["statuses"], json!({"completed": 2}));
    assert_eq!(report["dials"], json!({"placed": 2, "duplicate": 0}));
    assert_eq!(
        (&report["turns_ok"], &report["errors"]),
        (&report["turns"], &json!(0))
    );
    assert_eq!(report["barge_ins"], 2, "{report}");
    for figure in ["/added_ms/p50", "/barge_clear_ms/p50", "/kib_per_call"] {
        assert!(
            report.pointer(figure).unwrap().is_f64(),
            "{figure}: {report}"
        );
    }
    assert_eq!(report["answer_ms"], Value::Null);
}

#[tokio::test]
async fn the_server_is_measured_beside_a_bare_relay() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let script = script(&setup, "turns = 1\nfirst_token_ms = 50");
    let report = simulate(&setup, &["--script", &script, "--beside-relay"]).await;
    assert_eq!(report["calls"], 1);
    for of in ["relay", "server"] {
        assert_eq!(report[of]["statuses"], json!({"completed": 1}), "{report}");
    }
    assert!(report["times_cpu"].is_f64(), "{report}");
    assert!(report["more_ms"]["p99"].is_f64(), "{report}");
}

#[tokio::test]
async fn a_free_script_speaks_text_clips_and_files_and_presses_keys() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let wav = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../simulator/callers/turn08-af_heart.wav"
    );
    let script = script(
        &setup,
        &format!(
            r#"
            patience_ms = 20000
            then = "hang_up"
            [[steps]]
            wait_for_agent = {{}}
            [[steps]]
            say = {{ text = "Please write down that I will come on Monday." }}
            [[steps]]
            expect = {{ text = "I have noted that for you" }}
            [[steps]]
            barge_in = {{ at_word = 3, say = {{ clip = "barge09-af_heart.wav" }} }}
            [[steps]]
            wait_for_agent = {{}}
            [[steps]]
            dtmf = {{ digits = "12#" }}
            [[steps]]
            say = {{ wav = "{wav}" }}
            [[steps]]
            wait_for_agent = {{}}
            "#
        ),
    );
    let report = simulate(&setup, &["--script", &script]).await;
    assert_eq!(report["errors"], 0, "{report}");
    assert_eq!(report["statuses"], json!({"completed": 1}));
    assert_eq!(report["turns"], 3);
    assert!(report["turns_ok"].as_u64() >= Some(2), "{report}");
    assert!(report["answer_ms"]["p50"].as_f64() > Some(0.0), "{report}");
    assert_eq!(report["added_ms"], Value::Null);
}

#[tokio::test]
async fn a_server_that_runs_elsewhere_is_driven_with_the_printed_settings() {
    let listen = format!("127.0.0.1:{}", free_ports(4));
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let settings = setup.run(&["simulate", "--settings", "--listen", &listen]);
    let environment = settings
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let server = Server::start(Setup::new(Database::Sqlite, environment).await).await;
    let agent = server.create_agent(&crate::support::agent()).await;
    let key = server.key.clone();
    let script = script(
        &setup,
        "then = \"hang_up\"\n[[steps]]\nexpect = { text = \"Hello there\" }\n\
         [[steps]]\nwait_for_agent = {}\n\
         [[steps]]\nsay = { tone = \"where is my order\" }\n[[steps]]\nwait_for_agent = {}",
    );
    let whom = [
        "--against",
        &server.base,
        "--key",
        &key,
        "--listen",
        &listen,
    ];
    let mut arguments = whom.to_vec();
    arguments.extend(["--script", &script, "--agent", &agent]);
    let report = simulate(&setup, &arguments).await;
    assert_eq!(report["statuses"], json!({"completed": 1}));
    assert_eq!(
        (&report["turns"], &report["turns_ok"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(report["cpu_s_per_call_minute"], Value::Null);

    // And with an agent of its own making.
    let report = simulate(&setup, &whom).await;
    assert_eq!(report["turns_ok"], report["turns"]);
    assert!(report["added_ms"]["p50"].is_f64(), "{report}");
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn a_server_that_dies_ends_the_simulation() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let listen = format!("127.0.0.1:{}", free_ports(4));
    let mut command = setup.command(&["simulate", "--json", "--listen", &listen]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let simulation = command.spawn().unwrap();
    let id = simulation.id();
    let account = "AC11111111111111111111111111111111";
    let calls = format!("http://{listen}/2010-04-01/Accounts/{account}/Calls.json");
    let client = reqwest::Client::new();
    let is_dialled = async || {
        let asked = client
            .get(&calls)
            .basic_auth(account, Some("12345678901234567890123456789012"));
        let Ok(answer) = asked.send().await else {
            return false;
        };
        let list: Value = answer.json().await.unwrap();
        list["calls"]
            .as_array()
            .is_some_and(|calls| !calls.is_empty())
    };
    let started = tokio::time::Instant::now();
    while !is_dialled().await {
        assert!(started.elapsed() < DEADLINE, "nothing is dialled");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
    }
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let server = children.trim();
    let killed = Command::new("kill").args(["-9", server]).status();
    assert!(killed.unwrap().success(), "{children}");
    let waited = tokio::task::spawn_blocking(move || simulation.wait_with_output().unwrap());
    let output = tokio::time::timeout(DEADLINE, waited)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("the server ended in the midst of it"),
        "{said}"
    );
}

#[tokio::test]
async fn wrong_usage_is_told_by_name() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let both = script(&setup, "turns = 1\n[[steps]]\nhang_up = {}");
    for (arguments, code, named) in [
        (["--against", "http://127.0.0.1:1"], 2, "--key"),
        (["--script", &both], 1, "turns and steps"),
        (["--script", "nowhere.toml"], 1, "nowhere.toml"),
    ] {
        let mut command = setup.command(&["simulate"]);
        let output = command.args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(named), "{error}");
    }
}
