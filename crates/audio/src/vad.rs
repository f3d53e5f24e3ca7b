//! Voice activity of one stream, as edges: a level gate that costs next to nothing, and behind it a
//! small neural detector (`earshot`) that tells voice from noise.

use std::collections::VecDeque;

mod doubler;

use doubler::Doubler;

use crate::{Error, Format, Resampler, samples};

/// The detector's rate and block: 16 ms.
const RATE: u32 = 16_000;
const BLOCK: usize = 256;
const BLOCK_MS: u64 = 16;
/// Blocks kept while the detector hears none and replayed when something begins behind silence, for it looks back 48 ms.
const WARM_UP: usize = 4;
/// Blocks below the gate after which the detector rests again: 320 ms.
const REST_AFTER: u32 = 20;
/// Blocks in a row that speech is sure to go on, by the detector, after which it takes a break as long as they are loud.
/// It would end speech there only where a noise takes over from it.
const SURE_AFTER: u32 = 12;
/// Blocks of such a break: 288 ms. Then it hears some.
const BREAK: u32 = 18;
const BETWEEN_BREAKS: u32 = 4;
/// Three blocks whose levels lie this close together are a tone.
const STEADY_DB: f32 = 0.3;

/// When speech is said to begin and end. Start values were chosen on synthetic callers at 8 kHz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadSettings {
    /// Detector score (0 to 1) from which a block may open speech.
    pub open: f32,
    /// Score below which a block of open speech counts as silence; lower than `open`, so that weak
    /// syllables don't end it.
    pub keep: f32,
    /// Speech this long makes an edge, ms.
    pub speech_ms: u64,
    /// Silence this long makes an edge, ms.
    pub silence_ms: u64,
    /// How far above the noise floor a block must be to be looked at, dB.
    pub above_floor_db: f32,
    /// Below this level nothing is speech, dBFS.
    pub quietest_db: f32,
    /// Whether a stream of 8 kHz reaches the detector through the exact resampler, which makes edges some 10 ms
    /// later; the local transcriber, which cuts by them, is tuned to it. Else through a short filter at a
    /// fraction of the cost.
    pub exact: bool,
}

impl Default for VadSettings {
    fn default() -> Self {
        Self {
            open: 0.7,
            keep: 0.4,
            speech_ms: 64,
            silence_ms: 200,
            above_floor_db: 6.0,
            quietest_db: -52.0,
            exact: false,
        }
    }
}

/// A change between speech and silence. Times are ms of audio since the stream's first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Speech has begun.
    Speech {
        /// When that was sure.
        at_ms: u64,
        /// When it began.
        since_ms: u64,
    },
    /// Speech has ended.
    Silence {
        /// When that was sure.
        at_ms: u64,
        /// When it ended.
        since_ms: u64,
    },
}

/// Follows one stream. Feed it every frame; it counts time by samples.
pub struct Vad {
    settings: VadSettings,
    format: Format,
    /// Samples of a block at the stream's own rate.
    block: usize,
    decoded: Vec<i16>,
    pending: Vec<i16>,
    recent: VecDeque<Vec<i16>>,
    awake: Option<Awake>,
    /// Blocks that the detector, though awake, has not heard since the last one that it heard.
    missed: u32,
    /// The last of those was quiet.
    missed_silence: bool,
    /// Blocks in a row that it took for speech that goes on.
    sure: u32,
    quiet_blocks: u32,
    /// dBFS.
    floor: f32,
    /// Levels of the last three blocks, dBFS.
    levels: [f32; 3],
    score: f32,
    blocks: u64,
    speaking: bool,
    /// Blocks in a row that speak against the present state, and where they began.
    run: u64,
    run_since: u64,
    /// Sum and number of scores of the present or last speech.
    total: (f32, u32),
}

/// What the detector needs while the gate is open; some 30 KiB that a silent line does without.
struct Awake {
    rate: Rate,
    resampled: Vec<i16>,
    detector: Box<earshot::Detector>,
}

/// From the stream's rate to the detector's.
enum Rate {
    Same,
    Half(Box<Doubler>),
    Other(Box<Resampler>),
}

impl Awake {
    fn new(rate: u32, exact: bool) -> Result<Self, Error> {
        Ok(Self {
            rate: match rate {
                RATE => Rate::Same,
                8000 if !exact => Rate::Half(Box::new(Doubler::new())),
                rate => Rate::Other(Box::new(Resampler::new(rate, RATE)?)),
            },
            resampled: Vec::new(),
            detector: earshot::Detector::default_boxed(),
        })
    }

    /// Score of what completes with this block, which is at the stream's rate.
    fn listen(&mut self, block: &[i16]) -> Option<f32> {
        match &mut self.rate {
            Rate::Same => self.resampled.extend_from_slice(block),
            Rate::Half(doubler) => doubler.push(block, &mut self.resampled),
            Rate::Other(resampler) => resampler.push(block, &mut self.resampled),
        }
        let whole = self.resampled.len() / BLOCK * BLOCK;
        let score = self.resampled[..whole]
            .chunks_exact(BLOCK)
            .map(|chunk| self.detector.predict_i16(chunk))
            .last();
        self.resampled.drain(..whole);
        score
    }
}

impl Vad {
    /// Listens to a stream of `format`.
    pub fn new(format: Format, settings: VadSettings) -> Result<Self, Error> {
        let rate = format.rate();
        Resampler::check(rate)?;
        Ok(Self {
            settings,
            format,
            block: (rate as usize * BLOCK / RATE as usize).max(1),
            decoded: Vec::new(),
            pending: Vec::new(),
            recent: VecDeque::with_capacity(WARM_UP + 1),
            awake: None,
            missed: 0,
            missed_silence: false,
            sure: 0,
            quiet_blocks: REST_AFTER,
            floor: -60.0,
            levels: [-96.0; 3],
            score: 0.0,
            blocks: 0,
            speaking: false,
            run: 0,
            run_since: 0,
            total: (0.0, 0),
        })
    }

    /// Takes a frame of any length; tells what changed.
    pub fn push(&mut self, frame: &[u8]) -> Vec<Edge> {
        let mut edges = Vec::new();
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        samples(frame, self.format, &mut decoded);
        let mut rest = decoded.as_slice();
        while !rest.is_empty() {
            let take = (self.block - self.pending.len()).min(rest.len());
            let (now, later) = rest.split_at(take);
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() == self.block {
                edges.extend(self.take_block());
            }
        }
        self.decoded = decoded;
        edges
    }

    /// Whether speech goes on.
    pub fn speaking(&self) -> bool {
        self.speaking
    }

    /// Mean detector score of the present speech, or of the last one: 0 to 1.
    pub fn score(&self) -> f32 {
        self.total.0 / self.total.1.max(1) as f32
    }

    /// Detector score of the last block; 0 while the gate is shut.
    pub fn block_score(&self) -> f32 {
        self.score
    }

    /// Whether the last block was loud enough to be speech.
    pub fn is_loud(&self) -> bool {
        self.quiet_blocks == 0
    }

    /// ms of audio taken so far, in whole blocks.
    pub fn now_ms(&self) -> u64 {
        self.blocks * BLOCK_MS
    }

    /// The level from which silence is told, dBFS.
    pub fn noise_floor(&self) -> f32 {
        self.floor
    }

    fn take_block(&mut self) -> Option<Edge> {
        self.blocks += 1;
        let level = level_db(&self.pending);
        self.levels = [self.levels[1], self.levels[2], level];
        let gate = level
            > self
                .settings
                .quietest_db
                .max(self.floor + self.settings.above_floor_db);
        // The floor follows a drop within some blocks and a rise within seconds, more slowly in speech.
        let rate = match (level < self.floor, self.speaking) {
            (true, _) => 0.2,
            (false, false) => 0.012,
            (false, true) => 0.001,
        };
        self.floor = (self.floor + (level - self.floor) * rate).clamp(-80.0, -25.0);
        self.quiet_blocks = if gate {
            0
        } else {
            self.quiet_blocks.saturating_add(1)
        };

        if gate && self.awake.is_none() {
            self.wake();
        } else if !self.speaking && self.quiet_blocks >= REST_AFTER {
            self.awake = None;
        }
        self.hear(gate);
        self.remember();
        self.decide(gate)
    }

    /// Opens the gate: the detector hears what came just before.
    fn wake(&mut self) {
        // The rate was checked.
        let Ok(mut awake) = Awake::new(self.format.rate(), self.settings.exact) else {
            return;
        };
        for block in &self.recent {
            self.score = awake.listen(block).unwrap_or(self.score);
        }
        self.awake = Some(awake);
    }

    /// The detector's opinion of the block; the last one where a new one would count for nothing.
    fn hear(&mut self, gate: bool) {
        let counts = gate && !self.steady();
        let is_sure = self.speaking && self.sure >= SURE_AFTER;
        let Some(awake) = &mut self.awake else {
            (self.score, self.missed, self.sure) = (0.0, 0, 0);
            return;
        };
        if !self.settings.exact && (!counts || is_sure && self.missed < BREAK) {
            self.missed += 1;
            self.missed_silence = !gate;
            return;
        }
        // How something begins tells most about it. What interrupts a tone, or goes on after a break, is told by itself.
        let missed = match self.missed_silence && !self.speaking {
            true => (self.missed as usize).min(WARM_UP),
            false => 0,
        };
        for block in self.recent.iter().skip(self.recent.len() - missed) {
            self.score = awake.listen(block).unwrap_or(self.score);
        }
        self.score = awake.listen(&self.pending).unwrap_or(self.score);
        self.missed = 0;
        self.sure = match self.speaking && self.score >= self.settings.keep {
            true if is_sure => SURE_AFTER - BETWEEN_BREAKS,
            true => self.sure + 1,
            false => 0,
        };
    }

    /// Keeps the block for the next wake-up, reusing the oldest one's memory.
    fn remember(&mut self) {
        let mut block = if self.recent.len() == WARM_UP {
            self.recent.pop_front().unwrap_or_default()
        } else {
            Vec::with_capacity(self.block)
        };
        block.clear();
        block.append(&mut self.pending);
        self.recent.push_back(block);
    }

    /// A tone (dialling, ringing, an answering machine's beep), which the detector takes for a voice:
    /// unlike a voice it keeps its level.
    fn steady(&self) -> bool {
        let [a, b, c] = self.levels;
        a.max(b).max(c) - a.min(b).min(c) < STEADY_DB
    }

    fn decide(&mut self, gate: bool) -> Option<Edge> {
        let threshold = if self.speaking {
            self.settings.keep
        } else {
            self.settings.open
        };
        let voiced = gate && self.score >= threshold && !self.steady();
        if self.speaking && voiced {
            self.total = (self.total.0 + self.score, self.total.1 + 1);
        }
        if voiced == self.speaking {
            // One odd block doesn't start a count anew; it only holds it back.
            self.run = if self.speaking {
                0
            } else {
                self.run.saturating_sub(2)
            };
            return None;
        }
        if self.run == 0 {
            self.run_since = (self.blocks - 1) * BLOCK_MS;
            if !self.speaking {
                self.total = (0.0, 0);
            }
        }
        self.run += 1;
        if !self.speaking {
            self.total = (self.total.0 + self.score, self.total.1 + 1);
        }
        let needed = if self.speaking {
            self.settings.silence_ms
        } else {
            self.settings.speech_ms
        };
        if self.run * BLOCK_MS < needed {
            return None;
        }
        self.run = 0;
        self.speaking = voiced;
        let (at_ms, since_ms) = (self.now_ms(), self.run_since);
        Some(if voiced {
            Edge::Speech { at_ms, since_ms }
        } else {
            Edge::Silence { at_ms, since_ms }
        })
    }
}

impl std::fmt::Debug for Vad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vad")
            .field("settings", &self.settings)
            .field("now_ms", &self.now_ms())
            .field("speaking", &self.speaking)
            .finish_non_exhaustive()
    }
}

/// Mean level of samples, dBFS; at least -96.
fn level_db(samples: &[i16]) -> f32 {
    // Squared in 32 bits, which suffice: so the processor works on several samples at once.
    let square = |sample: &i16| (i32::from(*sample) * i32::from(*sample)).cast_unsigned();
    let energy: u64 = samples.iter().map(square).map(u64::from).sum();
    let mean = energy as f32 / samples.len().max(1) as f32;
    (10.0 * (mean / (32_768.0 * 32_768.0)).max(1e-10).log10()).max(-96.0)
}

#[cfg(test)]
mod tests;
