//! What ElevenLabs' socket of one stream is sent, and what is made of its answers.

use super::*;
use crate::synthesizer::elevenlabs::stream::Stream;

/// How a socket of one stream begins.
fn stream_begins() -> Value {
    json!({"text": " ", "voice_settings": {"stability": 0.4, "similarity_boost": 0.75,
        "style": 0.0, "speed": 1.2}})
}

/// Sound of a text, 50 ms a character, in either spelling of its times.
fn stream_sound(text: &str, (starts, durations): (&str, &str)) -> String {
    let count = text.chars().count();
    json!({"audio": STANDARD.encode(vec![1; count * 400]), "isFinal": null,
    "normalizedAlignment": null, "alignment": {
        "chars": text.chars().map(String::from).collect::<Vec<_>>(),
        starts: (0..count).map(|index| index * 50).collect::<Vec<_>>(),
        durations: vec![50; count],
    }})
    .to_string()
}

const STREAM_FINAL: &str =
    r#"{"audio":null,"isFinal":true,"normalizedAlignment":null,"alignment":null}"#;

fn done(context: u32, piece: u32) -> Spoken {
    Spoken::PieceDone { context, piece }
}

#[tokio::test]
async fn elevenlabs_stream() {
    let (mut session, mut peer, mut server) = open::<Stream>("eleven_flash_v2_5").await;
    assert_eq!(
        peer.path,
        "/v1/text-to-speech/Nila/stream-input?model_id=eleven_flash_v2_5&output_format=ulaw_8000\
         &inactivity_timeout=180&sync_alignment=true&language_code=hi"
    );
    assert_eq!(peer.headers["xi-api-key"], "sesame");
    let text = |text: &str| json!({"text": text, "flush": true});
    let end = json!({"text": ""});
    say(&session, 1, 0, "One.", false).await;
    expect(&mut peer, &[stream_begins(), text("One. ")]).await;
    say(&session, 1, 1, "Two.", true).await;
    expect(&mut peer, &[text("Two. "), end.clone()]).await;
    // One stream a socket: the next utterance has another, ahead of its text.
    say(&session, 2, 0, "Three.", true).await;
    peer.text(&stream_sound(
        "One. Two.",
        ("charStartTimesMs", "charDurationsMs"),
    ))
    .await;
    peer.text(STREAM_FINAL).await;
    let mut second = server.peer().await;
    assert_eq!(peer.next().await, None);
    expect(
        &mut second,
        &[stream_begins(), text("Three. "), end.clone()],
    )
    .await;
    // No cancel: another socket, and nothing of the old one is heard.
    cancel(&session, 2).await;
    let mut third = server.peer().await;
    assert_eq!(second.next().await, None);
    say(&session, 3, 0, "Four.", true).await;
    expect(&mut third, &[stream_begins(), text("Four. "), end]).await;
    let mut told = Vec::new();
    while told.last() != Some(&Spoken::Done { context: 1 }) {
        told.push(hear(&mut session).await);
    }
    let ends: Vec<_> = (told.iter().enumerate())
        .filter(|(_, told)| matches!(told, Spoken::PieceDone { .. }))
        .collect();
    assert_eq!(ends, [(1, &done(1, 0)), (3, &done(1, 1))]);
    // Its end was never told, yet the socket is closed as an ended stream's is.
    third
        .text(&stream_sound(
            "Four.",
            ("charsStartTimesMs", "charsDurationsMs"),
        ))
        .await;
    let closing = third.close(1000, "");
    let heard = async {
        match hear(&mut session).await {
            Spoken::Audio {
                context: 3, words, ..
            } => assert_eq!(words, [("Four.".into(), 0, 250)]),
            other => panic!("{other:?}"),
        }
        assert_eq!(hear(&mut session).await, done(3, 0));
        assert_eq!(hear(&mut session).await, Spoken::Done { context: 3 });
    };
    tokio::join!(closing, heard);
}

/// A stream that goes on: pieces end with their characters, words are timed within their piece.
#[tokio::test]
async fn elevenlabs_stream_tells_pieces_by_their_characters() {
    let (mut session, mut peer, mut server) = open::<Stream>("eleven_flash_v2_5").await;
    say(&session, 1, 0, "One two.", false).await;
    say(&session, 1, 1, "Three.", false).await;
    for text in ["One ", "two. Th", "ree. "] {
        peer.text(&stream_sound(text, ("charStartTimesMs", "charDurationsMs")))
            .await;
    }
    let mut told = Vec::new();
    while told.last() != Some(&done(1, 1)) {
        told.push(hear(&mut session).await);
    }
    let words: Vec<_> = (told.iter())
        .filter_map(|told| match told {
            Spoken::Audio {
                piece,
                words,
                audio,
                ..
            } => Some((*piece, audio.len(), &words[..])),
            _ => None,
        })
        .collect();
    let word = |text: &str, start, end| (text.to_owned(), start, end);
    assert_eq!(
        words,
        [
            (0, 1600, &[word("One", 0, 150)][..]),
            (0, 2000, &[word("two.", 0, 200)]),
            (1, 800, &[]),
            (1, 2000, &[word("Three.", 0, 200)]),
        ]
    );
    // A pause of the model; then the utterance is over without a word more, and so is the socket.
    say(&session, 1, 2, "", true).await;
    assert_eq!(hear(&mut session).await, done(1, 2));
    assert_eq!(hear(&mut session).await, Spoken::Done { context: 1 });
    let mut second = server.peer().await;
    expect(&mut second, &[stream_begins()]).await;
}
