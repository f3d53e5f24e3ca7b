//! Round trips through mu-law, framing, cuts, loss and repetition.

use super::*;

fn hear(audio: &[u8]) -> Transcript {
    let mut decoder = Decoder::default();
    let mut transcript = Transcript::default();
    for frame in audio.chunks(g711::FRAME) {
        if let Some(note) = decoder.frame(frame) {
            transcript.add(&note);
        }
    }
    transcript
}

#[test]
fn a_text_is_heard_whole_at_every_offset() {
    let text = "Your order ships on Monday, is there anything else?";
    let audio = speak(text);
    assert_eq!(g711::ms(audio.len()), duration_ms(text));
    for offset in (0..160).step_by(7) {
        let mut line = vec![g711::SILENCE; offset];
        line.extend_from_slice(&audio);
        line.resize(line.len() + 320, g711::SILENCE);
        let heard = hear(&line);
        assert_eq!(heard.text(), text, "offset {offset}");
        assert!(heard.is_whole());
    }
}

#[test]
fn a_cut_is_heard_to_the_character() {
    let text = "abcdefghij klmnopqrst uvwxyz";
    let audio = speak(text);
    for chars in 1..text.len() {
        let mut decoder = Decoder::default();
        let last = audio[..chars * CHAR_SAMPLES]
            .chunks(g711::FRAME)
            .filter_map(|frame| decoder.frame(frame))
            .last();
        assert_eq!(last.map(|note| note.position), Some(chars - 1));
    }
}

#[test]
fn texts_follow_each_other_and_repeat() {
    let mut line = speak("First sentence.");
    line.extend(speak("Second one."));
    line.extend(speak("Second one."));
    line.extend(speak("No."));
    assert_eq!(
        hear(&line).text(),
        "First sentence. Second one. Second one. No."
    );
}

#[test]
fn lost_audio_is_lost_words_and_doubled_audio_doubled_words() {
    let text = "one two three four five six";
    let audio = speak(text);
    let at = |chars: usize| chars * CHAR_SAMPLES;
    // "two three " is characters 4 to 14.
    let lost = [&audio[..at(4)], &audio[at(14)..]].concat();
    assert_eq!(hear(&lost).text(), "one four five six");
    let doubled = [&audio[..at(14)], &audio[at(4)..]].concat();
    assert_eq!(
        hear(&doubled).text(),
        "one two three two three four five six"
    );
}

#[test]
fn noise_speech_and_silence_are_no_text() {
    let mut state = 7_u32;
    let noise: Vec<u8> = (0..16_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            g711::encode((state >> 18) as i16)
        })
        .collect();
    assert!(hear(&noise).is_empty());
    assert!(hear(&[g711::SILENCE; 1600]).is_empty());
    let speech = crate::clips::clip("turn04").unwrap_or_default();
    assert!(!speech.is_empty());
    assert!(hear(&speech).is_empty());
}

#[test]
fn the_same_text_has_one_number() {
    assert_eq!(registry::number_of("same"), registry::number_of("same"));
    assert_ne!(registry::number_of("same"), registry::number_of("other"));
}
