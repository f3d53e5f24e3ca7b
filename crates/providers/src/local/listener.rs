//! Turns out of frames: when to transcribe, when a turn is over, what to tell. Pure: counts time by
//! audio, runs no model and waits for nothing, so that a call can be replayed as fast as it can be read.
//!
//! A turn is speech with pauses. After 200 ms of silence ([`Step::Check`]) its open segment is
//! transcribed and the turn model asked; the answer decides how long a pause may get. Speech that
//! resumes before [`SEAL_MS`] goes on in the same segment, so that a short pause cuts no sentence.

use bolo_audio::{Edge, Format, Vad, VadSettings, samples};

use super::turn::{LONG_PAUSE_MS, SURE, longest_pause};
use crate::{Error, ErrorKind, Heard, HeardEnd};

/// Audio before the first sign of speech that belongs to it: detectors are late.
const PRE_ROLL_MS: u64 = 300;
/// A pause after which a segment will not change any more, ms.
const SEAL_MS: u64 = 700;
/// First look at an open segment, ms of speech, and the time from then to the next.
const FIRST_INTERIM_MS: u64 = 320;
const INTERIM_MS: u64 = 400;
/// The longest segment, ms, and where in it a cut is looked for.
const LONGEST_MS: u64 = 20_000;
const CUT_FROM_MS: u64 = 12_000;
/// What the turn model looks back on, ms.
const LOOK_BACK_MS: u64 = 8_000;
/// The shortest pause that may end a turn, ms; the detector's own.
const SHORTEST_PAUSE_MS: u64 = 200;
/// An undecided turn model is asked again after this much silence, ms: it has then heard more of it.
const SECOND_LOOK_MS: u64 = 500;
/// A lone "You" is what the model hears in noise; below this mean score of the detector it is dropped.
const SURE_VOICE: f32 = 0.75;

/// Follows a caller.
pub(super) struct Listener {
    format: Format,
    endpointing_ms: u64,
    vad: Vad,
    /// The last seconds, at the format's rate, and the place of the first sample.
    audio: Vec<i16>,
    base: u64,
    turn: Option<Turn>,
    /// Speech before this place has been dealt with.
    done_until: u64,
    segments: u32,
}

struct Turn {
    start: u64,
    /// Some of it was told as final.
    told: bool,
    segment: Option<Segment>,
    pause: Option<Pause>,
}

struct Segment {
    number: u32,
    start: u64,
    next_interim_ms: u64,
    interim: String,
}

struct Pause {
    since_ms: u64,
    /// Of the open segment.
    text: String,
    ends_at_ms: u64,
    ask_again: bool,
}

/// What is to be done before the next frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Tell this.
    Tell(Heard),
    /// Transcribe the open segment if there is time, and give it to [`Listener::interim`].
    Interim {
        /// Of the segment.
        number: u32,
        /// Its audio so far, at the format's rate.
        audio: Vec<i16>,
    },
    /// Transcribe `segment`, ask the turn model about `turn`, and give both to [`Listener::checked`].
    Check {
        /// Audio of the open segment.
        segment: Vec<i16>,
        /// Audio of the turn, at most 8 s.
        turn: Vec<i16>,
    },
    /// Ask the turn model about `turn`, and give its score to [`Listener::looked_again`].
    SecondLook {
        /// Audio of the turn, at most 8 s.
        turn: Vec<i16>,
    },
    /// Transcribe this part of a long turn, and give it to [`Listener::sealed`].
    Seal {
        /// Audio of the part.
        audio: Vec<i16>,
    },
}

impl Listener {
    pub(super) fn new(format: Format, endpointing_ms: u32) -> Result<Self, Error> {
        let settings = VadSettings {
            silence_ms: SHORTEST_PAUSE_MS,
            exact: true,
            ..VadSettings::default()
        };
        let vad = Vad::new(format, settings)
            .map_err(|cause| super::error("transcriber", ErrorKind::BadRequest, cause))?;
        Ok(Self {
            format,
            endpointing_ms: u64::from(endpointing_ms).min(LONG_PAUSE_MS),
            vad,
            audio: Vec::new(),
            base: 0,
            turn: None,
            done_until: 0,
            segments: 0,
        })
    }

    /// Takes a frame. The steps must be done in order before the next one.
    pub(super) fn hear(&mut self, frame: &[u8]) -> Vec<Step> {
        let mut steps = Vec::new();
        samples(frame, self.format, &mut self.audio);
        for edge in self.vad.push(frame) {
            match edge {
                Edge::Speech { since_ms, .. } => self.speech(since_ms, &mut steps),
                Edge::Silence { .. } => self.check(&mut steps),
            }
        }
        self.look_at_segment(&mut steps);
        self.look_at_pause(&mut steps);
        self.trim();
        steps
    }

    /// What an open segment says so far.
    pub(super) fn interim(&mut self, number: u32, text: String) -> Option<Heard> {
        let sure = self.is_speech(&text);
        let segment = self.turn.as_mut()?.segment.as_mut()?;
        if segment.number != number || !sure || segment.interim == text {
            return None;
        }
        segment.interim.clone_from(&text);
        Some(Heard::Interim(text))
    }

    /// The answers to [`Step::Check`]: `score` is the turn model's.
    pub(super) fn checked(&mut self, text: String, score: f32) -> Vec<Step> {
        let speech = self.is_speech(&text);
        let since_ms = self.vad_silence_since();
        let Some(turn) = &mut self.turn else {
            return Vec::new();
        };
        if !speech && !turn.told {
            return self.end_turn(String::new());
        }
        let text = if speech { text } else { String::new() };
        let pause = longest_pause(score, &text);
        let ends_at_ms = since_ms + pause.longest_ms.clamp(self.endpointing_ms, LONG_PAUSE_MS);
        let ask_again = pause.ask_again;
        turn.pause = Some(Pause {
            since_ms,
            text,
            ends_at_ms,
            ask_again,
        });
        let mut steps = Vec::new();
        self.look_at_pause(&mut steps);
        steps
    }

    /// The answer to [`Step::SecondLook`].
    pub(super) fn looked_again(&mut self, score: f32) -> Vec<Step> {
        if let Some(pause) = self.turn.as_mut().and_then(|turn| turn.pause.as_mut())
            && score >= SURE
        {
            // The words allow an end, else the model would not have been asked again.
            pause.ends_at_ms = pause.ends_at_ms.min(pause.since_ms + SECOND_LOOK_MS);
        }
        let mut steps = Vec::new();
        self.look_at_pause(&mut steps);
        steps
    }

    /// The text of a [`Step::Seal`].
    pub(super) fn sealed(&mut self, text: String) -> Option<Heard> {
        let speech = self.is_speech(&text);
        let turn = self.turn.as_mut()?;
        turn.told |= speech;
        speech.then_some(Heard::Final(text))
    }

    /// The call is over: the audio of the open segment, to be given to [`Listener::sealed`], or a text
    /// that waits to be told.
    pub(super) fn finish(&mut self) -> Option<Step> {
        let turn = self.turn.as_mut()?;
        if let Some(pause) = turn.pause.take() {
            let waits = turn.segment.take().is_some() && !pause.text.is_empty();
            return waits.then_some(Step::Tell(Heard::Final(pause.text)));
        }
        let start = turn.segment.take()?.start;
        Some(Step::Seal {
            audio: self.slice(start, self.now()),
        })
    }

    /// Seconds of audio heard.
    pub(super) fn seconds(&self) -> f64 {
        self.now() as f64 / f64::from(self.format.rate())
    }

    fn speech(&mut self, since_ms: u64, steps: &mut Vec<Step>) {
        let start = self
            .place(since_ms.saturating_sub(PRE_ROLL_MS))
            .max(self.done_until);
        let now_ms = self.vad.now_ms();
        self.segments += 1;
        let segment = Segment {
            number: self.segments,
            start,
            next_interim_ms: now_ms.max(since_ms + FIRST_INTERIM_MS),
            interim: String::new(),
        };
        let turn = self.turn.get_or_insert(Turn {
            start,
            told: false,
            segment: None,
            pause: None,
        });
        turn.pause = None;
        turn.segment.get_or_insert(segment);
        steps.push(Step::Tell(Heard::SpeechStarted));
    }

    fn check(&mut self, steps: &mut Vec<Step>) {
        let now = self.now();
        let Some(turn) = &self.turn else {
            return;
        };
        let Some(segment) = &turn.segment else {
            return;
        };
        steps.push(Step::Check {
            segment: self.slice(segment.start, now),
            turn: self.look_back(turn.start),
        });
    }

    /// The turn's audio, at most 8 s.
    fn look_back(&self, start: u64) -> Vec<i16> {
        let now = self.now();
        self.slice(now.saturating_sub(self.place(LOOK_BACK_MS)).max(start), now)
    }

    fn look_at_segment(&mut self, steps: &mut Vec<Step>) {
        let (now, now_ms) = (self.now(), self.vad.now_ms());
        if !self.vad.speaking() {
            return;
        }
        let longest = self.place(LONGEST_MS);
        let Some(segment) = self.turn.as_mut().and_then(|turn| turn.segment.as_mut()) else {
            return;
        };
        let (start, number) = (segment.start, segment.number);
        if now - start >= longest {
            let cut = self.quietest(start + self.place(CUT_FROM_MS), now);
            steps.push(Step::Seal {
                audio: self.slice(start, cut),
            });
            self.segments += 1;
            let number = self.segments;
            self.done_until = cut;
            if let Some(segment) = self.turn.as_mut().and_then(|turn| turn.segment.as_mut()) {
                segment.start = cut;
                segment.number = number;
                segment.next_interim_ms = now_ms + INTERIM_MS;
            }
        } else if now_ms >= segment.next_interim_ms {
            segment.next_interim_ms = now_ms + INTERIM_MS;
            steps.push(Step::Interim {
                number,
                audio: self.slice(start, now),
            });
        }
    }

    fn look_at_pause(&mut self, steps: &mut Vec<Step>) {
        let now_ms = self.vad.now_ms();
        let Some(turn) = &mut self.turn else {
            return;
        };
        let Some(pause) = &mut turn.pause else {
            return;
        };
        if pause.ask_again && now_ms >= pause.since_ms + SECOND_LOOK_MS {
            pause.ask_again = false;
            let start = turn.start;
            steps.push(Step::SecondLook {
                turn: self.look_back(start),
            });
            return;
        }
        if now_ms >= pause.ends_at_ms {
            let text = std::mem::take(&mut pause.text);
            steps.extend(self.end_turn(text));
        } else if now_ms >= pause.since_ms + SEAL_MS && turn.segment.take().is_some() {
            let text = std::mem::take(&mut pause.text);
            let silence = pause.since_ms;
            if !text.is_empty() {
                turn.told = true;
                steps.push(Step::Tell(Heard::Final(text)));
            }
            self.done_until = self.place(silence);
        }
    }

    /// `text`: of the last segment, where it was not told.
    fn end_turn(&mut self, text: String) -> Vec<Step> {
        let told = self.turn.take().is_some_and(|turn| turn.told);
        self.done_until = self.place(self.vad_silence_since());
        vec![Step::Tell(if told || !text.is_empty() {
            Heard::TurnEnd {
                text,
                why: HeardEnd::EndOfTurn,
            }
        } else {
            Heard::SpeechEnded
        })]
    }

    /// Whether a text is more than what the model hears in noise.
    fn is_speech(&self, text: &str) -> bool {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        let plain: String = letters.flat_map(char::to_lowercase).collect();
        !plain.is_empty() && (plain != "you" || self.vad.score() >= SURE_VOICE)
    }

    /// When the present silence began; the detector tells of it 200 ms later.
    fn vad_silence_since(&self) -> u64 {
        self.vad.now_ms().saturating_sub(SHORTEST_PAUSE_MS)
    }

    /// The middle of the quietest 20 ms between two places.
    fn quietest(&self, from: u64, to: u64) -> u64 {
        let frame = (self.format.rate() / 50).max(1) as usize;
        let range = self.slice(from, to);
        let loudness = |frame: &[i16]| -> u64 {
            frame
                .iter()
                .map(|sample| u64::from(sample.unsigned_abs()).pow(2))
                .sum()
        };
        let best = range
            .chunks_exact(frame)
            .enumerate()
            .min_by_key(|(_, frame)| loudness(frame))
            .map_or(0, |(index, _)| index);
        from + (best * frame + frame / 2) as u64
    }

    fn now(&self) -> u64 {
        self.base + self.audio.len() as u64
    }

    /// The place of a time.
    fn place(&self, ms: u64) -> u64 {
        ms * u64::from(self.format.rate()) / 1000
    }

    fn slice(&self, from: u64, to: u64) -> Vec<i16> {
        let index = |place: u64| (place.saturating_sub(self.base) as usize).min(self.audio.len());
        self.audio[index(from)..index(to).max(index(from))].to_vec()
    }

    /// Forgets audio no one will ask for.
    fn trim(&mut self) {
        let keep = match &self.turn {
            None => self.now().saturating_sub(self.place(2 * PRE_ROLL_MS)),
            Some(turn) => {
                let back = self.now().saturating_sub(self.place(LOOK_BACK_MS));
                turn.segment
                    .as_ref()
                    .map_or(back, |segment| segment.start.min(back))
            }
        };
        let surplus = (keep.saturating_sub(self.base)) as usize;
        // In steps of a second, since moving the rest costs time.
        if surplus >= self.format.rate() as usize {
            self.audio.drain(..surplus);
            self.base += surplus as u64;
        }
    }
}

#[cfg(test)]
mod tests;
