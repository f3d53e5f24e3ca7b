//! The caller as a machine: each 20 ms it hears a frame and gives one. Pure: no clock, no socket.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    hearing::{Hearing, find, plain},
    lines::{ReadyLine, ReadyStep},
    script::Then,
};
use crate::g711;

/// Between two keys.
const KEY_MS: u64 = 100;

/// What the caller does besides speaking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Started(String),
    Stopped(String),
    Press(char),
    HangUp,
    DropSocket {
        reset: bool,
    },
    Failed(String),
    /// A live step is done.
    Done(u64),
}

/// A step given while the call runs.
#[derive(Debug)]
pub(crate) struct LiveStep {
    pub ticket: u64,
    pub step: ReadyStep,
}

#[derive(Debug)]
struct Doing {
    ticket: Option<u64>,
    step: ReadyStep,
    since_ms: u64,
    keys: usize,
}

#[derive(Debug)]
struct Speech {
    label: String,
    audio: Bytes,
}

/// A caller on the line.
#[derive(Debug)]
pub(crate) struct Actor {
    steps: VecDeque<(Option<u64>, ReadyStep)>,
    doing: Option<Doing>,
    speech: Option<Speech>,
    then: Then,
    patience_ms: u64,
    /// Agent frames heard when the caller last finished a line or a wait: more than this means that
    /// the agent has answered.
    heard_mark: u64,
    expected: usize,
    hung_up: bool,
}

impl Actor {
    pub fn new(steps: Vec<ReadyStep>, then: Then, patience_ms: u64) -> Self {
        Self {
            steps: steps.into_iter().map(|step| (None, step)).collect(),
            doing: None,
            speech: None,
            then,
            patience_ms,
            heard_mark: 0,
            expected: 0,
            hung_up: false,
        }
    }

    /// Adds a step behind those that wait.
    pub fn add(&mut self, live: LiveStep) {
        self.steps.push_back((Some(live.ticket), live.step));
    }

    /// One frame: what the caller says from `at_ms` on (`None` = silence), and what else is done.
    pub fn frame(&mut self, at_ms: u64, hearing: &Hearing, acts: &mut Vec<Act>) -> Option<Bytes> {
        if self.speech.is_none() {
            self.proceed(at_ms, hearing, acts);
        }
        let speech = self.speech.as_mut()?;
        let length = speech.audio.len().min(g711::FRAME);
        let frame = speech.audio.split_to(length);
        if speech.audio.is_empty() {
            let label = self
                .speech
                .take()
                .map(|speech| speech.label)
                .unwrap_or_default();
            self.heard_mark = hearing.sounding_frames();
            acts.push(Act::Stopped(label));
            self.done(acts);
        }
        Some(frame)
    }

    /// Starts and finishes steps until one needs time.
    fn proceed(&mut self, at_ms: u64, hearing: &Hearing, acts: &mut Vec<Act>) {
        while self.speech.is_none() && !self.hung_up {
            if self.doing.is_none() {
                let Some((ticket, step)) = self.steps.pop_front() else {
                    if self.then == Then::HangUp {
                        self.hang_up(acts);
                    }
                    return;
                };
                self.doing = Some(Doing {
                    ticket,
                    step,
                    since_ms: at_ms,
                    keys: 0,
                });
            }
            if !self.step(at_ms, hearing, acts) {
                return;
            }
        }
    }

    /// Works on the current step; false when it needs more time.
    fn step(&mut self, at_ms: u64, hearing: &Hearing, acts: &mut Vec<Act>) -> bool {
        let Some(doing) = &mut self.doing else {
            return false;
        };
        let waited = at_ms.saturating_sub(doing.since_ms);
        let answered = hearing.sounding_frames() > self.heard_mark;
        let ready = match &doing.step {
            ReadyStep::Say(line) => {
                self.speech = Some(speech(line, acts));
                return true; // done when it is said
            }
            ReadyStep::BargeIn {
                after_ms,
                at,
                at_word,
                say,
            } => {
                let long = hearing.speaking_ms(at_ms) >= after_ms.unwrap_or_default();
                let far = at_word.is_none_or(|count| hearing.words().len() >= count);
                let there = at.as_ref().is_none_or(|text| {
                    find(&plain(hearing.words()), 0, &plain([text.as_str()])).is_some()
                });
                if answered && hearing.speaking() && long && far && there {
                    self.speech = Some(speech(say, acts));
                    return true;
                }
                false
            }
            ReadyStep::WaitForAgent { silence_ms } => {
                answered && !hearing.speaking() && hearing.silence_ms(at_ms) >= *silence_ms
            }
            ReadyStep::Silence { ms } => waited >= *ms,
            ReadyStep::Dtmf(keys) => {
                if let Some(key) = keys.get(doing.keys)
                    && waited >= doing.keys as u64 * KEY_MS
                {
                    doing.keys += 1;
                    acts.push(Act::Press(*key));
                }
                doing.keys >= keys.len()
            }
            ReadyStep::Expect(text) => {
                let words = plain(hearing.all_words());
                let found = find(&words, self.expected, &plain([text.as_str()]));
                self.expected = found.unwrap_or(self.expected);
                found.is_some()
            }
            ReadyStep::HangUp => {
                self.done(acts);
                self.hang_up(acts);
                return false;
            }
            ReadyStep::DropSocket { reset } => {
                acts.push(Act::DropSocket { reset: *reset });
                true
            }
        };
        if ready {
            if matches!(doing.step, ReadyStep::WaitForAgent { .. }) {
                self.heard_mark = hearing.sounding_frames();
            }
            self.done(acts);
            return true;
        }
        let patient = matches!(doing.step, ReadyStep::Silence { .. } | ReadyStep::Dtmf(_));
        if !patient && waited >= self.patience_ms {
            acts.push(Act::Failed(describe(&doing.step)));
            self.hang_up(acts);
        }
        false
    }

    fn done(&mut self, acts: &mut Vec<Act>) {
        if let Some(Doing {
            ticket: Some(ticket),
            ..
        }) = self.doing.take()
        {
            acts.push(Act::Done(ticket));
        }
    }

    fn hang_up(&mut self, acts: &mut Vec<Act>) {
        if !self.hung_up {
            self.hung_up = true;
            acts.push(Act::HangUp);
        }
    }
}

fn speech(line: &ReadyLine, acts: &mut Vec<Act>) -> Speech {
    acts.push(Act::Started(line.label.clone()));
    Speech {
        label: line.label.clone(),
        audio: line.audio.clone(),
    }
}

fn describe(step: &ReadyStep) -> String {
    match step {
        ReadyStep::WaitForAgent { .. } => "the agent did not speak and fall silent".into(),
        ReadyStep::BargeIn { .. } => "the agent did not speak far enough to be interrupted".into(),
        ReadyStep::Expect(text) => format!("the agent did not say `{text}`"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
