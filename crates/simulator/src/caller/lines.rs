//! From a line of the script to its audio.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::script::{CallerScript, Line, Step};
use crate::{Error, clips, tone, wav};

/// Speaks text as a caller: gives 8 kHz mu-law, or says why not. Any
/// `Fn(String) -> impl Future<Output = Result<Vec<u8>, String>>` is one.
pub trait Voice: Send + Sync {
    /// The audio of `text`, 8 kHz mu-law without header.
    fn speak(&self, text: String) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

impl<F, Fut> Voice for F
where
    F: Fn(String) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Vec<u8>, String>> + Send + 'static,
{
    fn speak(&self, text: String) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        Box::pin(self(text))
    }
}

/// Recognises what the agent said: 8 kHz mu-law of one utterance in, text out (empty = nothing).
/// Any `Fn(Vec<u8>) -> impl Future<Output = String>` is one.
pub trait Ears: Send + Sync {
    /// The text of one utterance.
    fn hear(&self, mulaw: Vec<u8>) -> BoxFuture<'static, String>;
}

impl<F, Fut> Ears for F
where
    F: Fn(Vec<u8>) -> Fut + Send + Sync,
    Fut: Future<Output = String> + Send + 'static,
{
    fn hear(&self, mulaw: Vec<u8>) -> BoxFuture<'static, String> {
        Box::pin(self(mulaw))
    }
}

/// A line with its audio.
#[derive(Debug, Clone)]
pub(crate) struct ReadyLine {
    pub label: String,
    pub audio: Bytes,
}

/// A step that needs nothing more from outside.
#[derive(Debug, Clone)]
pub(crate) enum ReadyStep {
    Say(ReadyLine),
    WaitForAgent {
        silence_ms: u64,
    },
    BargeIn {
        after_ms: Option<u64>,
        at: Option<String>,
        at_word: Option<usize>,
        say: ReadyLine,
    },
    Silence {
        ms: u64,
    },
    Dtmf(Vec<char>),
    Expect(String),
    HangUp,
    DropSocket {
        reset: bool,
    },
}

/// Where lines get their audio from.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    pub voice: Option<Arc<dyn Voice>>,
    /// Looked in before the clips of the crate.
    pub folder: Option<PathBuf>,
}

impl Lines {
    /// Prepares a whole script. The error names the step.
    pub async fn script(&self, script: &CallerScript) -> Result<Vec<ReadyStep>, Error> {
        let mut ready = Vec::with_capacity(script.steps.len());
        for (n, step) in script.steps.iter().enumerate() {
            ready.push(self.step(step, &format!("steps[{n}]")).await?);
        }
        Ok(ready)
    }

    /// Prepares one step; `field` is its path for errors.
    pub async fn step(&self, step: &Step, field: &str) -> Result<ReadyStep, Error> {
        Ok(match step {
            Step::Say(line) => ReadyStep::Say(self.line(line, &format!("{field}.say")).await?),
            Step::WaitForAgent { silence_ms } => ReadyStep::WaitForAgent {
                silence_ms: *silence_ms,
            },
            Step::BargeIn {
                after_ms,
                at,
                at_word,
                say,
            } => ReadyStep::BargeIn {
                after_ms: *after_ms,
                at: at.clone(),
                at_word: *at_word,
                say: self.line(say, &format!("{field}.barge_in.say")).await?,
            },
            Step::Silence { ms } => ReadyStep::Silence { ms: *ms },
            Step::Dtmf { digits } => {
                if let Some(odd) = digits.chars().find(|c| !"0123456789*#ABCD".contains(*c)) {
                    let message = format!("`{odd}` is no key");
                    return Err(Error::Script {
                        field: format!("{field}.dtmf.digits"),
                        message,
                    });
                }
                ReadyStep::Dtmf(digits.chars().collect())
            }
            Step::Expect { text } => ReadyStep::Expect(text.clone()),
            Step::HangUp {} => ReadyStep::HangUp,
            Step::DropSocket { reset } => ReadyStep::DropSocket { reset: *reset },
        })
    }

    async fn line(&self, line: &Line, field: &str) -> Result<ReadyLine, Error> {
        let fault = |kind: &str, message: String| Error::Script {
            field: format!("{field}.{kind}"),
            message,
        };
        let audio = match line {
            Line::Clip(name) => self
                .clip(name)
                .ok_or_else(|| fault("clip", format!("no clip `{name}` in callers/")))?,
            Line::Wav(path) => wav::read(path)?,
            Line::Tone(text) => tone::speak(text),
            Line::Text(text) => match &self.voice {
                Some(voice) => voice
                    .speak(text.clone())
                    .await
                    .map_err(|message| fault("text", message))?,
                None => tone::speak(text),
            },
        };
        Ok(ReadyLine {
            label: line.label(),
            audio: audio.into(),
        })
    }

    fn clip(&self, name: &str) -> Option<Vec<u8>> {
        let own = self.folder.as_ref().map(|folder| folder.join(name));
        match own.filter(|path| path.is_file()) {
            Some(path) => wav::read(&path).ok(),
            None => clips::clip(name),
        }
    }
}
