//! Fetching local models, and what happens without them.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use bolo_simulator::caller::CallerScript;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Database, Setup, THEIRS, World, agent};

/// Lies in the source tree, in files that are not packed.
const MODEL: &str = "pico";
const FILES: [&str; 12] = [
    "de-DE_gl0_sg.bin",
    "de-DE_ta.bin",
    "en-GB_kh0_sg.bin",
    "en-GB_ta.bin",
    "en-US_lh0_sg.bin",
    "en-US_ta.bin",
    "es-ES_ta.bin",
    "es-ES_zl0_sg.bin",
    "fr-FR_nk0_sg.bin",
    "fr-FR_ta.bin",
    "it-IT_cm0_sg.bin",
    "it-IT_ta.bin",
];
/// Breaks off in its middle the first time.
const BROKEN: &str = "en-US_ta.bin";
/// Comes with another byte.
const SPOILT: &str = "it-IT_ta.bin";

fn lies(file: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/files");
    std::fs::read(Path::new(folder).join(MODEL).join(file)).unwrap()
}

/// A server of model files that breaks one off and spoils another, until it is told to be good.
#[derive(Clone, Default)]
struct Mirror(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    /// The ranges asked for, by file.
    ranges: HashMap<&'static str, Vec<Option<String>>>,
    good: bool,
}

impl Mirror {
    async fn start(&self) -> (String, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/models/", listener.local_addr().unwrap());
        let mirror = self.clone();
        let serving = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                mirror.answer(stream).await;
            }
        };
        (address, AbortOnDropHandle::new(tokio::spawn(serving)))
    }

    /// One request a connection: half a body and its end are told apart by nothing else.
    async fn answer(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap().to_lowercase();
        let path = request.split(' ').nth(1).unwrap();
        let file = path.strip_prefix("/models/pico/").unwrap();
        let file = FILES
            .into_iter()
            .find(|known| known.to_lowercase() == file)
            .unwrap();
        let range = request
            .lines()
            .find_map(|line| line.strip_prefix("range: "));
        let (first, good) = {
            let mut asked = self.0.lock().unwrap();
            let ranges = asked.ranges.entry(file).or_default();
            ranges.push(range.map(str::to_owned));
            (ranges.len() == 1, asked.good)
        };
        let mut whole = lies(file);
        if file == SPOILT && !good {
            whole[1000] ^= 1;
        }
        let size = whole.len();
        let from = range.map_or(0, |range| {
            let from = range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap();
            from.parse::<usize>().unwrap()
        });
        let rest = whole.split_off(from);
        let status = match from {
            0 => "200 OK".to_owned(),
            _ => format!(
                "206 Partial Content\r\ncontent-range: bytes {from}-{}/{size}",
                size - 1
            ),
        };
        let sent = if file == BROKEN && first {
            rest.len() / 2
        } else {
            rest.len()
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            rest.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&rest[..sent]).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    fn ranges(&self, file: &str) -> Vec<Option<String>> {
        self.0
            .lock()
            .unwrap()
            .ranges
            .get(file)
            .cloned()
            .unwrap_or_default()
    }
}

async fn pull(setup: &Setup, more: &[&str]) -> std::process::Output {
    let mut arguments = vec!["models", "pull", MODEL];
    arguments.extend(more);
    let mut command = setup.command(&arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_model_is_pulled_over_a_broken_connection_and_a_spoilt_one_is_refused() {
    let mirror = Mirror::default();
    let (address, _serving) = mirror.start().await;
    let settings = vec![("BOLO_MODELS_MIRROR".to_owned(), address)];
    let setup = Setup::new(Database::Sqlite, settings).await;
    let into = setup.folder.path().join("fetched");
    let into = ["--into", into.to_str().unwrap()];

    let output = pull(&setup, &into).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("SHA-256") && said.contains(SPOILT), "{said}");
    assert!(said.contains("licence: Apache-2.0"), "{said}");
    // No bar where no one looks at a terminal: lines.
    assert!(!said.contains('\r') && said.contains(" MB\n"), "{said}");
    let folder = Path::new(into[1]).join(MODEL);
    let size = lies(BROKEN).len();
    assert_eq!(std::fs::read(folder.join(BROKEN)).unwrap(), lies(BROKEN));
    let half = format!("bytes={}-", size / 2);
    assert_eq!(mirror.ranges(BROKEN), [None, Some(half)]);
    assert!(!folder.join(SPOILT).exists(), "a spoilt file is in place");

    // What is there stays; the rest is fetched.
    mirror.0.lock().unwrap().good = true;
    let output = pull(&setup, &[into[0], into[1], "--json"]).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!({"name": MODEL, "folder": folder}));
    assert_eq!(std::fs::read(folder.join(SPOILT)).unwrap(), lies(SPOILT));
    assert_eq!(mirror.ranges(BROKEN).len(), 2, "fetched again");
}

#[tokio::test]
async fn a_voice_that_is_not_there_fails_the_call_with_the_command_that_mends_it() {
    let nowhere = tempfile::tempdir().unwrap();
    let cache = nowhere.path().to_str().unwrap();
    let world = World::with(Database::Sqlite, &[("XDG_CACHE_HOME", cache)]).await;
    let models = world.server.setup().run(&["models", "list"]);
    for told in [
        "not here: bolo models pull ljspeech",
        "licence: MIT",
        "licence: CC0",
    ] {
        assert!(models.contains(told), "{models}");
    }
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["synthesizer"] =
        json!({"provider": "local", "provider_config": {"voice": "ljspeech"}});
    world.fakes.carrier.script(THEIRS, CallerScript::default());
    let agent = world.server.create_agent(&agent).await;
    let execution = world.server.call(&agent, THEIRS).await;
    let mends = |record: &Value| record.to_string().contains("bolo models pull ljspeech");
    world
        .server
        .until(&execution, "the command that mends it", mends)
        .await;
    world.end(&["ljspeech"]).await;
}
