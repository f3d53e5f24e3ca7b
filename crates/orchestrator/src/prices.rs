//! What vendors charge, and what a call cost (R187). Prices are data: `config/prices.toml`.

use std::collections::BTreeMap;

use bolo_execution::{Cost, LlmUsage, SpeechTotal, Usage};
use serde::Deserialize;

/// The price table that comes with the server.
const SHIPPED: &str = include_str!("../../../config/prices.toml");

/// What vendors charge. A missing row costs nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    rows: Vec<Price>,
}

/// The table can't be read; the message names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("price table: {0}")]
pub struct PricesError(String);

/// What a vendor does for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PriceRole {
    Llm,
    Transcriber,
    Synthesizer,
    Network,
    Platform,
}

/// What one price is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// A minute of audio or of the call, counted by the second.
    Minute,
    /// Each started minute of the call.
    StartedMinute,
    /// 1,000 characters.
    ThousandCharacters,
    /// 1,000,000 prompt tokens that were not cached.
    MillionInputTokens,
    /// 1,000,000 prompt tokens from the vendor's cache.
    MillionCachedTokens,
    /// 1,000,000 completion tokens.
    MillionOutputTokens,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    provider: String,
    /// `*` stands for any text; only at the end.
    model: String,
    role: PriceRole,
    unit: Unit,
    /// USD.
    price: f64,
    #[allow(dead_code, reason = "kept for the reader of the table")]
    valid_from: String,
    #[allow(dead_code, reason = "kept for the reader of the table")]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    price: Vec<Price>,
}

/// Who did what in a call, as far as prices differ by it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Used<'a> {
    pub(crate) carrier: &'a str,
    /// Whose models those are that name no vendor.
    pub(crate) llm: &'a str,
    /// From answer to end.
    pub(crate) seconds: f64,
}

impl Prices {
    /// The table that comes with the server.
    pub fn shipped() -> Result<Self, PricesError> {
        Self::parse(SHIPPED)
    }

    /// Reads a table: `[[price]]` rows of provider, model (may end in `*`), role, unit, price (USD),
    /// valid_from, source. The first row that fits counts.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let table: Table = toml::from_str(text).map_err(|error| PricesError(error.to_string()))?;
        if let Some(row) = table
            .price
            .iter()
            .find(|row| !row.price.is_finite() || row.price < 0.0)
        {
            return Err(PricesError(format!(
                "{} {}: price must be 0 or more",
                row.provider, row.model
            )));
        }
        Ok(Self { rows: table.price })
    }

    /// USD for one unit.
    fn of(&self, role: PriceRole, provider: &str, model: &str, unit: Unit) -> f64 {
        let fits = |row: &&Price| {
            row.role == role
                && row.unit == unit
                && row.provider == provider
                && glob(&row.model, model)
        };
        self.rows.iter().find(fits).map_or(0.0, |row| row.price)
    }

    /// What tokens of a model cost, in cents.
    pub fn llm_cents(&self, vendor: &str, model: &str, tokens: &LlmUsage) -> f64 {
        let mut usage = Usage {
            llm_model: [(model.to_owned(), tokens.clone())].into(),
            ..Usage::default()
        };
        let used = Used {
            carrier: "",
            llm: vendor,
            seconds: 0.0,
        };
        self.cost(&mut usage, &used).llm
    }

    /// What a call cost, in cents; what each voice and transcriber cost is entered into `usage`.
    pub(crate) fn cost(&self, usage: &mut Usage, used: &Used<'_>) -> Cost {
        let minutes = |role, provider: &str, model: &str, seconds: f64| {
            self.of(role, provider, model, Unit::Minute) * seconds / 60.0
                + self.of(role, provider, model, Unit::StartedMinute) * (seconds / 60.0).ceil()
        };
        let tokens = |(name, tokens): (&String, &LlmUsage)| {
            let vendor = match tokens.vendor.as_str() {
                "" => used.llm,
                vendor => vendor,
            };
            // As [`Usage::llm_model`] tells models of one name apart.
            let model = name
                .strip_prefix(vendor)
                .and_then(|rest| rest.strip_prefix(':'));
            let million = |unit, count: u64| {
                let price = self.of(PriceRole::Llm, vendor, model.unwrap_or(name), unit);
                price * count as f64 / 1_000_000.0
            };
            let sent = tokens.input.saturating_sub(tokens.cached);
            million(Unit::MillionInputTokens, sent)
                + million(Unit::MillionCachedTokens, tokens.cached)
                + million(Unit::MillionOutputTokens, tokens.output)
        };
        let llm: f64 = usage.llm_model.iter().map(tokens).sum();
        let synthesizer = priced(&mut usage.synthesizers, |vendor, model, characters| {
            let unit = Unit::ThousandCharacters;
            self.of(PriceRole::Synthesizer, vendor, model, unit) * characters / 1000.0
        });
        let transcriber = priced(&mut usage.transcribers, |vendor, model, seconds| {
            minutes(PriceRole::Transcriber, vendor, model, seconds)
        });
        Cost {
            llm: cents(llm),
            network: cents(minutes(PriceRole::Network, used.carrier, "", used.seconds)),
            platform: cents(minutes(PriceRole::Platform, "bolo", "", used.seconds)),
            synthesizer,
            transcriber,
        }
    }
}

fn cents(usd: f64) -> f64 {
    (usd * 100.0 * 10_000.0).round() / 10_000.0
}

/// Enters what each part cost; their sum, in cents.
fn priced(parts: &mut BTreeMap<String, SpeechTotal>, usd: impl Fn(&str, &str, f64) -> f64) -> f64 {
    for (name, part) in parts.iter_mut() {
        let (vendor, model) = name.split_once(':').unwrap_or((name, ""));
        part.cost = cents(usd(vendor, model, part.amount));
    }
    parts.values().map(|part| part.cost).sum()
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(amounts: &[(&str, f64)]) -> BTreeMap<String, SpeechTotal> {
        let part = |(name, amount): &(&str, f64)| {
            let total = SpeechTotal {
                amount: *amount,
                cost: 0.0,
            };
            ((*name).to_owned(), total)
        };
        amounts.iter().map(part).collect()
    }

    #[test]
    fn the_shipped_table_prices_a_call_to_the_cent() {
        let prices = Prices::shipped().unwrap();
        let tokens = LlmUsage {
            input: 10_000,
            output: 1_000,
            cached: 4_000,
            ..LlmUsage::default()
        };
        let mut usage = Usage {
            synthesizers: parts(&[("elevenlabs:eleven_flash_v2_5", 2_000.0)]),
            transcribers: parts(&[("deepgram:nova-3", 90.0)]),
            llm_model: [("gpt-4.1-mini".to_owned(), tokens)].into(),
            ..Usage::default()
        };
        let used = Used {
            carrier: "twilio",
            llm: "openai",
            seconds: 95.0,
        };
        let cost = prices.cost(&mut usage, &used);
        // 6,000 × 0.40 + 4,000 × 0.10 + 1,000 × 1.60 per million = 0.0044 USD.
        assert_eq!(cost.llm, 0.44);
        assert_eq!(cost.transcriber, 0.72);
        assert_eq!(cost.synthesizer, 8.0);
        assert_eq!(cost.network, 0.0);
        assert!((cost.total() - 9.16).abs() < 1e-9);
    }

    #[test]
    fn what_is_in_no_row_costs_nothing() {
        let mut usage = Usage {
            synthesizers: parts(&[("local:", 9_000.0)]),
            transcribers: parts(&[("local:moonshine-tiny-en", 60.0)]),
            ..Usage::default()
        };
        let used = Used {
            carrier: "websocket",
            llm: "demo",
            seconds: 60.0,
        };
        let cost = Prices::shipped().unwrap().cost(&mut usage, &used);
        assert_eq!(cost.total(), 0.0);
    }

    #[test] // R187, R195
    fn a_fallback_costs_what_its_own_vendor_charges() {
        let row = |provider: &str, role: &str, unit: &str, price: f64| {
            format!(
                "[[price]]\nprovider = \"{provider}\"\nmodel = \"*\"\nrole = \"{role}\"\nunit = \"{unit}\"\n\
                 price = {price:?}\nvalid_from = \"\"\nsource = \"\"\n"
            )
        };
        let table = [
            row("dear", "synthesizer", "thousand_characters", 1.0),
            row("cheap", "synthesizer", "thousand_characters", 0.1),
            row("dear", "llm", "million_output_tokens", 100.0),
            row("cheap", "llm", "million_output_tokens", 10.0),
        ];
        let prices = Prices::parse(&table.concat()).unwrap();
        let tokens = |vendor: &str| LlmUsage {
            output: 10_000,
            vendor: vendor.to_owned(),
            ..LlmUsage::default()
        };
        let mut usage = Usage {
            synthesizers: parts(&[("dear:a", 500.0), ("cheap:b", 1000.0)]),
            llm_model: [
                ("m".to_owned(), tokens("dear")),
                ("cheap:m".to_owned(), tokens("cheap")),
            ]
            .into(),
            ..Usage::default()
        };
        let used = Used {
            carrier: "",
            llm: "dear",
            seconds: 0.0,
        };
        let cost = prices.cost(&mut usage, &used);
        assert_eq!((cost.synthesizer, cost.llm), (60.0, 110.0));
        assert_eq!(usage.synthesizers["dear:a"].cost, 50.0);
        assert_eq!(usage.synthesizers["cheap:b"].cost, 10.0);
    }

    #[test]
    fn a_bad_row_is_named() {
        let row = "[[price]]\nprovider = \"x\"\nmodel = \"y\"\nrole = \"llm\"\nunit = \"minute\"\nprice = -1.0\nvalid_from = \"\"\nsource = \"\"\n";
        assert!(Prices::parse(row).unwrap_err().to_string().contains("x y"));
        assert!(Prices::parse("[[price]]\nprovider = \"x\"\nunit = \"mile\"\n").is_err());
    }

    #[test]
    fn a_started_minute_counts_whole() {
        let row = "[[price]]\nprovider = \"twilio\"\nmodel = \"\"\nrole = \"network\"\nunit = \"started_minute\"\nprice = 0.01\nvalid_from = \"2026-01-01\"\nsource = \"test\"\n";
        let used = Used {
            carrier: "twilio",
            llm: "",
            seconds: 61.0,
        };
        assert_eq!(
            Prices::parse(row)
                .unwrap()
                .cost(&mut Usage::default(), &used)
                .network,
            2.0
        );
    }
}
