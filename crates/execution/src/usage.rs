//! What a call used and what that cost. Sources: runtime.md R186, R187; api.md §8.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Tokens of one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LlmUsage {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Completion tokens.
    pub output: u64,
    /// Prompt tokens the vendor took from its cache.
    #[serde(default)]
    pub cached: u64,
    /// Some were counted as characters / 4, because the vendor sent no usage.
    #[serde(default)]
    pub estimated: bool,
    /// Whose model; empty in old records: the agent's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vendor: String,
}

/// What one model of a speech vendor did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeechTotal {
    /// Characters spoken, or seconds heard.
    pub amount: f64,
    /// Cents.
    pub cost: f64,
}

impl std::ops::AddAssign for SpeechTotal {
    fn add_assign(&mut self, more: Self) {
        self.amount += more.amount;
        self.cost += more.cost;
    }
}

/// What a call used of its vendors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Characters sent to the synthesizer; clips from the cache are not counted.
    pub synthesizer_characters: u64,
    /// `vendor:model` of the one that spoke most.
    pub synthesizer_model: String,
    /// Seconds of audio the transcriber heard.
    pub transcriber_duration: f64,
    /// `vendor:model` of the one that heard most.
    pub transcriber_model: String,
    /// By model name; `vendor:model` where another vendor has one of that name too.
    pub llm_model: BTreeMap<String, LlmUsage>,
    /// Characters and their cost by `vendor:model`: who really spoke (R195). Old records have none.
    #[serde(default)]
    pub synthesizers: BTreeMap<String, SpeechTotal>,
    /// The same of seconds heard (R193).
    #[serde(default)]
    pub transcribers: BTreeMap<String, SpeechTotal>,
}

impl Usage {
    /// All tokens of all models.
    pub fn llm_tokens(&self) -> u64 {
        self.llm_model
            .values()
            .map(|model| model.input + model.output)
            .sum()
    }
}

impl std::ops::AddAssign for LlmUsage {
    fn add_assign(&mut self, more: Self) {
        self.input += more.input;
        self.output += more.output;
        self.cached += more.cached;
        self.estimated |= more.estimated;
        if self.vendor.is_empty() {
            self.vendor = more.vendor;
        }
    }
}

impl std::ops::Add for Usage {
    type Output = Self;
    /// Of the models' names the later ones stay.
    fn add(mut self, more: Self) -> Self {
        for (model, usage) in more.llm_model {
            *self.llm_model.entry(model).or_default() += usage;
        }
        for (name, total) in more.synthesizers {
            *self.synthesizers.entry(name).or_default() += total;
        }
        for (name, total) in more.transcribers {
            *self.transcribers.entry(name).or_default() += total;
        }
        let later = |earlier, later: String| if later.is_empty() { earlier } else { later };
        Self {
            synthesizer_characters: self.synthesizer_characters + more.synthesizer_characters,
            synthesizer_model: later(self.synthesizer_model, more.synthesizer_model),
            transcriber_duration: self.transcriber_duration + more.transcriber_duration,
            transcriber_model: later(self.transcriber_model, more.transcriber_model),
            llm_model: self.llm_model,
            synthesizers: self.synthesizers,
            transcribers: self.transcribers,
        }
    }
}

/// Cost in cents; the sum is `total_cost`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Cost {
    pub llm: f64,
    pub network: f64,
    pub platform: f64,
    pub synthesizer: f64,
    pub transcriber: f64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, more: Self) -> Self {
        Self {
            llm: self.llm + more.llm,
            network: self.network + more.network,
            platform: self.platform + more.platform,
            synthesizer: self.synthesizer + more.synthesizer,
            transcriber: self.transcriber + more.transcriber,
        }
    }
}

impl Cost {
    /// The sum, cents.
    pub fn total(&self) -> f64 {
        self.llm + self.network + self.platform + self.synthesizer + self.transcriber
    }
}
