//! The recording of a call: stereo, left the caller, right the agent as it was played (runtime.md R166).

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{
    Converter, Error, Format, samples,
    wav::{RATE, Wav},
};

/// Samples in a millisecond.
const PER_MS: u64 = RATE as u64 / 1000;
/// A frame this much later than the end of the one before follows it without a gap: packets jitter.
const JITTER: u64 = 40 * PER_MS;
/// A frame may lie this far before the end of its channel and is then appended: after a network stall
/// packets come in a burst. What lies further back is cut off, so that the channels can't drift apart.
const BURST: u64 = 1000 * PER_MS;
/// Agent audio is told at most this long after caller audio of the same time.
const AGENT_LATE: u64 = 1000 * PER_MS;
/// Agent audio is told at most this long ahead of caller audio of the same time.
const AGENT_AHEAD: u64 = 10_000 * PER_MS;
/// What a WAV file holds at this rate, rounded down: 36 hours.
const LONGEST_MS: u64 = 36 * 3600 * 1000;

/// Writes a call's two sides to one file while it runs: 8 kHz, 16 bits. Frames are placed by their time
/// on one axis, gaps become silence. Every half second of audio it writes to the file without waiting
/// for the disk, every two seconds it refreshes the header; at most 11 s are held in memory.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    wav: Wav,
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

/// One side: audio not yet in the file.
#[derive(Debug, Default)]
struct Channel {
    waiting: VecDeque<i16>,
    /// Place on the axis where `waiting` ends, in samples.
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
            late: 0,
        }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A frame of the caller that began at `at_ms` (by the carrier's timestamps where it gives them).
    pub fn caller(&mut self, at_ms: u64, frame: &[u8], format: Format) -> Result<(), Error> {
        self.late += self.caller.place(at_ms, frame, format)?;
        self.write_settled()
    }

    /// A frame of the agent that began to play at `at_ms`. May be told up to 10 s ahead, or 1 s late.
    pub fn agent(&mut self, at_ms: u64, frame: &[u8], format: Format) -> Result<(), Error> {
        self.late += self.agent.place(at_ms, frame, format)?;
        self.write_settled()
    }

    /// The agent was cut off at `at_ms`: what was told to play later is taken back.
    pub fn agent_cleared(&mut self, at_ms: u64) {
        let cut = at_ms.saturating_mul(PER_MS);
        let surplus = self.agent.end.saturating_sub(cut) as usize;
        let keep = self.agent.waiting.len().saturating_sub(surplus);
        let dropped = self.agent.waiting.len() - keep;
        self.agent.waiting.truncate(keep);
        self.agent.end -= dropped as u64;
        self.agent.flowing = false;
        self.agent.converter = None;
    }

    /// Writes all that is there; the file is then complete.
    pub fn finish(mut self) -> Result<Recording, Error> {
        self.write_until(self.caller.end.max(self.agent.end))?;
        self.wav.flush().map_err(|cause| file(&self.path, cause))?;
        Ok(Recording {
            ms: self.wav.frames() / PER_MS,
            left_out_ms: self.late / PER_MS,
        })
    }

    /// Writes what neither side can change any more.
    fn write_settled(&mut self) -> Result<(), Error> {
        let (caller, agent) = (self.caller.end, self.agent.end);
        let settled = caller
            .min(agent)
            .max(caller.saturating_sub(AGENT_LATE))
            .max(agent.saturating_sub(AGENT_AHEAD));
        self.write_until(settled)
    }

    fn write_until(&mut self, end: u64) -> Result<(), Error> {
        let mut at = self.wav.frames();
        while at < end {
            let (left, right) = (self.caller.next(at), self.agent.next(at));
            self.wav
                .push(left, right)
                .map_err(|cause| file(&self.path, cause))?;
            at += 1;
        }
        Ok(())
    }
}

impl Channel {
    /// Appends a frame at its place; returns how many samples had to be left out.
    fn place(&mut self, at_ms: u64, frame: &[u8], format: Format) -> Result<u64, Error> {
        if at_ms > LONGEST_MS {
            return Err(Error::TooLong(at_ms));
        }
        let begin = at_ms * PER_MS;
        if begin > self.end + if self.flowing { JITTER } else { 0 } {
            self.waiting
                .extend(std::iter::repeat_n(0, (begin - self.end) as usize));
            self.end = begin;
        }
        let mut audio = self.decode(frame, format)?;
        let ahead = self.end - begin.min(self.end);
        let left_out = if ahead > BURST {
            (ahead - BURST).min(audio.len() as u64)
        } else {
            0
        };
        audio.drain(..left_out as usize);
        self.end += audio.len() as u64;
        self.flowing = true;
        self.waiting.extend(audio);
        Ok(left_out)
    }

    fn decode(&mut self, frame: &[u8], format: Format) -> Result<Vec<i16>, Error> {
        let mut audio = Vec::with_capacity(frame.len());
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

    /// The sample at place `at` of the axis, which only grows; silence where nothing waits.
    fn next(&mut self, at: u64) -> i16 {
        if at >= self.end {
            self.end = at + 1;
            self.flowing = false;
            return 0;
        }
        self.waiting.pop_front().unwrap_or_default()
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
