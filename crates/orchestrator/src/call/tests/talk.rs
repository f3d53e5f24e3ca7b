//! Turns, barge-in, vendors that fail.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_from_the_welcome_to_the_callers_goodbye() {
    // "Welcome." is 8 characters, so 320 ms of audio; the answer 4, so 160 ms.
    let mut stage = call("Welcome.", json!({}), &["Sure"]).await;
    let mut far = stage.hears().await;
    let (_nothing, empty) = mpsc::channel(1);
    let mut input = std::mem::replace(&mut far.input, empty);
    let _takes = AbortOnDropHandle::new(tokio::spawn(async move {
        while input.recv().await.is_some() {}
    }));
    stage.pass(1000).await;
    assert_eq!(stage.peer.audio_ms(), 320);
    assert_eq!(stage.peer.names().last().unwrap(), "mark 1:end");
    says(&far, "I want to book").await;
    stage.pass(1000).await;
    assert_eq!(stage.peer.audio_ms(), 480);
    let asked = stage.cast.llm.asked.lock().unwrap()[0].clone();
    assert_eq!(
        asked.messages.last().unwrap().content.as_deref(),
        Some("I want to book")
    );
    stage.peer.says("stop");
    drop(far);
    let rendered = stage.rendered;
    let (notebook, paper, ledger, left, right, _scratch) = stage.ends().await;

    let books = ledger.books();
    assert_eq!(books.end, Some(End::Remote));
    assert_eq!(
        books.transcript,
        "assistant: Welcome.\nuser: I want to book\nassistant: Sure"
    );
    let tokens = &books.usage.llm_model["gpt-4.1-mini"];
    assert_eq!((tokens.input, tokens.output, tokens.cached), (100, 10, 40));
    assert!(rendered > 8, "the welcome and more");
    assert_eq!(
        books.usage.synthesizer_characters,
        rendered + 4,
        "the welcome came from the cache"
    );
    let own = &books.usage.synthesizers["fake:mouth"];
    assert_eq!(own.amount, (rendered + 4) as f64);
    assert_eq!(books.usage.transcriber_duration, 2.0);
    let latency = books.latency.json();
    assert_eq!(latency["time_to_first_audio"], 100);
    assert_eq!(latency["turns"][0]["added_ms"], 0.0);
    assert_eq!(
        latency["transcriber"]["turns"][0]["turn_latency"][0]["text"],
        "I want to book"
    );

    let runs = sounds(&right);
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0], (0, 320));
    assert_eq!(runs[1].1 - runs[1].0, 160);
    assert!(left.len() >= 8 * 1980, "{}", left.len());

    let lines = paper.lines.lock().unwrap();
    assert_eq!(lines[0], "answered");
    assert!(
        lines.contains(&"note assistant: Welcome.\nuser: I want to book".to_owned()),
        "{lines:?}"
    );
    let entries = notebook.entries.lock().unwrap();
    let answer = entries
        .iter()
        .find(|entry| (entry.component, entry.kind) == (Component::Llm, EntryKind::Response));
    assert_eq!(answer.unwrap().provider, "gpt-4.1-mini");
    let said = entries.iter().find(|entry| {
        (entry.component, entry.kind) == (Component::Synthesizer, EntryKind::Request)
    });
    assert_eq!(said.unwrap().metadata["cached"], true);

    // What replays is what happened.
    let events = notebook.events.lock().unwrap();
    let replayed = crate::replay(&events).unwrap();
    assert_eq!(replayed.inputs, events.len() - 1);
    assert!(replayed.decisions > 10 && replayed.over);
    assert_eq!(replayed.transcript, books.transcript);
}

#[tokio::test(start_paused = true)]
async fn a_barge_in_clears_at_once_and_the_recording_ends_where_the_agent_was_cut() {
    let long = "Your order will arrive on Monday in the morning, between nine and eleven.";
    let mut stage = call("", json!({}), &[long, "Oh"]).await;
    let far = stage.hears().await;
    stage.pass(500).await;
    says(&far, "where is my order").await;
    stage.pass(1500).await;
    let cut = stage.at();
    far.output
        .send(Ok(Heard::Interim("but I wanted".into())))
        .await
        .unwrap();
    let cleared = stage
        .peer
        .sees(|command| *command == MediaCommand::Clear)
        .await;
    assert_eq!(
        cleared,
        Instant::now(),
        "no time passes between the words and the clear"
    );
    let place = stage.peer.seen.len();
    stage.pass(1000).await;
    assert_eq!(
        stage.peer.seen.len(),
        place,
        "nothing of the old answer follows: {:?}",
        stage.peer.names()
    );
    says(&far, "but I wanted it today").await;
    stage.pass(1000).await;
    stage.peer.says("stop");
    drop(far);
    let (notebook, _, ledger, _, right, _scratch) = stage.ends().await;
    let runs = sounds(&right);
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(
        runs[0].1 as u64 <= cut + 1 && runs[0].1 as u64 + 40 >= cut,
        "{runs:?}, cut at {cut}"
    );
    let transcript = ledger.books().transcript.clone();
    let heard = transcript
        .lines()
        .find(|line| line.starts_with("assistant: "))
        .unwrap();
    assert!(
        long.starts_with(&heard["assistant: ".len()..]) && heard.len() < long.len(),
        "{heard}"
    );
    crate::replay(&notebook.events.lock().unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_transcriber_that_dies_is_replaced_and_the_machine_told() {
    let mut stage = call(
        "",
        json!({"hangup_after_silence": 0, "check_if_user_online": false}),
        &["Sure"],
    )
    .await;
    let far = stage.hears().await;
    stage.pass(500).await;
    drop(far);
    stage.pass(500).await;
    let far = stage.hears().await;
    says(&far, "are you there").await;
    stage.pass(1000).await;
    assert_eq!(stage.peer.audio_ms(), 160);
    let news = stage.notebook.inputs(|input| {
        matches!(
            input,
            Input::TranscriberDown { .. } | Input::TranscriberUp | Input::TurnEnd { .. }
        )
    });
    let [
        (_, Input::TranscriberDown { .. }),
        (_, Input::TranscriberUp),
        (_, end),
    ] = &news[..]
    else {
        panic!("{news:?}")
    };
    assert_eq!(
        *end,
        Input::TurnEnd {
            text: "are you there".into(),
            why: TurnEndWhy::SpeechFinal
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_longer_than_what_may_wait_is_spoken_to_its_end() {
    // 41 s, where 30 may wait to be played: the synthesizer is asked again as they are.
    let answer = "The parcel is on its way to you at last. ".repeat(25);
    let mut stage = call("", json!({}), &[answer.trim()]).await;
    let far = stage.hears().await;
    stage.pass(500).await;
    says(&far, "tell me all").await;
    stage.pass(44_000).await;
    let said = stage.peer.audio_ms();
    assert!(said >= 39_000, "{said} ms");
}
