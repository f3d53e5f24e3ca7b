//! A Redis for tests: the server that `BOLO_TEST_REDIS_URL` names, else a private one of the test process.
//! Tests that stop and start Redis have one of their own.
//!
//! Included with `#[path]`, beside `port.rs`. Without Redis on the machine the tests fail and say what to install.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

const MISSING: &str = "these tests need Redis: install it (Debian: apt-get install redis-server), or set \
     BOLO_TEST_REDIS_URL to its address";

/// The address of the Redis that tests share.
pub fn shared() -> String {
    static PRIVATE: OnceLock<Redis> = OnceLock::new();
    match std::env::var("BOLO_TEST_REDIS_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => PRIVATE.get_or_init(Redis::start).url.clone(),
    }
}

/// A server of a test's own; ends with it.
pub struct Redis {
    pub url: String,
    port: u16,
    shell: Option<Child>,
}

impl Redis {
    pub fn start() -> Self {
        let port = super::port::free_port();
        let mut redis = Self {
            url: format!("redis://127.0.0.1:{port}"),
            port,
            shell: None,
        };
        redis.start_again();
        redis
    }

    /// Kills it: who is connected sees the connection break.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            shell.wait().unwrap();
        }
    }

    /// At the same address, and empty.
    pub fn start_again(&mut self) {
        // The shell holds its standard input open: at our end, however it comes, the server is killed.
        let script = r#"redis-server --port "$1" --bind 127.0.0.1 --save "" --appendonly no --dir /tmp &
            server=$!
            cat > /dev/null
            kill -KILL $server
            wait $server 2> /dev/null
            exit 0"#;
        let mut shell = Command::new("sh")
            .args(["-c", script, "sh", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let mut lines = BufReader::new(shell.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut said = Vec::new();
        while !said
            .last()
            .is_some_and(|line: &String| line.contains("eady to accept connections"))
        {
            match lines.next() {
                Some(line) => said.push(line),
                None => panic!("{MISSING}\n{}", said.join("\n")),
            }
        }
        // Else the server would wait for someone to read what it has to say.
        std::thread::spawn(move || lines.for_each(drop));
        self.shell = Some(shell);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
