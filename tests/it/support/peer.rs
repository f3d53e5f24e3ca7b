//! Carriers' own SDKs as peers. `tests/run` installs them.

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Runs a script of `tests/it/sdk` and gives what it prints.
fn run(program: &str, path: (&str, &str), script: &str, arguments: &[&str], input: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/it/sdk");
    let mut command = Command::new(program);
    command
        .arg(format!("{folder}/{script}"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Ok(modules) = std::env::var(path.0) {
        command.env(path.1, modules);
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{script} failed; `tests/run` installs the SDK it needs"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// With Python's SDKs.
pub fn python(script: &str, arguments: &[&str], input: &str) -> String {
    let path = ("BOLO_TEST_PYTHONPATH", "PYTHONPATH");
    run("python3", path, script, arguments, input)
}

/// With those of Node.
pub fn node(script: &str, arguments: &[&str], input: &str) -> String {
    let path = ("BOLO_TEST_NODE_PATH", "NODE_PATH");
    run("node", path, script, arguments, input)
}
