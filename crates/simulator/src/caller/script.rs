//! What a caller does, as data: JSON or TOML.
//!
//! ```toml
//! ring_ms = 800
//! [[steps]]
//! wait_for_agent = { silence_ms = 600 }
//! [[steps]]
//! say = { clip = "turn04-af_heart.wav" }
//! [[steps]]
//! barge_in = { after_ms = 900, say = { clip = "barge01" } }
//! [[steps]]
//! hang_up = {}
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::carrier::CallFaults;

/// A caller: how the phone is answered and what is said then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallerScript {
    /// Ringing before the outcome, milliseconds (outbound calls).
    pub ring_ms: u64,
    /// What becomes of the ringing phone.
    pub outcome: Outcome,
    /// Who answers, as a carrier says that listens for it. Absent = it finds out nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// What the caller does once connected, in order.
    pub steps: Vec<Step>,
    /// A recorded media session ([`Recorded`](crate::carrier::Recorded), a JSON object a line). The carrier's messages
    /// come again at their times instead of the caller's voice, and the far end hangs up after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<PathBuf>,
    /// After the last step: stay on the line for the test's own verbs (default), or hang up.
    pub then: Then,
    /// How long `wait_for_agent`, `barge_in` and `expect` wait, milliseconds, before the caller gives
    /// up: the step is noted as failed and the caller hangs up.
    pub patience_ms: u64,
    /// What the carrier does wrong with this call.
    pub faults: CallFaults,
}

impl Default for CallerScript {
    fn default() -> Self {
        Self {
            ring_ms: 20,
            outcome: Outcome::Answer,
            answered_by: None,
            steps: Vec::new(),
            replay: None,
            then: Then::Stay,
            patience_ms: 30_000,
            faults: CallFaults::default(),
        }
    }
}

impl CallerScript {
    /// A caller who answers and does what `steps` say, then stays on the line.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A phone that does not get through.
    pub fn fails(outcome: Outcome) -> Self {
        Self {
            outcome,
            ..Self::default()
        }
    }

    /// Everything the caller says.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.steps.iter().filter_map(|step| match step {
            Step::Say(line) | Step::BargeIn { say: line, .. } => Some(line),
            _ => None,
        })
    }

    /// The same caller with carrier faults.
    pub fn with_faults(mut self, faults: CallFaults) -> Self {
        self.faults = faults;
        self
    }

    /// The same caller, hanging up after the last step.
    pub fn then_hang_up(mut self) -> Self {
        self.then = Then::HangUp;
        self
    }
}

/// What a carrier makes of who answered. In Twilio's words; others have fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A machine begins to speak.
    MachineStart,
    /// It has ended with a beep.
    MachineEndBeep,
    /// It has fallen silent.
    MachineEndSilence,
    /// It has ended some other way.
    MachineEndOther,
    /// A fax.
    Fax,
    /// It was not to be found out.
    Unknown,
}

impl AnsweredBy {
    /// As in scripts, and at Twilio.
    pub fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::MachineStart => "machine_start",
            Self::MachineEndBeep => "machine_end_beep",
            Self::MachineEndSilence => "machine_end_silence",
            Self::MachineEndOther => "machine_end_other",
            Self::Fax => "fax",
            Self::Unknown => "unknown",
        }
    }
}

/// How a dialled phone ends its ringing. In brackets Twilio's final CallStatus and SIP code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Picked up.
    #[default]
    Answer,
    /// Engaged (busy, 486).
    Busy,
    /// Rings until the dial's `Timeout`, or `ring_ms` if that is shorter (no-answer, 487).
    NoAnswer,
    /// Turned away by the person (busy, 603).
    Reject,
    /// No such number (failed, 404).
    Invalid,
    /// The network has no line (failed, 503).
    Congestion,
    /// The account has too many calls at once (failed, 503; Plivo's code 5030).
    Full,
}

/// What follows the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Stays silent on the line until someone hangs up.
    #[default]
    Stay,
    /// Hangs up.
    HangUp,
}

/// One thing the caller does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Speaks, whatever the agent does. The next step starts when the line is said.
    Say(Line),
    /// Waits until the agent has spoken since the caller's last line and has been silent for a while.
    WaitForAgent {
        /// Silence that counts as the end, milliseconds.
        #[serde(default = "silence_ms")]
        silence_ms: u64,
    },
    /// Waits for the agent to speak, then talks into it. With neither `after_ms` nor `at`: at the
    /// first sound.
    BargeIn {
        /// The agent has been audible for so long, milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
        /// The agent has said this (words, case and punctuation don't matter). Needs tone-coded
        /// agent audio.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        /// The agent has said so many words. Needs tone-coded agent audio.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_word: Option<usize>,
        /// What the caller says.
        say: Line,
    },
    /// Says nothing for a while.
    Silence {
        /// Milliseconds.
        ms: u64,
    },
    /// Presses keys, one each 100 ms.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digits: String,
    },
    /// Waits until the agent has said this; the call is marked failed if it does not within the
    /// caller's patience. Needs tone-coded agent audio or ears.
    Expect {
        /// Words, case and punctuation don't matter.
        text: String,
    },
    /// Hangs up.
    HangUp {},
    /// The carrier loses the media socket without a `stop`; the document goes on (`<Redirect>`).
    DropSocket {
        /// With a TCP reset instead of a close frame.
        #[serde(default)]
        reset: bool,
    },
}

fn silence_ms() -> u64 {
    700
}

/// Something the caller says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A clip of `callers/` by file name (`turn03-bf_emma.wav`) or stem; `turn03` takes any voice.
    Clip(String),
    /// A WAV file of any format.
    Wav(PathBuf),
    /// Spoken by the injected [`Voice`](super::Voice); without one, tone-coded.
    Text(String),
    /// Tone-coded ([`crate::tone`]): what the fake transcriber recognises without a model.
    Tone(String),
}

impl Line {
    /// What stands in timelines: the text, or the file's name.
    pub fn label(&self) -> String {
        match self {
            Self::Clip(text) | Self::Text(text) | Self::Tone(text) => text.clone(),
            Self::Wav(path) => path.display().to_string(),
        }
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_script_in_toml() {
        let script: CallerScript = toml::from_str(
            r#"
            ring_ms = 800
            then = "hang_up"
            [[steps]]
            wait_for_agent = {}
            [[steps]]
            say = { clip = "turn04" }
            [[steps]]
            barge_in = { at_word = 4, say = { text = "no wait" } }
            [[steps]]
            dtmf = { digits = "12#" }
            [[steps]]
            hang_up = {}
            [faults]
            duplicate_answer_ms = 30
            "#,
        )
        .unwrap();
        assert_eq!(
            script.steps,
            [
                Step::WaitForAgent { silence_ms: 700 },
                Step::Say(Line::Clip("turn04".into())),
                Step::BargeIn {
                    after_ms: None,
                    at: None,
                    at_word: Some(4),
                    say: "no wait".into()
                },
                Step::Dtmf {
                    digits: "12#".into()
                },
                Step::HangUp {},
            ]
        );
        assert_eq!(script.then, Then::HangUp);
        assert_eq!(script.faults.duplicate_answer_ms, Some(30));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let fault = serde_json::from_str::<CallerScript>(r#"{"ring_sm": 1}"#).unwrap_err();
        assert!(
            fault.to_string().contains("unknown field `ring_sm`"),
            "{fault}"
        );
    }
}
