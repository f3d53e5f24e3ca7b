//! Audio that says which text it is and where in it: 65 ms a character, five tones at once. It
//! survives mu-law, 20 ms framing at any offset and cuts at any sample, so that a test can tell
//! to the character what was heard, and lost or doubled audio shows as lost or doubled words.
//!
//! Five bands of 12 tones each, 50 Hz apart from 300 to 3250 Hz, so that 20 ms hold whole periods of
//! each: two bands count characters (modulo 144), three spell the text's number in a table that this
//! process shares. The table holds the 1728 newest texts; of older ones nobody hears what they were.

mod registry;
mod transcript;

use std::{f32::consts::TAU, sync::Arc};

pub(crate) use registry::forgotten;
pub use transcript::Transcript;

use crate::g711;

/// How long a character sounds.
pub const CHAR_MS: u64 = 65;
/// Samples a character, 520.
pub const CHAR_SAMPLES: usize = (CHAR_MS * g711::RATE / 1000) as usize;

/// Texts that are told from each other, the newest of this process.
pub(crate) const TEXTS: usize = TONES * TONES * TONES;

const BANDS: usize = 5;
const TONES: usize = 12;
/// Characters are counted modulo this.
const TURN: usize = TONES * TONES;
/// Lowest tone in units of 50 Hz.
const LOWEST: usize = 6;
/// Amplitude of each tone: together about -18 dBFS.
const AMPLITUDE: f32 = 2700.0;
/// A tone must stand out of its band by this factor in power.
const DOMINANCE: f32 = 6.0;
/// Mean level under which a frame is no speech.
const FLOOR: u32 = 300;

/// One recognised moment of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The whole text that is being spoken.
    pub text: Arc<str>,
    /// Which character sounds, from 0.
    pub position: usize,
    /// True when this is not the continuation of the note before: another text, or this one again.
    pub fresh: bool,
}

/// Speaks a text: mu-law 8 kHz, 65 ms a character. Empty for an empty text.
pub fn speak(text: &str) -> Vec<u8> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    let id = usize::from(registry::number_of(text));
    let period = g711::FRAME;
    let wave: Vec<f32> = (0..period)
        .map(|n| AMPLITUDE * (TAU * n as f32 / period as f32).sin())
        .collect();
    let mut audio = Vec::with_capacity(text.chars().count() * CHAR_SAMPLES);
    for position in 0..text.chars().count() {
        let step = position % TURN;
        let tones = [
            step % TONES,
            step / TONES,
            id % TONES,
            id / TONES % TONES,
            id / TURN,
        ];
        let bins: [usize; BANDS] = std::array::from_fn(|band| bin(band, tones[band]));
        // All tones begin anew with each period.
        let cycle: [u8; g711::FRAME] = std::array::from_fn(|n| {
            let sample: f32 = bins.iter().map(|bin| wave[bin * n % period]).sum();
            g711::encode(sample as i16)
        });
        let samples = position * CHAR_SAMPLES..(position + 1) * CHAR_SAMPLES;
        audio.extend(samples.map(|n| cycle[n % period]));
    }
    audio
}

/// Milliseconds that a text takes.
pub fn duration_ms(text: &str) -> u64 {
    text.trim().chars().count() as u64 * CHAR_MS
}

/// Frequency of a band's tone in units of 50 Hz.
fn bin(band: usize, tone: usize) -> usize {
    LOWEST + band * TONES + tone
}

/// Follows one direction of a line, frame by frame.
#[derive(Debug, Default)]
pub struct Decoder {
    current: Option<(usize, Arc<str>, usize, usize)>,
}

impl Decoder {
    /// Recognises a 20 ms frame (160 bytes). `None`: silence, a border between characters, or sound
    /// that is no tone-coded text.
    pub fn frame(&mut self, frame: &[u8]) -> Option<Note> {
        if frame.len() != g711::FRAME || g711::level(frame) < FLOOR {
            return None;
        }
        let (id, step) = symbol(frame)?;
        let known = self
            .current
            .take()
            .filter(|(number, ..)| *number == id)
            .and_then(|(number, text, length, position)| {
                let ahead = (step + TURN - position % TURN) % TURN;
                let next = position + ahead;
                // More than half a turn ahead is a step back: the text is heard again.
                (ahead <= TURN / 2 && next < length).then_some((number, text, length, next))
            });
        let fresh = known.is_none();
        let current = match known {
            Some(known) => known,
            None => {
                let text = registry::text_of(id as u16)?;
                let length = text.chars().count();
                (id, text, length, step)
            }
        };
        let (_, text, length, position) = &current;
        let note = (position < length).then(|| Note {
            text: text.clone(),
            position: *position,
            fresh,
        });
        self.current = note.as_ref().map(|_| current);
        note
    }
}

/// The text's number and the character modulo 144 of a frame, if all bands speak clearly.
fn symbol(frame: &[u8]) -> Option<(usize, usize)> {
    let mut samples = [0.0_f32; g711::FRAME];
    for (sample, byte) in samples.iter_mut().zip(frame) {
        *sample = f32::from(g711::decode(*byte));
    }
    let mut tones = [0; BANDS];
    for (band, tone) in tones.iter_mut().enumerate() {
        let (mut best, mut second) = (0.0_f32, 0.0_f32);
        for (candidate, power) in powers(&samples, band).into_iter().enumerate() {
            if power > best {
                (best, second) = (power, best);
                *tone = candidate;
            } else {
                second = second.max(power);
            }
        }
        if best < DOMINANCE * second {
            return None;
        }
    }
    let id = tones[2] + TONES * tones[3] + TURN * tones[4];
    Some((id, tones[0] + TONES * tones[1]))
}

/// Goertzel's power of each tone of a band in a frame, all side by side: it is most of what a load of callers costs.
fn powers(samples: &[f32; g711::FRAME], band: usize) -> [f32; TONES] {
    let coefficient = std::array::from_fn::<f32, TONES, _>(|tone| {
        2.0 * (TAU * bin(band, tone) as f32 / g711::FRAME as f32).cos()
    });
    let (mut one, mut two) = ([0.0_f32; TONES], [0.0_f32; TONES]);
    for sample in samples {
        for tone in 0..TONES {
            let zero = coefficient[tone] * one[tone] + (sample - two[tone]);
            two[tone] = one[tone];
            one[tone] = zero;
        }
    }
    std::array::from_fn(|tone| {
        let (one, two) = (one[tone], two[tone]);
        one * one + two * two - coefficient[tone] * one * two
    })
}

#[cfg(test)]
mod tests;
