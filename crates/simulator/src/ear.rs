//! What a transcriber makes of the audio: windows, interims, finals, ends of speech. Pure; time is the
//! audio's.

use crate::{g711, tone};

/// Mean level from which a frame counts as speech.
pub(crate) const SPEECH: u32 = 220;

/// What the audio gave rise to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
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

/// How a vendor listens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    /// Speech between two interims, ms; `None`: there are no interims.
    pub interim_ms: Option<u64>,
    /// Silence that ends a segment, ms; `None`: none does.
    pub endpointing_ms: Option<u64>,
    /// Silence that ends an utterance, ms.
    pub utterance_end_ms: Option<u64>,
    /// Whether the beginning of speech is told.
    pub vad_events: bool,
}

/// Listens to one channel, 20 ms at a time.
#[derive(Debug)]
pub(crate) struct Ear {
    manners: Manners,
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
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
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
                if self.manners.vad_events {
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
        if self.speaking
            && self
                .manners
                .endpointing_ms
                .is_some_and(|limit| silence >= limit)
        {
            self.speaking = false;
            self.finish(true, found);
        }
        if self.utterance_open
            && self
                .manners
                .utterance_end_ms
                .is_some_and(|limit| silence >= limit)
        {
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
        let Some(interim_ms) = self.manners.interim_ms else {
            return;
        };
        if self.words_sent > 0 && self.clock_ms - self.last_interim_ms < interim_ms {
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
