//! A question about each call, answered by a model from the transcript: what is asked, and what the
//! model's answer means. Source: api.md §17.

use regex::Regex;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    Faults, LlmConfig,
    place::{Place, read_whole},
};

/// A disposition.
#[derive(Debug, Clone)]
pub struct Disposition {
    /// What it is called.
    pub name: String,
    /// What is asked.
    pub question: String,
    /// What the model is told before.
    pub system_prompt: Option<String>,
    /// Groups results; default `General`.
    pub category: String,
    /// Default `gpt-4.1-mini`.
    pub model: String,
    /// Free text is wanted, of this type.
    pub subjective: Option<Subjective>,
    /// One of these is wanted; empty = none.
    pub objective: Vec<ObjectiveOption>,
}

/// What a free text must be.
#[derive(Debug, Clone)]
pub enum Subjective {
    /// Anything.
    Text,
    /// ISO 8601.
    Timestamp,
    /// A number.
    Numeric,
    /// Yes or no.
    Boolean,
    /// An address.
    Email,
    /// What this fits; how a person would say it.
    Regex(Regex, Option<String>),
}

/// A value to choose, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveOption {
    /// The value.
    pub value: String,
    /// When it is the right one.
    pub condition: String,
    /// Finer ones.
    pub sub_options: Vec<Self>,
}

/// Longest answer of a model.
const LONGEST_ANSWER: u32 = 1000;
/// Options may be nested this deep.
const DEEPEST: usize = 8;

impl Disposition {
    /// Reads a disposition.
    pub fn parse(document: &Value) -> Result<Self, Faults> {
        read_whole(document, |place| {
            place.object()?;
            let is_subjective = place.at("is_subjective").flag(false);
            let is_objective = place.at("is_objective").flag(false);
            if !is_subjective && !is_objective {
                place
                    .at("is_subjective")
                    .fault("or is_objective must be true");
            }
            let given = place.at("subjective_type");
            if given.is_present() && !is_subjective {
                given.fault("is only for is_subjective");
            }
            let subjective = Subjective::read(place);
            let options = place.at("objective_options");
            let objective = options_of(&options, 1);
            if is_objective && objective.is_empty() {
                options.fault("must hold at least one option, because is_objective is true");
            }
            let name = place.at("name").required_text();
            let question = place.at("question").required_text();
            let or = |key, default: &str| {
                let text = place.at(key).some_text();
                text.unwrap_or(default).to_owned()
            };
            Some(Self {
                name: name?.to_owned(),
                question: question?.to_owned(),
                system_prompt: place.at("system_prompt").some_text().map(str::to_owned),
                category: or("category", "General"),
                model: or("model", "gpt-4.1-mini"),
                subjective: is_subjective.then_some(subjective).flatten(),
                objective: if is_objective { objective } else { Vec::new() },
            })
        })
    }

    /// The model that is asked, and who is where it can't be had: the account's `custom` one of that name, the
    /// agent's own, OpenAI's or else the agent's.
    pub fn models(&self, own: &LlmConfig, custom: Option<Url>) -> (LlmConfig, Option<LlmConfig>) {
        let own = LlmConfig {
            max_tokens: LONGEST_ANSWER,
            request_json: true,
            stop: Vec::new(),
            ..own.clone()
        };
        let named = |provider: &str, base_url| LlmConfig {
            provider: provider.to_owned(),
            model: self.model.clone(),
            family: None,
            base_url,
            reasoning_effort: None,
            verbosity: None,
            ..own.clone()
        };
        match custom {
            Some(url) => (named("custom", Some(url)), None),
            None if self.model == own.model => (own, None),
            None => (named("openai", None), Some(own)),
        }
    }

    /// Verdicts as they stand in `extracted_data`: by category and name.
    pub fn grouped<'a>(
        verdicts: impl IntoIterator<Item = (&'a Self, Value)>,
    ) -> Map<String, Value> {
        let mut grouped = Map::new();
        for (disposition, verdict) in verdicts {
            let group = grouped
                .entry(disposition.category.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(group) = group {
                group.insert(disposition.name.clone(), verdict);
            }
        }
        grouped
    }

    /// What the model is told: its task, and the transcript with the question.
    pub fn prompt(&self, transcript: &str, call_date: Option<&str>) -> [String; 2] {
        let mut system = self.system_prompt.clone().unwrap_or_else(|| {
            "You classify phone calls by their transcripts. Judge only by what was said.".to_owned()
        });
        system.push_str(
            "\n\nAnswer with one JSON object and nothing else: {\"subjective\": text or null, \"objective\": \
             text or null, \"confidence\": number from 0 to 1, \"reasoning_subjective\": text or null, \
             \"reasoning_objective\": text or null}.",
        );
        match &self.subjective {
            Some(subjective) => {
                let wanted = subjective.wanted();
                system.push_str(&format!(
                    "\n\"subjective\" answers in {wanted}; \"\" if the call does not tell."
                ));
            }
            None => system.push_str("\n\"subjective\" is null."),
        }
        if self.objective.is_empty() {
            system.push_str("\n\"objective\" is null.");
        } else {
            system.push_str("\n\"objective\" is exactly one of these values, null if none fits:\n");
            list(&self.objective, 0, &mut system);
        }
        let date = call_date.map(|date| format!("Date of the call: {date}\n\n"));
        let user = format!(
            "{}Transcript:\n{transcript}\n\nQuestion: {}",
            date.unwrap_or_default(),
            self.question
        );
        [system, user]
    }

    /// What the model's answer means, as clients read it. A value that is none of the options is no value.
    pub fn verdict(&self, answer: &str) -> Value {
        let answer = object_in(answer).unwrap_or_default();
        let text = |key: &str| match &answer[key] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        };
        let subjective = self.subjective.as_ref().and(text("subjective"));
        let objective = text("objective").filter(|value| holds(&self.objective, value));
        let confidence = answer["confidence"].as_f64().unwrap_or(0.0).clamp(0.0, 1.0);
        let validation = self.subjective.as_ref().zip(subjective.as_deref());
        json!({
            "subjective": subjective,
            "objective": objective,
            "confidence": confidence,
            "confidence_label": match confidence {
                0.8.. => "High",
                0.5.. => "Medium",
                _ => "Low",
            },
            "reasoning_subjective": self.subjective.as_ref().and(text("reasoning_subjective")),
            "reasoning_objective": objective.as_ref().and(text("reasoning_objective")),
            "validation": validation.and_then(|(kind, text)| kind.validation(text)),
        })
    }
}

impl Subjective {
    fn read(place: &Place<'_>) -> Option<Self> {
        let kind = place.at("subjective_type");
        let kind = match kind.is_present() {
            true => kind.word(&["text", "timestamp", "numeric", "boolean", "email", "regex"])?,
            false => "text",
        };
        Some(match kind {
            "timestamp" => Self::Timestamp,
            "numeric" => Self::Numeric,
            "boolean" => Self::Boolean,
            "email" => Self::Email,
            "regex" => {
                let config = place.at("subjective_type_config").required()?;
                config.object()?;
                let pattern = config.at("pattern");
                match Regex::new(pattern.required_text()?) {
                    Ok(regex) => Self::Regex(
                        regex,
                        config.at("description").some_text().map(str::to_owned),
                    ),
                    Err(_) => {
                        pattern.fault("is no regular expression");
                        return None;
                    }
                }
            }
            _ => Self::Text,
        })
    }

    fn wanted(&self) -> String {
        match self {
            Self::Text => "a short free text".to_owned(),
            Self::Timestamp => "an ISO 8601 time".to_owned(),
            Self::Numeric => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Email => "an e-mail address".to_owned(),
            Self::Regex(regex, None) => format!("a text that fits {regex}"),
            Self::Regex(regex, Some(said)) => format!("{said} (a text that fits {regex})"),
        }
    }

    /// Whether a text is of this type; `None` for free text, which can't be wrong.
    fn validation(&self, text: &str) -> Option<Value> {
        let text = text.trim();
        let (expected, valid) = match self {
            Self::Text => return None,
            Self::Timestamp => ("timestamp", is_time(text)),
            Self::Numeric => ("numeric", text.parse::<f64>().is_ok_and(f64::is_finite)),
            Self::Boolean => ("boolean", matches!(text, "true" | "false")),
            Self::Email => ("email", is_email(text)),
            Self::Regex(regex, _) => ("regex", regex.is_match(text)),
        };
        Some(json!({ "is_valid": valid, "expected_type": expected }))
    }
}

/// `2026-04-01`, or with a time behind it.
fn is_time(text: &str) -> bool {
    let (date, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    let date_fits = date.len() == 10
        && date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    date_fits && (rest.is_empty() || rest.starts_with(['T', ' ']))
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.split_once('@') else {
        return false;
    };
    !name.is_empty() && !text.contains(' ') && host.contains('.') && !host.starts_with('.')
}

fn options_of(place: &Place<'_>, depth: usize) -> Vec<ObjectiveOption> {
    if !place.is_present() {
        return Vec::new();
    }
    if depth > DEEPEST {
        place.fault(format_args!(
            "must not be nested deeper than {DEEPEST} times"
        ));
        return Vec::new();
    }
    let items = place.items().unwrap_or_default();
    let option = |place: &Place<'_>| {
        place.clone().required()?.object()?;
        let (value, condition) = (
            place.at("value").required_text(),
            place.at("condition").required_text(),
        );
        Some(ObjectiveOption {
            sub_options: options_of(&place.at("sub_options"), depth + 1),
            value: value?.to_owned(),
            condition: condition?.to_owned(),
        })
    };
    items.iter().filter_map(option).collect()
}

fn list(options: &[ObjectiveOption], depth: usize, text: &mut String) {
    for option in options {
        let indent = "  ".repeat(depth);
        text.push_str(&format!(
            "{indent}- {:?}: {}\n",
            option.value, option.condition
        ));
        list(&option.sub_options, depth + 1, text);
    }
}

fn holds(options: &[ObjectiveOption], value: &str) -> bool {
    options
        .iter()
        .any(|option| option.value == value || holds(&option.sub_options, value))
}

/// The JSON object in a model's answer, which may have put words or a fence around it.
fn object_in(answer: &str) -> Option<Value> {
    let (from, to) = (answer.find('{')?, answer.rfind('}')?);
    serde_json::from_str(answer.get(from..=to)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn outcome() -> Value {
        json!({
            "name": "Call Outcome", "question": "What was the outcome?", "category": "Lead Quality",
            "is_subjective": true, "is_objective": true,
            "objective_options": [
                {"value": "interested", "condition": "agreed to a next step",
                    "sub_options": [{"value": "hot", "condition": "this week"}]},
                {"value": "not_interested", "condition": "declined"},
            ],
        })
    }

    #[test]
    fn faults_name_the_field() {
        for (change, path) in [
            (json!({"name": null}), "name"),
            (json!({"question": " "}), "question"),
            (
                json!({"is_subjective": false, "is_objective": false}),
                "is_subjective",
            ),
            (json!({"objective_options": []}), "objective_options"),
            (
                json!({"objective_options": [{"value": "x"}]}),
                "objective_options[0].condition",
            ),
            (json!({"subjective_type": "date"}), "subjective_type"),
            (
                json!({"subjective_type": "regex"}),
                "subjective_type_config",
            ),
            (
                json!({"subjective_type": "regex", "subjective_type_config": {"pattern": "("}}),
                "subjective_type_config.pattern",
            ),
            (
                json!({"is_subjective": false, "subjective_type": "text"}),
                "subjective_type",
            ),
        ] {
            let mut document = outcome();
            for (key, value) in change.as_object().unwrap() {
                document[key] = value.clone();
            }
            let faults = Disposition::parse(&document).err().unwrap().0;
            assert_eq!(faults[0].path, path, "{change}");
        }
    }

    #[test]
    fn the_prompt_holds_options_transcript_and_date() {
        let [system, user] = Disposition::parse(&outcome())
            .unwrap()
            .prompt("user: yes", Some("2026-04-01"));
        assert!(system.contains("  - \"hot\": this week"), "{system}");
        assert!(
            user.contains("user: yes") && user.contains("2026-04-01"),
            "{user}"
        );
    }

    #[test]
    fn an_answer_is_read_whatever_stands_around_it() {
        let disposition = Disposition::parse(&outcome()).unwrap();
        let answer = "Sure:\n```json\n{\"subjective\": \"asked for prices\", \"objective\": \"hot\", \"confidence\": 0.85}\n```";
        let verdict = disposition.verdict(answer);
        assert_eq!(verdict["objective"], "hot");
        assert_eq!(verdict["subjective"], "asked for prices");
        assert_eq!(verdict["confidence_label"], "High");
        assert_eq!(verdict["validation"], Value::Null);
        let other = disposition.verdict("{\"objective\": \"maybe\", \"confidence\": 0.5}");
        assert_eq!(
            (&other["objective"], &other["confidence_label"]),
            (&Value::Null, &json!("Medium"))
        );
        assert_eq!(disposition.verdict("no idea")["confidence_label"], "Low");
    }

    #[test]
    fn a_typed_text_is_validated() {
        for (kind, good, bad) in [
            ("timestamp", "2026-04-01T10:00:00Z", "tomorrow"),
            ("numeric", "12.5", "twelve"),
            ("boolean", "true", "yes"),
            ("email", "bruce@example.com", "bruce"),
            ("regex", "0123456789", "12"),
        ] {
            let mut document = outcome();
            document["subjective_type"] = kind.into();
            document["subjective_type_config"] = json!({"pattern": "^\\d{10}$"});
            let disposition = Disposition::parse(&document).unwrap();
            for (text, valid) in [(good, true), (bad, false)] {
                let verdict = disposition.verdict(&json!({ "subjective": text }).to_string());
                assert_eq!(
                    verdict["validation"],
                    json!({"is_valid": valid, "expected_type": kind}),
                    "{text}"
                );
            }
        }
    }
}
