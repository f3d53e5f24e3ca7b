//! The real binary as a child process, spoken to as any client would.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

/// How long any one event may take before a story fails. Not a measurement.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Which database the server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Everything a start of the server needs; kept so that it can be started again after a kill.
pub struct Setup {
    pub folder: tempfile::TempDir,
    pub environment: Vec<(String, String)>,
    pub public_port: u16,
    binary: PathBuf,
    _database: Option<super::postgres::Database>,
}

/// A running server.
pub struct Server {
    child: Child,
    pub base: String,
    setup: Option<Setup>,
    output: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    http: reqwest::Client,
    pub key: String,
}

/// A server that ended before it served.
struct Ended {
    setup: Setup,
    key: Option<String>,
    said: String,
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bolo"))
}

impl Setup {
    /// An empty folder and, for PostgreSQL, an empty database.
    pub async fn new(database: Database, environment: Vec<(String, String)>) -> Self {
        // The tests' own HTTP client needs it; another fake may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let public_port = super::port::free_port();
        let mut all = vec![
            (
                "BOLO_SERVER__LISTEN".to_owned(),
                format!("127.0.0.1:{public_port}"),
            ),
            (
                "BOLO_DATA_DIR".to_owned(),
                folder.path().join("data").display().to_string(),
            ),
            (
                "BOLO_SECURITY__ALLOW_PRIVATE_ADDRESSES".to_owned(),
                "true".to_owned(),
            ),
            ("BOLO_LIMITS__DIALS_PER_SECOND".to_owned(), "100".to_owned()),
            // Stories ask again and again how a call stands.
            (
                "BOLO_LIMITS__BUSY_REQUESTS_PER_MINUTE".to_owned(),
                "0".to_owned(),
            ),
            (
                "BOLO_LIMITS__REQUESTS_PER_MINUTE".to_owned(),
                "0".to_owned(),
            ),
            (
                "RUST_LOG".to_owned(),
                std::env::var("BOLO_TEST_LOG").unwrap_or_else(|_| "warn,bolo=info".into()),
            ),
        ];
        let mut made = None;
        if database == Database::Postgres {
            let postgres = super::postgres::database()
                .await
                .expect("PostgreSQL is left out");
            all.push(("DATABASE_URL".to_owned(), postgres.url.clone()));
            made = Some(postgres);
            all.push((
                "BOLO_SECRETS__MASTER_KEY".to_owned(),
                "0123456789abcdef0123456789abcdef".to_owned(),
            ));
        }
        all.extend(environment);
        Self {
            folder,
            environment: all,
            public_port,
            binary: binary().to_owned(),
            _database: made,
        }
    }

    /// The same with another version's binary.
    pub fn running(self, binary: PathBuf) -> Self {
        Self { binary, ..self }
    }

    /// Where its database is: PostgreSQL's address, or that of the SQLite file.
    pub fn database_url(&self) -> String {
        match &self._database {
            Some(database) => database.url.clone(),
            None => format!(
                "sqlite://{}",
                self.folder.path().join("data/bolo.db").display()
            ),
        }
    }

    /// A command of the binary with these settings and nothing else of the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        for inherited in ["PATH", "HOME", "TMPDIR"] {
            if let Ok(value) = std::env::var(inherited) {
                command.env(inherited, value);
            }
        }
        command
    }

    /// Runs a command to its end; its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "bolo {arguments:?}: {}\n{error}",
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Server {
    /// Starts the server and waits until it serves.
    pub async fn start(setup: Setup) -> Self {
        match Self::serve(setup, None).await {
            Ok(server) => server,
            Err(ended) => panic!("the server ended:\n{}", ended.said),
        }
    }

    /// Its key is known if it was up before.
    async fn serve(setup: Setup, key: Option<String>) -> Result<Self, Ended> {
        let mut child = setup
            .command(&["serve"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let (tell, mut lines) = watch::channel(0);
        let tell = Arc::new(tell);
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let (output, tell) = (output.clone(), tell.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    output.lock().unwrap().push(line);
                    tell.send_modify(|count| *count += 1);
                }
            });
        }
        drop(tell);
        let serving = async {
            loop {
                if output
                    .lock()
                    .unwrap()
                    .iter()
                    .any(|line| line.starts_with("bolo: serving on "))
                {
                    return true;
                }
                if lines.changed().await.is_err() {
                    return false;
                }
            }
        };
        let started = tokio::time::timeout(DEADLINE, serving).await;
        let said = || output.lock().unwrap().join("\n");
        match started {
            Err(_) => panic!("the server does not serve:\n{}", said()),
            Ok(false) => {
                child.wait().unwrap();
                let said = said();
                return Err(Ended { setup, key, said });
            }
            Ok(true) => {}
        }
        let key = key.unwrap_or_else(|| {
            let key = setup.run(&["key", "create", "--account", "default"]);
            key.trim().to_owned()
        });
        let base = format!("http://127.0.0.1:{}", setup.public_port);
        Ok(Self {
            child,
            base,
            setup: Some(setup),
            output,
            lines,
            http: reqwest::Client::new(),
            key,
        })
    }

    /// `kill -9`; returns what is needed to start again.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends its process a signal: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let (signal, pid) = (format!("-{name}"), self.pid().to_string());
        let sent = Command::new("kill").args([signal, pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Starts again after `kill`, on the same port with the same data.
    pub async fn start_again(mut self) -> Self {
        let setup = self.setup.take().unwrap();
        drop(self);
        Self::start(setup).await
    }

    /// The same as a supervisor does it: again and again if it ends at once, for its database may be away.
    pub async fn start_until_it_serves(mut self) -> Self {
        let setup = self.setup.take().unwrap();
        let key = Some(std::mem::take(&mut self.key));
        drop(self);
        let mut started = Self::serve(setup, key).await;
        loop {
            match started {
                Ok(server) => return server,
                Err(ended) => started = Self::serve(ended.setup, ended.key).await,
            }
        }
    }

    /// SIGTERM; waits for exit 0 and fails on any WARN or ERROR line that is not expected.
    pub async fn stop_cleanly(mut self, expected: &[&str]) {
        self.signal("TERM");
        let ended = async { while self.lines.changed().await.is_ok() {} };
        let ended = tokio::time::timeout(DEADLINE, ended).await;
        assert!(ended.is_ok(), "the server does not stop:\n{}", self.log());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
        let loud: Vec<String> = self
            .output
            .lock()
            .unwrap()
            .iter()
            .filter(|line| {
                line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"")
            })
            .filter(|line| !expected.iter().any(|known| line.contains(known)))
            // Tell of a busy machine, not of the server.
            .filter(|line| !line.contains("slow statement") && !line.contains("time to acquire"))
            .cloned()
            .collect();
        assert!(
            loud.is_empty(),
            "unexpected log lines:\n{}",
            loud.join("\n")
        );
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has printed a line with these words.
    pub async fn says(&self, words: &str) {
        let mut lines = self.lines.clone();
        let said = async { while !self.log().contains(words) && lines.changed().await.is_ok() {} };
        let said = tokio::time::timeout(DEADLINE, said).await;
        assert!(said.is_ok(), "{words:?} was not said:\n{}", self.log());
    }

    /// Its settings, for commands beside it.
    pub fn setup(&self) -> &Setup {
        self.setup.as_ref().unwrap()
    }

    /// All it has printed.
    pub fn log(&self) -> String {
        self.output.lock().unwrap().join("\n")
    }

    /// A request with a key of choice.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method.parse().unwrap(), format!("{}{path}", self.base));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()));
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, body }
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, Some(&self.key), None).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.body
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.send("POST", path, Some(&self.key), Some(&body)).await;
        assert_eq!(answer.status, 200, "POST {path}: {}", answer.body);
        answer.body
    }

    /// Raw bytes of an address.
    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self
            .http
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.key)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200, "GET {path}");
        let body = answer.bytes().await;
        body.unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
            .to_vec()
    }

    /// Creates an agent; its id.
    pub async fn create_agent(&self, body: &Value) -> String {
        let created = self.post("/v2/agent", body.clone()).await;
        created["agent_id"].as_str().unwrap().to_owned()
    }

    /// Asks for a call; the execution's id.
    pub async fn call(&self, agent: &str, number: &str) -> String {
        let placed = self
            .post(
                "/call",
                json!({"agent_id": agent, "recipient_phone_number": number}),
            )
            .await;
        assert_eq!(placed["status"], "queued");
        placed["execution_id"].as_str().unwrap().to_owned()
    }

    /// Reads an execution until `look` is content with it.
    pub async fn until(&self, execution: &str, what: &str, look: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/executions/{execution}");
        let started = tokio::time::Instant::now();
        loop {
            let record = self.get(&path).await;
            if look(&record) {
                return record;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "{what} does not come: {record:#}\n{}",
                self.log()
            );
            // The API has no push: its reader polls, as any client does.
            tokio::time::sleep(Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
        }
    }

    /// Waits for a status.
    pub async fn status(&self, execution: &str, status: &str) -> Value {
        self.until(execution, status, |record| record["status"] == status)
            .await
    }

    /// The recording's two channels, caller and agent, 8 kHz.
    pub async fn recording(&self, execution: &str) -> (Vec<i16>, Vec<i16>) {
        let bytes = self.bytes(&format!("/recordings/call/{execution}")).await;
        let mut reader = hound::WavReader::new(std::io::Cursor::new(bytes)).unwrap();
        assert_eq!(
            (reader.spec().channels, reader.spec().sample_rate),
            (2, 8000)
        );
        let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
        (
            samples.iter().step_by(2).copied().collect(),
            samples.iter().skip(1).step_by(2).copied().collect(),
        )
    }

    /// The folder with the server's data.
    pub fn folder(&self) -> PathBuf {
        self.setup().folder.path().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill` and `stop_cleanly`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
