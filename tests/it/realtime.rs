//! `server.realtime`: calls come first by the kernel's own measure, or the server says why not.

use std::process::Command;

use crate::support::{Database, Server, Setup};

/// `SCHED_OTHER` and `SCHED_RR` in `/proc/PID/task/TID/stat`, sched(7).
const OTHER: u32 = 0;
const ROUND_ROBIN: u32 = 2;

/// Whether those who run the tests may have what the setting asks for.
fn is_allowed() -> bool {
    let tried = Command::new("chrt").args(["--rr", "1", "true"]).output();
    tried.unwrap().status.success()
}

/// Name and scheduling policy of each thread.
fn threads(pid: u32) -> Vec<(String, u32)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            let (head, fields) = stat.rsplit_once(')').unwrap();
            let (_, name) = head.split_once('(').unwrap();
            // The 41st, and the first behind the name is the third (proc_pid_stat(5)).
            let policy = fields.split_whitespace().nth(41 - 3).unwrap();
            (name.to_owned(), policy.parse().unwrap())
        })
        .collect()
}

async fn wanting_it() -> Setup {
    let wanted = ("BOLO_SERVER__REALTIME".to_owned(), "true".to_owned());
    Setup::new(Database::Sqlite, vec![wanted]).await
}

#[tokio::test]
async fn threads_of_calls_are_real_time_and_those_of_the_disk_are_not() {
    if !is_allowed() {
        eprintln!("left out: whoever runs the tests may have no real-time threads");
        return;
    }
    let server = Server::start(wanting_it().await).await;
    let threads = threads(server.pid());
    let of_policy = |wanted| {
        let names = threads.iter().filter(move |(_, policy)| *policy == wanted);
        names.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    let real_time = of_policy(ROUND_ROBIN);
    // The runtime's threads, one a processor, and the one that started them.
    let processors = std::thread::available_parallelism().unwrap().get();
    assert_eq!(real_time.len(), processors + 1, "{threads:?}");
    assert!(real_time.contains(&"bolo"), "{threads:?}");
    let others = of_policy(OTHER);
    let of_sqlite = others.iter().any(|name| name.starts_with("sqlx"));
    assert!(of_sqlite, "{threads:?}");
    assert_eq!(real_time.len() + others.len(), threads.len(), "{threads:?}");
    server.stop_cleanly(&[]).await;
}

#[tokio::test]
async fn who_may_not_be_real_time_does_not_start_and_is_told_what_is_missing() {
    let setup = wanting_it().await;
    let mut plain = setup.command(&["serve"]);
    let output = if is_allowed() {
        // The same without the right to it.
        let mut without = Command::new("setpriv");
        without
            .args(["--bounding-set=-sys_nice", "--inh-caps=-sys_nice"])
            .args(["prlimit", "--rtprio=0"])
            .arg(plain.get_program())
            .args(plain.get_args());
        for (key, value) in plain.get_envs() {
            without.env(key, value.unwrap_or_default());
        }
        without.output()
    } else {
        plain.output()
    };
    let output = output.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("server.realtime"), "{error}");
    assert!(error.contains("CAP_SYS_NICE"), "{error}");
}
