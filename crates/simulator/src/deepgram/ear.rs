//! What Deepgram makes of the audio: windows, interims, finals. Pure; time is the audio's.

use crate::{g711, tone};

/// Mean level from which a frame counts as speech.
pub(super) const SPEECH: u32 = 220;

/// What the audio gave rise to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finding {
    /// Voice activity began, at this second of audio.
    SpeechStarted(f64),
    /// Text of the open window.
    Result {
        start: f64,
        duration: f64,
        text: String,
        is_final: bool,
        speech_final: bool,
    },
    /// Nobody has spoken for `utterance_end_ms`.
    UtteranceEnd(f64),
}

/// Listens to one channel, 20 ms at a time.
#[derive(Debug)]
pub(super) struct Ear {
    interims: bool,
    interim_ms: u64,
    endpointing_ms: Option<u64>,
    utterance_end_ms: Option<u64>,
    vad_events: bool,
    decoder: tone::Decoder,
    transcript: tone::Transcript,
    clock_ms: u64,
    window_ms: u64,
    last_speech_ms: u64,
    last_interim_ms: u64,
    words_sent: usize,
    speaking: bool,
    utterance_open: bool,
}

impl Ear {
    pub fn new(asked: &super::Asked, interim_ms: u64) -> Self {
        let endpointing_ms = match asked.endpointing.as_deref() {
            None => Some(10),
            Some("false") => None,
            Some(ms) => ms.parse().ok(),
        };
        Self {
            interims: asked.interim_results,
            interim_ms,
            endpointing_ms,
            utterance_end_ms: asked.utterance_end_ms.filter(|_| asked.interim_results),
            vad_events: asked.vad_events,
            decoder: tone::Decoder::default(),
            transcript: tone::Transcript::default(),
            clock_ms: 0,
            window_ms: 0,
            last_speech_ms: 0,
            last_interim_ms: 0,
            words_sent: 0,
            speaking: false,
            utterance_open: false,
        }
    }

    /// Audio heard so far, ms.
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// Takes 20 ms of mu-law.
    pub fn frame(&mut self, frame: &[u8], found: &mut Vec<Finding>) {
        self.clock_ms += 20;
        if g711::level(frame) >= SPEECH {
            self.last_speech_ms = self.clock_ms;
            if !self.speaking {
                self.speaking = true;
                if self.vad_events {
                    found.push(Finding::SpeechStarted(seconds(self.clock_ms - 20)));
                }
            }
            if let Some(note) = self.decoder.frame(frame) {
                self.transcript.add(&note);
            }
            self.interim(found);
            return;
        }
        let silence = self.clock_ms - self.last_speech_ms;
        if self.speaking && self.endpointing_ms.is_some_and(|limit| silence >= limit) {
            self.speaking = false;
            self.finish(true, found);
        }
        if self.utterance_open && self.utterance_end_ms.is_some_and(|limit| silence >= limit) {
            self.utterance_open = false;
            found.push(Finding::UtteranceEnd(seconds(self.last_speech_ms)));
        }
    }

    /// Freezes the open window. `speech_final`: by endpointing, else by request.
    pub fn finish(&mut self, speech_final: bool, found: &mut Vec<Finding>) {
        let text = self.transcript.text();
        if !text.is_empty() {
            self.utterance_open = true;
        } else if !speech_final {
            return;
        }
        found.push(Finding::Result {
            start: seconds(self.window_ms),
            duration: seconds(self.clock_ms - self.window_ms),
            text,
            is_final: true,
            speech_final,
        });
        self.transcript.clear();
        self.words_sent = 0;
        self.window_ms = self.clock_ms;
        self.last_interim_ms = self.clock_ms;
    }

    fn interim(&mut self, found: &mut Vec<Finding>) {
        let due = self.words_sent == 0 || self.clock_ms - self.last_interim_ms >= self.interim_ms;
        if !self.interims || !due {
            return;
        }
        let words = self.transcript.words().len();
        if words > self.words_sent {
            self.words_sent = words;
            self.last_interim_ms = self.clock_ms;
            found.push(Finding::Result {
                start: seconds(self.window_ms),
                duration: seconds(self.clock_ms - self.window_ms),
                text: self.transcript.text(),
                is_final: false,
                speech_final: false,
            });
        }
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
