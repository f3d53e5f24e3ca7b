//! Whether a caller who fell silent has finished: a model that listens to the intonation, and a rule
//! that looks at the last word.

use rten::{Model, NodeId, RunOptions};
use rten_tensor::{NdTensor, prelude::*};

use super::{
    Failure,
    mel::{BANDS, FRAMES, Mel},
    moonshine::load,
};

/// smart-turn v3.2. Shared by all threads.
pub(super) struct TurnModel {
    model: Model,
    input: NodeId,
    output: NodeId,
    mel: Mel,
}

impl TurnModel {
    pub(super) fn load(models: &bolo_models::Store) -> Result<Self, Failure> {
        let model = load(&models.path("smart-turn", "smart-turn-v3.2-cpu.onnx")?)?;
        let input = model.node_id("input_features").map_err(Failure::model)?;
        let output = model.node_id("logits").map_err(Failure::model)?;
        Ok(Self {
            model,
            input,
            output,
            mel: Mel::new(),
        })
    }

    /// How likely the turn is over, 0 to 1, by its last 8 s (-1 to 1, 16 kHz), some 200 ms of silence at
    /// the end included, for so it was trained.
    pub(super) fn finished(&self, samples: &[f32], options: &RunOptions) -> Result<f32, Failure> {
        let features = NdTensor::from_data([1, BANDS, FRAMES], self.mel.features(samples));
        let [given] = self
            .model
            .run_n(
                vec![(self.input, features.into())],
                [self.output],
                Some(options.clone()),
            )
            .map_err(Failure::model)?;
        // Named logits, but already a probability.
        let given: NdTensor<f32, 2> = given.try_into().map_err(Failure::model)?;
        given
            .iter()
            .next()
            .copied()
            .ok_or_else(|| Failure::model("no output"))
    }
}

/// From this score on the turn model is believed at once. In between, some more silence decides.
pub(super) const SURE: f32 = 0.93;
const LIKELY: f32 = 0.5;
/// The longest pause within a turn (runtime.md R43), ms: neither the voice nor the words are at an end.
pub(super) const LONG_PAUSE_MS: u64 = 3_000;

/// How long a caller may be silent before the turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LongestPause {
    /// ms.
    pub(super) longest_ms: u64,
    /// The model should be asked once more when there is more silence to hear.
    pub(super) ask_again: bool,
}

/// By the turn model's score and the words. The times were chosen on the simulator's callers.
pub(super) fn longest_pause(score: f32, text: &str) -> LongestPause {
    let (longest_ms, ask_again) = match (score, ending(text)) {
        (_, Ending::Open) if score < LIKELY => (LONG_PAUSE_MS, false),
        (_, Ending::Open) => (1_800, false),
        (_, Ending::Digits) if score >= LIKELY => (1_100, false),
        (SURE.., Ending::Plain) => (0, false),
        (LIKELY.., _) => (600, false),
        _ => (1_200, true),
    };
    LongestPause {
        longest_ms,
        ask_again,
    }
}

/// How English words end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// As a sentence may.
    Plain,
    /// With a comma, by which the recogniser tells that the voice stayed up.
    Comma,
    /// In digits said one by one, which come in groups.
    Digits,
    /// Where a sentence can't: after a conjunction, an article, a preposition, a filler and the like.
    Open,
}

fn ending(text: &str) -> Ending {
    let text = text.trim_end();
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '\'' {
                c
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let Some((last, before)) = words.split_last() else {
        return Ending::Plain;
    };
    let question = text.ends_with('?');
    // "What is it for?", "when the next one is"
    let asks = before.iter().any(|word| QUESTION_WORDS.contains(word));
    if text.ends_with("...")
        || text.ends_with('\u{2026}')
        || ALWAYS_OPEN.contains(last)
        || before.is_empty() && OPEN_ALONE.contains(last)
        || OPEN_PHRASES
            .iter()
            .any(|phrase| plain.trim_end().ends_with(phrase))
        || OPEN.contains(last) && !before.is_empty() && !question
        || VERBS.contains(last) && !before.is_empty() && !question && !asks
    {
        return Ending::Open;
    }
    let digits: usize = words.iter().rev().map_while(|word| digits(word)).sum();
    if digits >= 3 {
        Ending::Digits
    } else if text.ends_with(',') {
        Ending::Comma
    } else {
        Ending::Plain
    }
}

/// How many digits a word stands for; `None` if it is no digit.
fn digits(word: &str) -> Option<usize> {
    let spelt = DIGITS.contains(&word).then_some(1);
    spelt.or_else(|| {
        word.chars()
            .all(|c| c.is_ascii_digit())
            .then_some(word.len())
    })
}

/// Nothing can end with these, and alone they are no answer.
const ALWAYS_OPEN: [&str; 34] = [
    "a", "an", "the", "and", "or", "but", "because", "if", "um", "umm", "uh", "uhm", "er", "erm",
    "my", "your", "our", "their", "its", "i'm", "i'd", "i'll", "i've", "we're", "we'd", "they're",
    "that's", "there's", "it's", "than", "although", "unless", "whether", "every",
];

/// Beginnings, when nothing else is said.
const OPEN_ALONE: [&str; 5] = ["well", "so", "then", "also", "like"];

/// Nothing longer than a word ends with these, questions aside.
const OPEN: [&str; 22] = [
    "so", "to", "of", "for", "from", "with", "at", "by", "into", "about", "between", "until",
    "since", "while", "which", "who", "what", "i", "we", "he", "they", "maybe",
];

/// The same, but they may end a clause that began with a question word.
const VERBS: [&str; 17] = [
    "is", "are", "was", "were", "am", "be", "been", "have", "has", "had", "would", "could",
    "should", "want", "need", "like", "can",
];

const QUESTION_WORDS: [&str; 8] = [
    "what", "when", "where", "which", "who", "how", "why", "whatever",
];

const OPEN_PHRASES: [&str; 5] = [
    " tell me",
    " to well",
    " let me see",
    " you know",
    " i mean",
];

const DIGITS: [&str; 12] = [
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_that_stop_in_the_middle_are_told() {
        for text in [
            "I would like to",
            "Yes, but",
            "because I",
            "My number is",
            "um",
            "Well, um...",
            "Well,",
            "Can I have the",
            "I want to come on Monday and",
            "And then I...",
            "Could you maybe",
            "Can you tell me?",
            "Let me see, it was.",
        ] {
            assert_eq!(ending(text), Ending::Open, "{text}");
        }
        for text in [
            "Yes, please.",
            "No.",
            "What is it for?",
            "Tomorrow at three.",
            "I don't have one.",
            "",
            "Who?",
            "Thank you.",
            "Maybe.",
            "I know when the next one is.",
            "Thursday at 10.",
            "All is well.",
        ] {
            assert_eq!(ending(text), Ending::Plain, "{text}");
        }
    }

    #[test]
    fn digits_come_in_groups_and_a_comma_promises_more() {
        assert_eq!(ending("The number is 555."), Ending::Digits);
        assert_eq!(ending("It's five, five, five."), Ending::Digits);
        assert_eq!(ending("Flat 3, 22."), Ending::Digits);
        assert_eq!(ending("At 10"), Ending::Plain);
        assert_eq!(ending("It is on the left,"), Ending::Comma);
    }

    #[test]
    fn the_less_sure_the_longer() {
        let pause = |score, text| longest_pause(score, text).longest_ms;
        assert_eq!(pause(0.98, "Yes, please."), 0);
        assert!(pause(0.98, "Yes, please.") < pause(0.7, "Yes, please."));
        assert!(pause(0.7, "Yes, please.") < pause(0.1, "Yes, please."));
        assert!(pause(0.1, "Yes, please.") < pause(0.98, "My number is"));
        assert!(pause(0.98, "My number is") < pause(0.1, "My number is"));
        assert!(longest_pause(0.1, "Yes, please.").ask_again);
    }
}
