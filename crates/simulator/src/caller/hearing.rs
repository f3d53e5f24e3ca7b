//! What the caller hears: when the agent is audible, and which words. Pure; one 20 ms frame at a time.

use super::timeline::Event;
use crate::{g711, tone};

/// Mean level from which a frame counts as sound: -42 dBFS, well above comfort noise.
const AUDIBLE: u32 = 220;
/// Silence that ends an utterance.
const GAP_MS: u64 = 400;
/// The longest utterance kept for the ears: one minute.
const CAPTURE: usize = 60 * g711::RATE as usize;

/// Listens to what is played to the caller.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    decoder: Option<tone::Decoder>,
    capture: Option<Vec<u8>>,
    transcript: tone::Transcript,
    words: usize,
    utterance: u64,
    speaking: bool,
    started_ms: u64,
    last_sound_ms: u64,
    sounding_frames: u64,
    all: Vec<String>,
}

impl Hearing {
    /// `tones`: recognise tone-coded texts. `capture`: keep each utterance's audio for ears.
    pub fn new(tones: bool, capture: bool) -> Self {
        Self {
            decoder: tones.then(tone::Decoder::default),
            capture: capture.then(Vec::new),
            ..Self::default()
        }
    }

    /// Takes the frame played until `at_ms` (`None` = silence). Returns the audio of an utterance
    /// that has just ended, if it is captured.
    pub fn frame(
        &mut self,
        at_ms: u64,
        frame: Option<&[u8]>,
        note: &mut impl FnMut(u64, Event),
    ) -> Option<Vec<u8>> {
        let loud = frame.filter(|frame| g711::level(frame) >= AUDIBLE);
        if loud.is_some() {
            self.sounding_frames += 1;
            self.last_sound_ms = at_ms;
            if !self.speaking {
                self.speaking = true;
                self.started_ms = at_ms.saturating_sub(20);
                self.utterance += 1;
                note(self.started_ms, Event::AgentStarted);
            }
        }
        if self.speaking
            && let (Some(capture), Some(frame)) = (&mut self.capture, frame)
            && capture.len() < CAPTURE
        {
            capture.extend_from_slice(frame);
        }
        if let (Some(decoder), Some(frame)) = (&mut self.decoder, loud)
            && let Some(heard) = decoder.frame(frame)
        {
            self.transcript.add(&heard);
            let words = self.transcript.words().len();
            if words > self.words {
                self.words = words;
                note(at_ms, self.heard(false));
            }
        }
        if self.speaking && at_ms.saturating_sub(self.last_sound_ms) >= GAP_MS {
            return self.finish(note);
        }
        None
    }

    /// Ends an utterance that is still going on, as the line falls silent for good.
    pub fn finish(&mut self, note: &mut impl FnMut(u64, Event)) -> Option<Vec<u8>> {
        if !self.speaking {
            return None;
        }
        self.speaking = false;
        note(self.last_sound_ms, Event::AgentStopped);
        if !self.transcript.is_empty() {
            note(self.last_sound_ms, self.heard(true));
            let words = self.transcript.words();
            self.all.extend(words.into_iter().map(str::to_owned));
            self.transcript.clear();
            self.words = 0;
        }
        self.capture.as_mut().map(std::mem::take)
    }

    /// The ears' text of the utterance that ended last.
    pub fn ears_heard(&mut self, utterance: u64, text: String) -> Event {
        self.all.extend(text.split_whitespace().map(str::to_owned));
        Event::Heard {
            utterance,
            text,
            done: true,
        }
    }

    fn heard(&self, done: bool) -> Event {
        Event::Heard {
            utterance: self.utterance,
            text: self.transcript.text(),
            done,
        }
    }

    /// Number of the current or last utterance, from 1.
    pub fn utterance(&self) -> u64 {
        self.utterance
    }

    /// Whether the agent is audible, gaps of 400 ms included.
    pub fn speaking(&self) -> bool {
        self.speaking
    }

    /// How long the current utterance has lasted.
    pub fn speaking_ms(&self, at_ms: u64) -> u64 {
        if self.speaking {
            at_ms.saturating_sub(self.started_ms)
        } else {
            0
        }
    }

    /// Since when nothing was audible.
    pub fn silence_ms(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.last_sound_ms)
    }

    /// Frames with sound since the call began: grows exactly when the agent is heard.
    pub fn sounding_frames(&self) -> u64 {
        self.sounding_frames
    }

    /// Words of the current utterance.
    pub fn words(&self) -> Vec<&str> {
        self.transcript.words()
    }

    /// All words heard since the call began.
    pub fn all_words(&self) -> impl Iterator<Item = &str> {
        self.all
            .iter()
            .map(String::as_str)
            .chain(self.transcript.words())
    }
}

/// Words without case and punctuation.
pub(crate) fn plain<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|word| {
            word.chars()
                .filter(|c| c.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Where `sought` ends in `words`, looking from `from` on.
pub(crate) fn find(words: &[String], from: usize, sought: &[String]) -> Option<usize> {
    if sought.is_empty() {
        return Some(from);
    }
    let end = words.len().checked_sub(sought.len())?;
    (from..=end)
        .find(|start| words[*start..*start + sought.len()] == *sought)
        .map(|start| start + sought.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(hearing: &mut Hearing, from_ms: u64, audio: &[u8]) -> Vec<(u64, Event)> {
        let mut events = Vec::new();
        for (n, frame) in audio.chunks_exact(g711::FRAME).enumerate() {
            let at = from_ms + (n as u64 + 1) * 20;
            hearing.frame(at, Some(frame), &mut |at, event| events.push((at, event)));
        }
        events
    }

    #[test]
    fn an_utterance_begins_grows_and_ends() {
        let mut hearing = Hearing::new(true, false);
        let mut audio = vec![g711::SILENCE; 1600];
        audio.extend(tone::speak("Hello you."));
        audio.resize(audio.len() + 8000, g711::SILENCE);
        let events = listen(&mut hearing, 0, &audio);
        let heard = |text: &str, done| Event::Heard {
            utterance: 1,
            text: text.into(),
            done,
        };
        let order: Vec<Event> = events.iter().map(|(_, event)| event.clone()).collect();
        assert_eq!(
            order,
            [
                Event::AgentStarted,
                heard("Hello", false),
                heard("Hello you.", false),
                Event::AgentStopped,
                heard("Hello you.", true),
            ]
        );
        assert_eq!(events[0].0, 200);
        assert_eq!(
            events[3].0, 860,
            "200 + 10 characters of 65 ms, in whole frames"
        );
    }

    #[test]
    fn phrases_are_found_in_order() {
        let words = plain(["Your order, ships on", "Monday. Your order!"]);
        let sought = plain(["your ORDER"]);
        assert_eq!(find(&words, 0, &sought), Some(2));
        assert_eq!(find(&words, 2, &sought), Some(7));
        assert_eq!(find(&words, 7, &sought), None);
    }
}
