//! A PostgreSQL for tests: the server that `BOLO_TEST_POSTGRES_URL` names (a superuser's address), else a
//! private one that is started once a test process and ends with it. Each test gets its own database.
//!
//! Included with `#[path]`; needs `sqlx` (postgres), `tempfile` and `tokio`. Without PostgreSQL on the machine the
//! tests fail and say what to install, unless `BOLO_TEST_SKIP_POSTGRES=1` is set.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, postgres::PgConnectOptions};

const MISSING: &str = "these tests need PostgreSQL 14 or later: install it (Debian: apt-get install postgresql), \
     or set BOLO_TEST_POSTGRES_URL to a superuser's address, or BOLO_TEST_SKIP_POSTGRES=1 to leave them out";

/// An empty database of one test.
pub struct Database {
    /// Its address, for `database.url`.
    pub url: String,
    /// What the server calls it.
    pub name: String,
    /// A server that outlives us is left as it was found.
    drop_from: Option<PgConnectOptions>,
}

/// A new database; `None` only with `BOLO_TEST_SKIP_POSTGRES=1`.
pub async fn database() -> Option<Database> {
    if std::env::var("BOLO_TEST_SKIP_POSTGRES").is_ok_and(|value| value == "1") {
        eprintln!("left out: BOLO_TEST_SKIP_POSTGRES=1");
        return None;
    }
    Some(copy_of("template0").await)
}

/// A superuser's address.
pub async fn admin() -> String {
    match given() {
        Some(url) => url,
        None => tokio::task::spawn_blocking(|| server().url.clone())
            .await
            .expect("no PostgreSQL to test with"),
    }
}

fn given() -> Option<String> {
    let url = std::env::var("BOLO_TEST_POSTGRES_URL").ok();
    url.filter(|url| !url.is_empty())
}

/// A new database that begins as this one, to which nobody is connected.
pub async fn copy_of(template: &str) -> Database {
    let admin = admin().await;
    let options = PgConnectOptions::from_str(&admin)
        .expect("BOLO_TEST_POSTGRES_URL: not a PostgreSQL address");
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros();
    let name = format!(
        "bolo_test_{}_{}_{since}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    execute(
        &options,
        format!("CREATE DATABASE {name} TEMPLATE {template}"),
    )
    .await
    .expect("CREATE DATABASE");
    let (head, query) = admin
        .split_once('?')
        .map_or((admin.as_str(), None), |(head, query)| (head, Some(query)));
    let authority = head.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let url = format!(
        "{authority}/{name}{}",
        query.map(|query| format!("?{query}")).unwrap_or_default()
    );
    Database {
        url,
        name,
        drop_from: given().map(|_| options),
    }
}

async fn execute(options: &PgConnectOptions, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.close().await
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(options) = self.drop_from.take() else {
            return;
        };
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // Not on the test's runtime: that may be at its end.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(execute(&options, sql))
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("a test's database stays: {error}");
        }
    }
}

/// A server of a test's own, which it may kill and start again; ends with it.
pub struct Restartable {
    pub url: String,
    home: tempfile::TempDir,
    user: Option<(u32, u32)>,
    shell: Option<Child>,
}

impl Restartable {
    pub fn start() -> Self {
        let (home, user) = new_home();
        init(&home, user);
        let mut server = Self {
            url: url_of(&home),
            home,
            user,
            shell: None,
        };
        server.start_again();
        server
    }

    /// As a power cut does: connections break, what was committed stays.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            shell.wait().unwrap();
        }
    }

    pub fn start_again(&mut self) {
        self.shell = Some(run(self.home.path(), self.user, true));
    }
}

impl Drop for Restartable {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The private server of this process.
struct Server {
    url: String,
    /// Holds its standard input open.
    _shell: Child,
    _home: tempfile::TempDir,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

fn start() -> Server {
    let (home, user) = new_home();
    init(&home, user);
    Server {
        url: url_of(&home),
        _shell: run(home.path(), user, false),
        _home: home,
    }
}

/// A folder for a server, and who it is to run as: PostgreSQL refuses to run as root.
fn new_home() -> (tempfile::TempDir, Option<(u32, u32)>) {
    let home = tempfile::Builder::new()
        .prefix("bolo-pg-")
        .tempdir()
        .unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let user = (fs::metadata(home.path()).unwrap().uid() == 0).then(unprivileged_user);
    if let Some((uid, gid)) = user {
        chown(home.path(), Some(uid), Some(gid)).unwrap();
    }
    (home, user)
}

/// On a socket in its own folder: no port that something else could take.
fn url_of(home: &tempfile::TempDir) -> String {
    let socket = home.path().to_str().unwrap().replace('/', "%2F");
    format!("postgres://postgres@localhost/postgres?host={socket}")
}

fn init(home: &tempfile::TempDir, user: Option<(u32, u32)>) {
    let bin = binaries().unwrap_or_else(|| panic!("{MISSING}"));
    let made = as_user(Command::new(bin.join("initdb")), user, home.path())
        .args([
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ])
        .arg(home.path().join("data"))
        .output()
        .expect("initdb");
    assert!(
        made.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// Runs the server until the returned shell's standard input is closed: at our end, however it comes. Its
/// folder goes then, unless it is to be kept.
fn run(home: &Path, user: Option<(u32, u32)>, keeps: bool) -> Child {
    let bin = binaries().unwrap_or_else(|| panic!("{MISSING}"));
    let script = r#"trap '' INT
        "$1" -D "$2" -k "$3" -c listen_addresses= -c fsync=off -c full_page_writes=off \
            -c max_connections=300 -c shared_buffers=64MB &
        server=$!
        cat > /dev/null
        kill -QUIT $server
        wait $server
        [ "$4" = keep ] || rm -rf "$3""#;
    let mut shell = as_user(Command::new("sh"), user, home)
        .args(["-c", script, "sh"])
        .args([&bin.join("postgres"), &home.join("data"), home])
        .arg(if keeps { "keep" } else { "remove" })
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut lines = BufReader::new(shell.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut said = Vec::new();
    loop {
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("PostgreSQL did not start: {said:#?}"));
        let ready = line.contains("ready to accept connections");
        said.push(line);
        if ready {
            break;
        }
    }
    // Else the server would wait for someone to read what it has to say.
    std::thread::spawn(move || lines.for_each(drop));
    shell
}

fn as_user(mut command: Command, user: Option<(u32, u32)>, folder: &Path) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.current_dir(folder).env("LC_ALL", "C");
    command
}

/// The folder of `initdb` and `postgres`: the newest packaged one, else where the search path has it.
fn binaries() -> Option<PathBuf> {
    let version = |path: &PathBuf| -> u32 {
        path.file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse().ok())
            .unwrap_or(0)
    };
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    packaged.sort_by_key(version);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = packaged.into_iter().rev().map(|path| path.join("bin"));
    packaged
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// `postgres` where its package is installed, else `nobody`.
fn unprivileged_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let (uid, gid) = (fields.nth(1)?, fields.next()?);
            Some((uid.parse().ok()?, gid.parse().ok()?))
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .unwrap_or((65_534, 65_534))
}
