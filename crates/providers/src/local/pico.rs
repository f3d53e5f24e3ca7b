//! SVOX Pico, compiled from C into the program: small, instant, six languages, says numbers and dates
//! by itself. Its engine is fed only text that was cleaned here.

// The engine's constructor is unsafe: it reads the two resources of its voice, which `Pico::new` adds.
#![allow(unsafe_code)]

use std::rc::Rc;

use ttspico::{Engine, EngineResetMode, EngineStatus, System, Voice as PicoVoice};

use super::Failure;

/// A voice's two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lingware {
    /// What the engine calls the voice.
    pub(super) name: &'static str,
    pub(super) analysis: &'static str,
    pub(super) sound: &'static str,
}

/// The voice's rate, Hz.
pub(super) const RATE: u32 = 16_000;
/// The engine's memory, bytes; its makers' recommendation.
const ARENA: usize = 4 * 1024 * 1024;
/// Characters given to the engine at once. Longer text is cut between words.
const LONGEST: usize = 400;
/// Slower or faster is not understood any more, percent of the engine's own speed.
const SPEED: std::ops::RangeInclusive<f32> = 50.0..=250.0;

/// One engine. Stays on its thread.
pub(super) struct Pico {
    voice: Lingware,
    engine: Engine,
}

impl Pico {
    /// Loads a voice, in some milliseconds.
    pub(super) fn new(models: &bolo_models::Store, voice: Lingware) -> Result<Self, Failure> {
        let failed = |cause: ttspico::PicoError| Failure::model(cause);
        let path = |file| -> Result<String, Failure> {
            let path = models.path("pico", file)?;
            Ok(path
                .to_str()
                .ok_or_else(|| Failure::model("a path that is no UTF-8"))?
                .to_owned())
        };
        let (analysis, sound) = (path(voice.analysis)?, path(voice.sound)?);
        let system = System::new(ARENA).map_err(failed)?;
        let analysis = System::load_resource(Rc::clone(&system), analysis).map_err(failed)?;
        let sound = System::load_resource(Rc::clone(&system), sound).map_err(failed)?;
        let definition = System::create_voice(system, voice.name).map_err(failed)?;
        definition
            .borrow_mut()
            .add_resource(analysis)
            .map_err(failed)?;
        definition
            .borrow_mut()
            .add_resource(sound)
            .map_err(failed)?;
        // SAFETY: both resources of the voice have just been added.
        let engine = unsafe { PicoVoice::create_engine(definition) }.map_err(failed)?;
        Ok(Self { voice, engine })
    }

    pub(super) fn voice(&self) -> Lingware {
        self.voice
    }

    /// Speaks one of [`cut`]'s parts at `speed` (1 = as recorded); `sink` gets samples as they are made
    /// and returns false to stop. After an error the engine must be built anew.
    pub(super) fn speak(
        &mut self,
        text: &str,
        speed: f32,
        sink: &mut dyn FnMut(&[i16]) -> bool,
    ) -> Result<(), Failure> {
        let percent = (speed * 100.0).clamp(*SPEED.start(), *SPEED.end()).round();
        // The zero makes the engine speak what it holds.
        let marked = if percent == 100.0 || !percent.is_finite() {
            format!("{text}\0")
        } else {
            format!("<speed level=\"{percent}\">{text}</speed>\0")
        };
        let mut rest = marked.as_bytes();
        let mut samples = [0_i16; 1024];
        loop {
            if !rest.is_empty() {
                let taken = self.engine.put_text(rest).map_err(Failure::model)?;
                rest = &rest[taken..];
            }
            let (count, status) = self
                .engine
                .get_data(&mut samples[..])
                .map_err(Failure::model)?;
            if count > 0 && !sink(&samples[..count]) {
                return self
                    .engine
                    .reset(EngineResetMode::Soft)
                    .map_err(Failure::model);
            }
            if status == EngineStatus::Idle && rest.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Text as the engine can bear it, in parts it can take at once: no control characters, no markup, only
/// the letters of its languages. Nothing, if nothing can be spoken.
pub(super) fn cut(text: &str) -> Vec<String> {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2018}' | '\u{2019}' => clean.push('\''),
            '\u{201C}' | '\u{201D}' | '\u{AB}' | '\u{BB}' => clean.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => clean.push('-'),
            '\u{2026}' => clean.push_str("..."),
            '\u{20B9}' => clean.push_str(" rupees "),
            '\u{20AC}' => clean.push(c),
            '<' | '>' | '\\' | '\u{7F}'..='\u{A0}' => clean.push(' '),
            ' '..='~' | '\u{A1}'..='\u{17F}' => clean.push(c),
            _ => clean.push(' '),
        }
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    for word in clean.split_whitespace() {
        // A word longer than any word is cut, too; by characters, since a byte may be half of one.
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(LONGEST / 4) {
            if !part.is_empty() && part.chars().count() + piece.len() >= LONGEST {
                parts.push(std::mem::take(&mut part));
            }
            if !part.is_empty() {
                part.push(' ');
            }
            part.extend(piece);
        }
    }
    parts.push(part);
    parts.retain(|part| part.chars().any(char::is_alphanumeric));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_and_cut_between_words() {
        assert_eq!(
            cut("It\u{2019}s\n\u{7}5\u{20B9} <b>now</b>"),
            ["It's 5 rupees b now /b"]
        );
        assert_eq!(
            cut("\u{928}\u{92E}\u{938}\u{94D}\u{924}\u{947} ... \u{1F600}"),
            Vec::<String>::new()
        );
        assert_eq!(cut(""), Vec::<String>::new());
        let long = "word ".repeat(300);
        let parts = cut(&long);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= LONGEST));
        assert_eq!(parts.join(" "), long.trim());
        assert!(
            cut(&"x".repeat(5000))
                .iter()
                .all(|part| part.len() <= LONGEST)
        );
    }
}
