//! What many calls used and cost together. Source: api.md §14.

use std::collections::BTreeMap;

use crate::{Cost, LlmUsage, SpeechTotal, Status, Usage};

/// By vendor, then by model.
pub type SpeechTotals = BTreeMap<String, BTreeMap<String, SpeechTotal>>;

/// Sums over calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Calls.
    pub calls: u64,
    /// Seconds talked.
    pub seconds: f64,
    /// Cents, by what they were spent on.
    pub cost: Cost,
    /// Calls by status.
    pub statuses: BTreeMap<Status, u64>,
    /// Characters.
    pub synthesizers: SpeechTotals,
    /// Seconds.
    pub transcribers: SpeechTotals,
    /// Tokens by model.
    pub llm: BTreeMap<String, LlmUsage>,
}

impl Totals {
    /// Adds one call.
    pub fn add(
        &mut self,
        status: Status,
        seconds: Option<f64>,
        usage: Option<&Usage>,
        cost: Option<&Cost>,
    ) {
        self.calls += 1;
        self.seconds += seconds.unwrap_or_default();
        *self.statuses.entry(status).or_default() += 1;
        let cost = cost.copied().unwrap_or_default();
        for (sum, part) in [
            (&mut self.cost.llm, cost.llm),
            (&mut self.cost.network, cost.network),
            (&mut self.cost.platform, cost.platform),
            (&mut self.cost.synthesizer, cost.synthesizer),
            (&mut self.cost.transcriber, cost.transcriber),
        ] {
            *sum += part;
        }
        let Some(usage) = usage else { return };
        let spoken = SpeechTotal {
            amount: usage.synthesizer_characters as f64,
            cost: cost.synthesizer,
        };
        let heard = SpeechTotal {
            amount: usage.transcriber_duration,
            cost: cost.transcriber,
        };
        for (sums, parts, named, whole) in [
            (
                &mut self.synthesizers,
                &usage.synthesizers,
                &usage.synthesizer_model,
                spoken,
            ),
            (
                &mut self.transcribers,
                &usage.transcribers,
                &usage.transcriber_model,
                heard,
            ),
        ] {
            for (name, part) in parts {
                add_speech(sums, name, *part);
            }
            // A record of before parts were told.
            if parts.is_empty() {
                add_speech(sums, named, whole);
            }
        }
        for (model, tokens) in &usage.llm_model {
            let sum = self.llm.entry(model.clone()).or_default();
            sum.input += tokens.input;
            sum.output += tokens.output;
            sum.cached += tokens.cached;
            sum.estimated |= tokens.estimated;
        }
    }
}

/// `named` is `vendor:model`; a call that used none has none.
fn add_speech(totals: &mut SpeechTotals, named: &str, part: SpeechTotal) {
    if named.is_empty() {
        return;
    }
    let (vendor, model) = named.split_once(':').unwrap_or((named, ""));
    *totals
        .entry(vendor.to_owned())
        .or_default()
        .entry(model.to_owned())
        .or_default() += part;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up_by_vendor_and_model() {
        let usage = Usage {
            synthesizer_characters: 100,
            synthesizer_model: "elevenlabs:eleven_turbo_v2_5".into(),
            transcriber_duration: 12.5,
            transcriber_model: "deepgram:nova-3".into(),
            llm_model: BTreeMap::from([(
                "gpt-4.1-mini".into(),
                LlmUsage {
                    input: 20,
                    output: 5,
                    ..LlmUsage::default()
                },
            )]),
            ..Usage::default()
        };
        let cost = Cost {
            synthesizer: 2.0,
            platform: 1.0,
            ..Cost::default()
        };
        let mut totals = Totals::default();
        totals.add(Status::Completed, Some(30.0), Some(&usage), Some(&cost));
        totals.add(Status::Completed, Some(10.0), Some(&usage), Some(&cost));
        totals.add(Status::NoAnswer, None, None, None);
        assert_eq!((totals.calls, totals.seconds), (3, 40.0));
        assert_eq!(totals.cost.total(), 6.0);
        assert_eq!(totals.statuses[&Status::Completed], 2);
        let spoken = totals.synthesizers["elevenlabs"]["eleven_turbo_v2_5"];
        assert_eq!((spoken.amount, spoken.cost), (200.0, 4.0));
        assert_eq!(totals.transcribers["deepgram"]["nova-3"].amount, 25.0);
        assert_eq!(totals.llm["gpt-4.1-mini"].input, 40);
    }

    #[test] // R195
    fn a_fallback_is_counted_under_its_own_name() {
        let part = |amount, cost| SpeechTotal { amount, cost };
        let usage = Usage {
            synthesizer_characters: 100,
            synthesizer_model: "cartesia:sonic-3".into(),
            synthesizers: BTreeMap::from([
                ("elevenlabs:flash".into(), part(30.0, 1.0)),
                ("cartesia:sonic-3".into(), part(70.0, 2.0)),
            ]),
            ..Usage::default()
        };
        let mut totals = Totals::default();
        totals.add(Status::Completed, None, Some(&usage), None);
        let spoken = |vendor: &str, model: &str| totals.synthesizers[vendor][model];
        assert_eq!(spoken("elevenlabs", "flash"), part(30.0, 1.0));
        assert_eq!(spoken("cartesia", "sonic-3"), part(70.0, 2.0));
    }
}
