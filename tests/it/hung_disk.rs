//! A disk that hangs costs recordings, and nothing else: the call goes on to its end, its record is closed,
//! and other calls know nothing of it.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
};

use bolo_simulator::caller::CallerScript;
use serde_json::json;

use crate::support::{Database, THEIRS, World, agent, agent_with};

/// Linux's flag, for our end only.
const O_NONBLOCK: i32 = 0o4000;
/// What a pipe is filled and emptied by.
const PAGE: usize = 4096;
/// Somebody else's number.
const OTHERS: &str = "+14155550198";

/// In place of a recording's file a pipe that nobody reads and that has room for its header and one and a
/// half seconds of audio: the welcome, not more.
fn full_pipe(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let mut pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .unwrap();
    while pipe.write(&[0; PAGE]).is_ok() {}
    pipe.read_exact(&mut [0; 12 * PAGE]).unwrap();
    pipe
}

#[tokio::test]
async fn a_disk_that_hangs_costs_the_recording_and_nothing_else() {
    let world = World::start(Database::Sqlite).await;
    let ringing = CallerScript {
        ring_ms: 1500,
        ..CallerScript::default()
    };
    world.fakes.carrier.script(THEIRS, ringing);
    let capped = agent_with(json!({"call_terminate": 4, "hangup_after_silence": 0}));
    let capped = world.server.create_agent(&capped).await;
    let execution = world.server.call(&capped, THEIRS).await;
    let file = world
        .server
        .folder()
        .join("data/scratch")
        .join(format!("{execution}.wav"));
    let unread = full_pipe(&file);
    let call = world.fakes.carrier.dialled(THEIRS).await.unwrap();
    call.hears("Hello there").await.unwrap();

    // Meanwhile the server serves others.
    world.fakes.carrier.script(OTHERS, CallerScript::default());
    let other = world.server.create_agent(&agent()).await;
    let other = world.server.call(&other, OTHERS).await;
    let neighbour = world.fakes.carrier.dialled(OTHERS).await.unwrap();
    neighbour.hears("Hello there").await.unwrap();
    neighbour.hangs_up().await.unwrap();
    world.server.status(&other, "completed").await;

    assert_eq!(call.ended().await.unwrap(), "completed");
    // While the disk still hangs.
    let record = world.server.status(&execution, "completed").await;
    let telephony = &record["telephony_data"];
    assert_eq!(telephony["hangup_reason"], "max_duration_reached");
    assert_eq!(telephony["recording_url"], json!(null));
    assert!(
        (record["transcript"].as_str().unwrap()).starts_with("assistant: Hello there."),
        "{record}"
    );
    let there = world.server.get(&format!("/executions/{other}")).await;
    assert!(
        there["telephony_data"]["recording_url"].is_string(),
        "{there}"
    );
    drop(unread);
    let expected = [
        "the recording was not written in time",
        // Once nobody holds the pipe.
        "without a recording",
    ];
    world.end(&expected).await;
}
