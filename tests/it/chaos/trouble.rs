//! What can go wrong with a vendor, and how a fake is brought to it (wire-providers.md §8).

use std::{fmt, time::Duration};

use bolo_simulator::{deepgram, elevenlabs, llm};

use crate::support::Fakes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Transcriber,
    Model,
    Synthesizer,
}

/// How a vendor fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    RefusedConnect,
    Status(u16),
    /// Connected, and says nothing.
    Stall,
    /// No byte comes through, on old connections and new ones.
    HalfOpen,
    Garbage,
    UnknownMessage,
    Reset,
    CloseMidSentence,
}

/// When it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the phone rings.
    Connect,
    /// While the caller speaks.
    Speaking,
    /// Between the caller's last sound and the agent's first.
    Thinking,
    /// While the agent answers.
    Answering,
    /// While nobody speaks.
    Idle,
}

pub const VENDORS: [Vendor; 3] = [Vendor::Transcriber, Vendor::Model, Vendor::Synthesizer];
pub const PHASES: [Phase; 5] = [
    Phase::Connect,
    Phase::Speaking,
    Phase::Thinking,
    Phase::Answering,
    Phase::Idle,
];
pub const TROUBLES: [Trouble; 10] = [
    Trouble::RefusedConnect,
    Trouble::Status(401),
    Trouble::Status(429),
    Trouble::Status(503),
    Trouble::Stall,
    Trouble::HalfOpen,
    Trouble::Garbage,
    Trouble::UnknownMessage,
    Trouble::Reset,
    Trouble::CloseMidSentence,
];

/// How long the network is out where the trouble is a brief one.
const BRIEF: Duration = Duration::from_millis(800);
/// More connections than any call makes.
const ALL: usize = 60;

/// One field of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub vendor: Vendor,
    pub trouble: Trouble,
    pub phase: Phase,
    /// To the end of the call; otherwise once.
    pub lasts: bool,
    /// How far into its phase it begins.
    pub offset_ms: u64,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasts = if self.lasts { "lasting" } else { "once" };
        write!(
            f,
            "{:?} {:?} {:?}+{} {lasts}",
            self.vendor, self.trouble, self.phase, self.offset_ms
        )
    }
}

impl Cell {
    fn times(&self) -> usize {
        if self.lasts { ALL } else { 1 }
    }

    /// Begins. Ends when the future does, where the network is out for a while only.
    pub async fn begin(&self, fakes: &Fakes) {
        match self.vendor {
            Vendor::Transcriber => self.deafen(fakes),
            Vendor::Model => self.confuse(fakes),
            Vendor::Synthesizer => self.silence(fakes),
        }
        let outage = match self.vendor {
            Vendor::Transcriber => fakes.deepgram.outage(),
            Vendor::Model => fakes.llm.outage(),
            Vendor::Synthesizer => fakes.elevenlabs.outage(),
        };
        match self.trouble {
            Trouble::RefusedConnect => {
                outage.refuse();
                outage.cut();
            }
            Trouble::HalfOpen => outage.freeze(),
            Trouble::Reset => outage.cut(),
            // Who is let in already must come again to be refused.
            Trouble::Status(_) if self.vendor != Vendor::Model => outage.cut(),
            _ => {}
        }
        let is_out = matches!(self.trouble, Trouble::RefusedConnect | Trouble::HalfOpen);
        if is_out && !self.lasts {
            tokio::time::sleep(BRIEF).await; // no-sleep-ok: how long the trouble lasts
            outage.end();
        }
    }

    /// Whether it must be set up before the request that meets it: a model's answer is one connection.
    pub fn is_planned(&self) -> bool {
        self.vendor == Vendor::Model
            && self.phase == Phase::Answering
            && !matches!(
                self.trouble,
                Trouble::RefusedConnect | Trouble::HalfOpen | Trouble::Reset
            )
    }

    fn deafen(&self, fakes: &Fakes) {
        use deepgram::Fault::{
            CloseAfter, Garbage, LostAfter, SilentAfter, Status, UnknownMessages,
        };
        let close = |ms| CloseAfter {
            ms,
            code: 1011,
            reason: "NET-0001".into(),
        };
        let (now, next) = match self.trouble {
            Trouble::Status(status) => (None, Some(Status(status))),
            Trouble::Stall => (Some(SilentAfter(0)), Some(SilentAfter(0))),
            Trouble::Garbage => (Some(Garbage), Some(Garbage)),
            Trouble::UnknownMessage => (Some(UnknownMessages), Some(UnknownMessages)),
            Trouble::Reset => (None, Some(LostAfter(600))),
            Trouble::CloseMidSentence => (Some(close(0)), Some(close(600))),
            Trouble::RefusedConnect | Trouble::HalfOpen => (None, None),
        };
        if let Some(fault) = now.clone().filter(|_| self.phase != Phase::Connect) {
            fakes.deepgram.strike(fault);
        }
        // Who was struck need not be struck again.
        let again = self.lasts || now.is_none() || self.phase == Phase::Connect;
        let next = next.filter(|_| again && (self.lasts || self.trouble != Trouble::Reset));
        fakes
            .deepgram
            .fail_next(next.into_iter().flat_map(|fault| vec![fault; self.times()]));
    }

    fn silence(&self, fakes: &Fakes) {
        use elevenlabs::Fault::{CloseAfter, Garbage, LostAfter, Stall, Status, UnknownMessages};
        let (now, next) = match self.trouble {
            Trouble::Status(status) => (None, Some(Status(status))),
            Trouble::Stall => (Some(Stall), Some(Stall)),
            Trouble::Garbage => (Some(Garbage), Some(Garbage)),
            Trouble::UnknownMessage => (Some(UnknownMessages), Some(UnknownMessages)),
            Trouble::Reset => (None, Some(LostAfter(1))),
            Trouble::CloseMidSentence => (Some(CloseAfter(0, 1011)), Some(CloseAfter(1, 1011))),
            Trouble::RefusedConnect | Trouble::HalfOpen => (None, None),
        };
        if let Some(fault) = now.clone().filter(|_| self.phase != Phase::Connect) {
            fakes.elevenlabs.strike(fault);
        }
        let again = self.lasts || now.is_none() || self.phase == Phase::Connect;
        let next = next.filter(|_| again && (self.lasts || self.trouble != Trouble::Reset));
        fakes
            .elevenlabs
            .fail_next(next.into_iter().flat_map(|fault| vec![fault; self.times()]));
    }

    fn confuse(&self, fakes: &Fakes) {
        use llm::Fault;
        // In mid-answer: after some words are out.
        let tokens = if self.phase == Phase::Answering {
            5 + self.offset_ms as usize / 100
        } else {
            2
        };
        let fault = match self.trouble {
            Trouble::Status(_) if self.phase == Phase::Answering => {
                Fault::ErrorChunkAfter { tokens }
            }
            Trouble::Status(status) => Fault::Status {
                status,
                retry_after_s: (status == 429).then_some(5),
            },
            Trouble::Stall if self.phase == Phase::Answering => Fault::StallAfter { tokens },
            Trouble::Stall => Fault::Silence {},
            Trouble::Garbage => Fault::Garbage {},
            Trouble::UnknownMessage => Fault::UnknownEvent {},
            Trouble::Reset if !self.lasts => return,
            Trouble::Reset => Fault::ResetBeforeFirst {},
            Trouble::CloseMidSentence => Fault::CutShort { tokens },
            Trouble::RefusedConnect | Trouble::HalfOpen => return,
        };
        fakes.llm.fail_next(vec![fault; self.times()]);
    }

    /// All is well again.
    pub fn over(fakes: &Fakes) {
        fakes.deepgram.recover();
        fakes.elevenlabs.recover();
        fakes.llm.recover();
    }
}
