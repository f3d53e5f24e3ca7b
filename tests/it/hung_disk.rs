//! The guaranteed end of a call: a disk that hangs takes a call's task with it, yet the line is hung up,
//! the record is closed and other calls know nothing of it.

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
async fn a_call_whose_task_hangs_is_ended_at_its_cap() {
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
    // The disk is well again, without the file.
    std::fs::remove_file(&file).unwrap();
    drop(unread);
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["telephony_data"]["hangup_reason"], "internal_error");
    assert_eq!(record["telephony_data"]["hangup_by"], "Error");
    assert_eq!(record["transcript"], "assistant: Hello there.");
    let expected = [
        "outlived its cap",
        // Once the disk is well the blocked task runs on for a moment, and finds its call gone.
        "written fast enough",
        "without a recording",
        // What stood for the file is no file.
        "the recording could not be stored",
        "the transcriber closed the socket",
    ];
    world.end(&expected).await;
}
