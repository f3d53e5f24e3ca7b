//! Order, ownership and ends of pieces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const MULAW: Format = Format::Mulaw8k;

fn pieces() -> Pieces {
    Pieces::new(100, MULAW, MULAW).unwrap()
}

/// Sends what may be sent; the texts.
fn send(pieces: &mut Pieces, ahead: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(part) = pieces.next(ahead) {
        let id = part.id;
        texts.push(part.text.clone());
        pieces.sent(id);
    }
    texts
}

fn audio(context: u32, piece: u32, ms: usize, words: &[(&str, u64, u64)]) -> Spoken {
    Spoken::Audio {
        context,
        piece,
        audio: Bytes::from(vec![1; ms * 8]),
        words: words
            .iter()
            .map(|(word, start, end)| ((*word).to_owned(), *start, *end))
            .collect(),
    }
}

fn sound(ms: usize) -> Bytes {
    Bytes::from(vec![1; ms * 8])
}

fn done(context: u32, piece: u32) -> Spoken {
    Spoken::PieceDone { context, piece }
}

#[test]
fn audio_goes_to_the_oldest_open_piece_until_the_vendor_says_done() {
    let mut pieces = pieces();
    assert!(pieces.add(7, 0, "One. ", false, false).is_empty());
    assert!(pieces.add(7, 1, "Two.", true, false).is_empty());
    assert_eq!(send(&mut pieces, 9), ["One.", "Two."]);
    assert_eq!(pieces.audio(None, sound(20)), [audio(7, 0, 20, &[])]);
    assert_eq!(pieces.done(None), [done(7, 0)]);
    assert_eq!(pieces.audio(None, sound(10)), [audio(7, 1, 10, &[])]);
    assert_eq!(pieces.done(None), [done(7, 1), Spoken::Done { context: 7 }]);
    assert!(pieces.is_empty());
    assert!(pieces.audio(None, sound(10)).is_empty());
}

#[test]
fn a_vendor_that_moves_on_has_ended_what_was_before() {
    let mut pieces = pieces();
    pieces.add(7, 0, "One.", false, false);
    pieces.add(7, 1, "Two.", false, false);
    send(&mut pieces, 9);
    assert_eq!(
        pieces.audio(Some(1), sound(20)),
        [done(7, 0), audio(7, 1, 20, &[])]
    );
    assert!(pieces.audio(Some(0), sound(20)).is_empty());
}

#[test]
fn one_utterance_at_a_time_is_on_the_way() {
    let mut pieces = pieces();
    pieces.add(1, 0, "One.", true, false);
    pieces.add(2, 0, "Two.", true, false);
    assert_eq!(send(&mut pieces, 9), ["One."]);
    pieces.done(None);
    assert_eq!(send(&mut pieces, 9), ["Two."]);
}

#[test]
fn a_cancel_says_whether_the_vendor_is_at_work_on_it() {
    let mut pieces = pieces();
    pieces.add(1, 0, "One.", true, false);
    pieces.add(2, 0, "Two.", true, false);
    send(&mut pieces, 9);
    assert!(!pieces.cancel(2));
    assert!(pieces.cancel(1));
    assert!(pieces.is_empty());
    assert!(pieces.add(1, 1, "late", true, false).is_empty());
    assert!(pieces.is_empty());
    assert!(pieces.audio(None, sound(20)).is_empty());
}

#[test]
fn pieces_without_a_word_end_in_their_turn() {
    let mut pieces = pieces();
    assert_eq!(pieces.add(1, 0, "  ", false, false), [done(1, 0)]);
    pieces.add(1, 1, "One.", false, false);
    send(&mut pieces, 9);
    assert!(pieces.add(1, 2, "", true, false).is_empty());
    assert_eq!(send(&mut pieces, 9), [""]);
    assert_eq!(
        pieces.done(None),
        [done(1, 1), done(1, 2), Spoken::Done { context: 1 }]
    );
    // An end that comes before its text was sent goes with the text.
    pieces.add(2, 0, "Two.", false, false);
    pieces.add(2, 1, "", true, false);
    assert!(pieces.next(1).unwrap().last);
}

#[test]
fn sentences_are_joined_where_asked() {
    let mut pieces = pieces();
    pieces.add(1, 0, "Well, my friend,", false, true);
    assert!(!pieces.next(1).unwrap().is_sentence());
    pieces.add(1, 1, "no.", false, true);
    assert!(pieces.next(1).unwrap().is_sentence());
    pieces.add(1, 2, "Bye", true, true);
    assert_eq!(send(&mut pieces, 1), ["Well, my friend, no."]);
    // 16 characters belong to the first piece, about.
    assert_eq!(
        pieces.audio(None, sound(1100)),
        [audio(1, 0, 1040, &[]), done(1, 0), audio(1, 1, 60, &[])]
    );
    assert_eq!(pieces.done(None), [done(1, 1)]);
    assert!(pieces.next(1).unwrap().is_sentence());
}

#[test]
fn a_long_piece_is_spoken_in_parts() {
    let mut pieces = Pieces::new(12, MULAW, MULAW).unwrap();
    pieces.add(
        1,
        0,
        "One two. Three four five sixsixsixsixsix",
        true,
        false,
    );
    let mut facts = Vec::new();
    let mut texts = Vec::new();
    while let Some(part) = pieces.next(1) {
        let id = part.id;
        assert!(part.text.chars().count() <= 12);
        texts.push(part.text.clone());
        pieces.sent(id);
        facts.extend(pieces.done(None));
    }
    assert_eq!(
        texts,
        ["One two.", "Three four", "five", "sixsixsixsix", "six"]
    );
    assert_eq!(facts, [done(1, 0), Spoken::Done { context: 1 }]);
}

#[test]
fn words_go_with_their_audio() {
    let mut pieces = pieces();
    pieces.add(1, 0, "Hi there you.", true, false);
    send(&mut pieces, 1);
    let word = |text: &str, start, end| (text.to_owned(), start, end);
    pieces.words(None, vec![word("Hi", 0, 90), word("there", 100, 190)]);
    // A word is heard where it ends.
    assert_eq!(pieces.audio(None, sound(50)), [audio(1, 0, 50, &[])]);
    assert_eq!(
        pieces.audio(None, sound(150)),
        [audio(1, 0, 150, &[("Hi", 0, 40), ("there", 50, 140)])]
    );
    pieces.words(None, vec![word("you.", 190, 200)]);
    assert_eq!(
        pieces.done(None),
        [
            audio(1, 0, 0, &[("you.", 0, 0)]),
            done(1, 0),
            Spoken::Done { context: 1 }
        ]
    );
}

#[test]
fn utterances_end_with_what_they_have_when_no_more_comes() {
    let mut pieces = pieces();
    pieces.add(1, 0, "One.", false, false);
    send(&mut pieces, 1);
    pieces.add(2, 0, "Two.", false, false);
    let (closed, facts) = pieces.close();
    assert_eq!(closed, [1, 2]);
    assert!(facts.is_empty());
    assert_eq!(pieces.done(None), [done(1, 0), Spoken::Done { context: 1 }]);
}

#[test]
fn samples_stay_whole_and_formats_are_converted() {
    let pcm = Format::Pcm16 { rate: 8000 };
    let mut pieces = Pieces::new(100, pcm, pcm).unwrap();
    pieces.add(1, 0, "Hi.", true, false);
    send(&mut pieces, 1);
    let lengths: Vec<usize> = [3, 3, 1, 1]
        .into_iter()
        .flat_map(|count| pieces.audio(None, Bytes::from(vec![1; count])))
        .map(|spoken| match spoken {
            Spoken::Audio { audio, .. } => audio.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [2, 4, 2]);

    let made = Format::Pcm16 { rate: 24_000 };
    let mut pieces = Pieces::new(100, made, MULAW).unwrap();
    pieces.add(1, 0, "Hi.", true, false);
    send(&mut pieces, 1);
    let mut facts = pieces.audio(None, Bytes::from(vec![0; 48_000]));
    facts.extend(pieces.done(None));
    let bytes: usize = facts
        .iter()
        .map(|fact| match fact {
            Spoken::Audio { audio, .. } => audio.len(),
            _ => 0,
        })
        .sum();
    // A second, and the resampler's own delay.
    assert!((8000..=8200).contains(&bytes), "{bytes}");
}
