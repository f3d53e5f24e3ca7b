//! The recording of a call: stereo, left the caller, right the agent as it was played (runtime.md R166).

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::{
    Converter, Error, Format, samples,
    wav::{FRAME, RATE, Wav},
};

/// Samples in a millisecond.
const PER_MS: u64 = RATE as u64 / 1000;
/// A frame this much later than the end of the one before follows it without a gap: packets jitter.
const JITTER: u64 = 40 * PER_MS;
/// A frame may lie this far before the end of its channel and is then appended: after a network stall
/// packets come in a burst. What lies further back is cut off, so that the channels can't drift apart.
const BURST: u64 = 1000 * PER_MS;
/// Agent audio is told at most this long after caller audio of the same time; the clocks of the two
/// may drift apart so far before it is appended later than it was heard.
const AGENT_LATE: u64 = 300 * PER_MS;
/// Agent audio is told at most this long ahead of caller audio of the same time.
const AGENT_AHEAD: u64 = 10_000 * PER_MS;
/// What a WAV file holds at this rate, rounded down: 36 hours.
const LONGEST_MS: u64 = 36 * 3600 * 1000;
/// Bytes gathered before they are written: a quarter of a second.
const CHUNK: u64 = 8 * 1024;
/// Bytes of memory kept for what comes: a second.
const KEPT: usize = 32 * 1024;
const SILENCE: [u8; CHUNK as usize] = [0; CHUNK as usize];

/// Writes a call's two sides to one file while it runs: 8 kHz, 16 bits. Frames are placed by their time
/// on one axis, gaps become silence. Every quarter second of audio it writes to the file without waiting
/// for the disk, every two seconds it refreshes the header; at most 11 s are held in memory, half a
/// second where both sides are told in time.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    wav: Wav,
    /// Both sides behind what is in the file, as it will be written.
    window: Vec<u8>,
    caller: Channel,
    agent: Channel,
    late: u64,
}

/// A finished recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// Its length.
    pub ms: u64,
    /// Audio that came too late or twice for its time and was left out.
    pub left_out_ms: u64,
}

/// Which side, and where in a stereo frame it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller = 0,
    Agent = 2,
}

/// One side.
#[derive(Debug, Default)]
struct Channel {
    /// Place on the axis where its audio ends, in samples; not before the file's end.
    end: u64,
    /// At `end` a frame ends; else there is silence, and the next frame needn't follow on anything.
    flowing: bool,
    converter: Option<(Format, Converter)>,
}

impl Recorder {
    /// Starts a new file, replacing one that is there.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let wav = Wav::create(&path).map_err(|cause| file(&path, cause))?;
        Ok(Self::with(path, wav))
    }

    /// Goes on with the file of a call that was cut off; nothing is placed before `at_ms`, and silence
    /// fills the time between. A missing file is made.
    pub fn resume(path: impl Into<PathBuf>, at_ms: u64) -> Result<Self, Error> {
        let path = path.into();
        if at_ms > LONGEST_MS {
            return Err(Error::TooLong(at_ms));
        }
        if !path.exists() {
            let mut recorder = Self::create(path)?;
            recorder.write_until(at_ms * PER_MS)?;
            return Ok(recorder);
        }
        let wav = Wav::open(&path)
            .map_err(|cause| file(&path, cause))?
            .ok_or_else(|| Error::NotOurs(path.clone()))?;
        let mut recorder = Self::with(path, wav);
        recorder.write_until(at_ms * PER_MS)?;
        Ok(recorder)
    }

    fn with(path: PathBuf, wav: Wav) -> Self {
        let end = wav.frames();
        let channel = || Channel {
            end,
            ..Channel::default()
        };
        Self {
            path,
            caller: channel(),
            agent: channel(),
            wav,
            window: Vec::new(),
            late: 0,
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A frame of the caller that began at `at_ms` (by the carrier's timestamps where it gives them).
    pub fn caller(&mut self, at_ms: u64, frame: &[u8], format: Format) -> Result<(), Error> {
        self.place(Side::Caller, at_ms, frame, format)
    }

    /// A frame of the agent that began to play at `at_ms`. May be told up to 10 s ahead, or 0.3 s late.
    pub fn agent(&mut self, at_ms: u64, frame: &[u8], format: Format) -> Result<(), Error> {
        self.place(Side::Agent, at_ms, frame, format)
    }

    /// The agent was cut off at `at_ms`: what was told to play later is taken back.
    pub fn agent_cleared(&mut self, at_ms: u64) {
        let base = self.wav.frames();
        let cut = at_ms.saturating_mul(PER_MS).max(base);
        if cut < self.agent.end {
            let surplus =
                ((cut - base) * FRAME) as usize..((self.agent.end - base) * FRAME) as usize;
            for frame in self.window[surplus].chunks_exact_mut(FRAME as usize) {
                frame[Side::Agent as usize..].fill(0);
            }
            self.agent.end = cut;
        }
        self.agent.flowing = false;
        self.agent.converter = None;
    }

    /// Writes all that is there; the file is then complete.
    pub fn finish(mut self) -> Result<Recording, Error> {
        self.write_until(self.caller.end.max(self.agent.end))?;
        self.wav
            .refresh()
            .map_err(|cause| file(&self.path, cause))?;
        Ok(Recording {
            ms: self.wav.frames() / PER_MS,
            left_out_ms: self.late / PER_MS,
        })
    }

    /// Puts a frame at its place, or behind the one before it.
    fn place(&mut self, side: Side, at_ms: u64, frame: &[u8], format: Format) -> Result<(), Error> {
        if at_ms > LONGEST_MS {
            return Err(Error::TooLong(at_ms));
        }
        let begin = at_ms * PER_MS;
        let channel = self.channel(side);
        if begin > channel.end + if channel.flowing { JITTER } else { 0 } {
            channel.end = begin;
            // The silence before it may be long.
            self.write_settled(0)?;
        }
        let channel = self.channel(side);
        let audio = channel.decode(frame, format)?;
        let ahead = channel.end.saturating_sub(begin);
        let left_out = ahead.saturating_sub(BURST).min(audio.len() as u64);
        let kept = &audio[left_out as usize..];
        let start = channel.end;
        channel.end += kept.len() as u64;
        channel.flowing = true;
        self.late += left_out;
        self.put(side, start, kept);
        self.write_settled(CHUNK)
    }

    fn channel(&mut self, side: Side) -> &mut Channel {
        match side {
            Side::Caller => &mut self.caller,
            Side::Agent => &mut self.agent,
        }
    }

    /// Puts samples of a side into the window, from place `start` of the axis on.
    fn put(&mut self, side: Side, start: u64, samples: &[i16]) {
        let from = ((start - self.wav.frames()) * FRAME) as usize;
        let to = from + samples.len() * FRAME as usize;
        if self.window.len() < to {
            self.window.resize(to, 0);
        }
        let frames = self.window[from..].chunks_exact_mut(FRAME as usize);
        for (frame, sample) in frames.zip(samples) {
            frame[side as usize..][..2].copy_from_slice(&sample.to_le_bytes());
        }
    }

    /// Writes what neither side can change any more, if it is at least so many bytes.
    fn write_settled(&mut self, least: u64) -> Result<(), Error> {
        let (caller, agent) = (self.caller.end, self.agent.end);
        let settled = caller
            .min(agent)
            .max(caller.saturating_sub(AGENT_LATE))
            .max(agent.saturating_sub(AGENT_AHEAD));
        if settled.saturating_sub(self.wav.frames()) * FRAME < least {
            return Ok(());
        }
        self.write_until(settled)
    }

    fn write_until(&mut self, end: u64) -> Result<(), Error> {
        let mut left = (end.saturating_sub(self.wav.frames()) * FRAME) as usize;
        let told = left.min(self.window.len());
        let mut written = self.wav.append(&self.window[..told]);
        self.window.drain(..told);
        // Not for long what a whole sentence took: there are many calls. What one block takes stays.
        self.window.shrink_to((2 * self.window.len()).max(KEPT));
        left -= told;
        while left > 0 && written.is_ok() {
            let silence = left.min(SILENCE.len());
            written = self.wav.append(&SILENCE[..silence]);
            left -= silence;
        }
        written.map_err(|cause| file(&self.path, cause))?;
        for channel in [&mut self.caller, &mut self.agent] {
            if channel.end < self.wav.frames() {
                channel.end = self.wav.frames();
                channel.flowing = false;
            }
        }
        Ok(())
    }
}

impl Channel {
    /// The frame's samples at the file's rate.
    fn decode(&mut self, frame: &[u8], format: Format) -> Result<Vec<i16>, Error> {
        let mut audio = Vec::new();
        if format.rate() == RATE {
            samples(frame, format, &mut audio);
            return Ok(audio);
        }
        let to = Format::Pcm16 { rate: RATE };
        let mut entry = match self.converter.take() {
            Some(entry) if entry.0 == format => entry,
            _ => (format, Converter::new(format, to)?),
        };
        samples(
            &entry.1.convert(Bytes::copy_from_slice(frame)),
            to,
            &mut audio,
        );
        self.converter = Some(entry);
        Ok(audio)
    }
}

fn file(path: &Path, cause: std::io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests;
