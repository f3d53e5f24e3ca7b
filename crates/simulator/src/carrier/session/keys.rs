//! `<Gather>` and its like: something is said, then keys are waited for.

use std::{pin::Pin, time::Duration};

use tokio::time::{Sleep, sleep};

use super::{Session, Stage};
use crate::{
    caller::Event,
    carrier::{
        document::{Gather, Then, Verb, Whisper},
        life::Ending,
    },
};

/// Keys that come.
pub(super) struct Keys {
    gather: Gather,
    pressed: String,
    pub(super) patience: Pin<Box<Sleep>>,
}

impl Session {
    pub(super) fn gather(&mut self, gather: Gather) {
        let spoken: u64 = gather.prompts.iter().map(|prompt| self.speak(prompt)).sum();
        let patience = Duration::from_millis(spoken) + Duration::from_secs(gather.timeout_s);
        self.stage = Stage::Gathering(Keys {
            gather,
            pressed: String::new(),
            patience: Box::pin(sleep(patience)),
        });
    }

    /// Says a step of a document; how long that takes, ms.
    pub(super) fn speak(&self, verb: &Verb) -> u64 {
        let char_ms = self.shared.options.delays.say_char_ms;
        let (said, ms) = match verb {
            Verb::Say { text, voice } => {
                if !voice.is_empty() {
                    let asked = Event::CarrierVoice(voice.clone());
                    self.call.timeline.note(asked);
                }
                (text.clone(), text.chars().count() as u64 * char_ms)
            }
            Verb::Play(url) => (format!("[{url}]"), char_ms * 20),
            Verb::Pause { seconds } => return seconds * 1000,
            _ => return 0,
        };
        self.call.timeline.note(Event::CarrierSaid(said));
        ms
    }

    /// What was fetched only speaks; the key counts from the answer.
    pub(super) fn confirm(&mut self, verbs: Vec<Verb>) -> Result<(), Vec<Verb>> {
        let Some(Whisper::Key { key, limit_s, .. }) = self.call.plan().whisper else {
            return Err(verbs);
        };
        let is_spoken =
            |verb: &Verb| matches!(verb, Verb::Say { .. } | Verb::Play(_) | Verb::Pause { .. });
        for verb in verbs.iter().filter(|verb| is_spoken(verb)) {
            self.speak(verb);
        }
        self.gather(Gather {
            prompts: Vec::new(),
            digits: 1,
            finish: None,
            timeout_s: limit_s,
            then: Then::Connect(key),
        });
        Ok(())
    }

    /// The far end presses a key.
    pub(super) fn pressed(&mut self, key: char) {
        let Stage::Gathering(keys) = &mut self.stage else {
            return;
        };
        if let Then::Connect(wanted) = keys.gather.then {
            if key == wanted {
                self.connect();
            }
            return;
        }
        let ends = keys.gather.finish == Some(key);
        if !ends {
            keys.pressed.push(key);
        }
        let timeout = Duration::from_secs(keys.gather.timeout_s);
        keys.patience = Box::pin(sleep(timeout));
        if ends || keys.pressed.len() == keys.gather.digits {
            self.gathered();
        }
    }

    /// Enough keys, or enough waited.
    pub(super) fn gathered(&mut self) {
        let Stage::Gathering(keys) = std::mem::replace(&mut self.stage, Stage::Streaming) else {
            return;
        };
        match keys.gather.then {
            Then::Connect(_) => self.stage = Stage::Over(Ending::Hangup),
            Then::Ask { on_empty, .. } if keys.pressed.is_empty() && !on_empty => self.next_verb(),
            Then::Ask { url, method, .. } => {
                let form = self.shared.dialect.keys_form(&keys.pressed);
                self.fetch_with("gather", url, method, None, form);
            }
        }
    }
}
