//! The menu that a number asks before an agent answers. Source: api.md §11.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    Faults,
    place::{Place, read_whole},
};

/// A number's menu.
#[derive(Debug, Clone, PartialEq)]
pub struct Ivr {
    /// Switched off it is kept, and nothing is asked.
    pub enabled: bool,
    /// Agents that it may lead to, as they were given.
    pub agents: Vec<String>,
    /// Who answers where no option names another: `default_agent_id`.
    pub default_agent: Option<String>,
    /// The carrier's voice that asks. Default `Polly.Joanna`.
    pub voice: String,
    /// Said first.
    pub welcome: Option<String>,
    /// How long a key is waited for. Default 5.
    pub timeout_s: u64,
    /// How often a step is asked again. Default 2.
    pub max_retries: u64,
    /// Said before a step is asked again whose keys mean nothing.
    pub invalid: String,
    /// Said before the call of somebody who presses nothing ends.
    pub no_input: String,
    /// In order; the first is asked first.
    pub steps: Vec<IvrStep>,
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct IvrStep {
    /// Its name.
    pub id: String,
    /// Said.
    pub prompt: String,
    /// Under which name the answer is known to the agent.
    pub field: Option<String>,
    /// What is asked next; `None` = an agent answers.
    next: Option<String>,
    /// The same, by the keys that were pressed.
    conditional: BTreeMap<String, String>,
    /// What may be pressed.
    pub kind: IvrKind,
}

/// What may be pressed.
#[derive(Debug, Clone, PartialEq)]
pub enum IvrKind {
    /// One of these keys.
    Menu(Vec<IvrOption>),
    /// A number.
    Collect {
        /// So many digits at least.
        least: u64,
        /// So many at most; these are not waited behind.
        most: u64,
        /// The key that ends it. Default `#`.
        finish: char,
    },
}

/// A key of a menu.
#[derive(Debug, Clone, PartialEq)]
pub struct IvrOption {
    digit: String,
    label: Option<String>,
    agent: Option<String>,
    context_label: Option<String>,
}

/// What keys amount to.
#[derive(Debug, PartialEq)]
pub enum Keyed<'a> {
    /// None was pressed.
    Nothing,
    /// They are no answer.
    Wrong,
    /// An answer.
    Right {
        /// What the agent knows of it.
        told: Vec<(String, String)>,
        /// Who answers the call.
        agent: Option<&'a str>,
        /// What is asked next; `None` = the agent answers.
        next: Option<&'a IvrStep>,
    },
}

impl Ivr {
    /// Reads `ivr_config`. Paths of faults begin with it.
    pub fn parse(document: &Value) -> Result<Self, Faults> {
        let whole = serde_json::json!({ "ivr_config": document });
        read_whole(&whole, |place| {
            let place = place.at("ivr_config").required()?;
            place.object()?;
            let text = |key: &str| place.at(key).some_text().map(str::to_owned);
            let enabled = place.at("enabled").flag(false);
            let timeout = place.at("timeout").whole(1..=60);
            let retries = place.at("max_retries").whole(0..=10);
            let default_agent = text("default_agent_id");
            let steps = place.at("steps");
            if enabled && !steps.is_filled() {
                steps.fault("must hold at least one step");
            }
            let steps = match steps.is_present() {
                true => steps.items().unwrap_or_default(),
                false => Vec::new(),
            };
            let mut ids = BTreeSet::new();
            for step in &steps {
                step.object();
                let id = step.at("step_id");
                if let Some(text) = id.required_text()
                    && !ids.insert(text)
                {
                    id.fault("is the id of another step too");
                }
            }
            let steps: Vec<IvrStep> = (steps.iter())
                .filter_map(|step| IvrStep::read(step, &ids))
                .collect();
            let of_options = steps.iter().flat_map(|step| match &step.kind {
                IvrKind::Menu(options) => options.as_slice(),
                IvrKind::Collect { .. } => &[],
            });
            let of_options = of_options.filter_map(|option| option.agent.clone());
            let or = |key: &str, default: &str| text(key).unwrap_or_else(|| default.to_owned());
            Some(Self {
                enabled,
                agents: default_agent
                    .clone()
                    .into_iter()
                    .chain(of_options)
                    .collect(),
                default_agent,
                voice: or("voice", "Polly.Joanna"),
                welcome: text("welcome_message"),
                timeout_s: timeout.map_or(5, u64::from),
                max_retries: retries.map_or(2, u64::from),
                invalid: or("invalid_input_message", "Invalid input. Please try again."),
                no_input: or("no_input_message", "No input received. Goodbye."),
                steps,
            })
        })
    }

    /// The step of this name.
    pub fn step(&self, id: &str) -> Option<&IvrStep> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// What these keys amount to at a step.
    pub fn keyed<'a>(&'a self, step: &'a IvrStep, keys: &str) -> Keyed<'a> {
        if keys.is_empty() {
            return Keyed::Nothing;
        }
        let field = step.field.as_deref().unwrap_or(&step.id);
        let mut told = Vec::new();
        let mut agent = None;
        match &step.kind {
            IvrKind::Menu(options) => {
                let Some(option) = options.iter().find(|option| option.digit == keys) else {
                    return Keyed::Wrong;
                };
                let label = option.label.as_deref().unwrap_or(keys);
                told.push((field.to_owned(), label.to_owned()));
                if let Some(context) = &option.context_label {
                    told.push((format!("{field}_context"), context.clone()));
                }
                agent = option.agent.as_deref();
            }
            IvrKind::Collect { least, most, .. } => {
                let count = keys.chars().count() as u64;
                if !(*least..=*most).contains(&count) {
                    return Keyed::Wrong;
                }
                told.push((field.to_owned(), keys.to_owned()));
            }
        }
        let next = step.conditional.get(keys).or(step.next.as_ref());
        Keyed::Right {
            told,
            agent,
            next: next.and_then(|id| self.step(id)),
        }
    }
}

impl IvrStep {
    fn read(step: &Place<'_>, ids: &BTreeSet<&str>) -> Option<Self> {
        let leads = |place: Place<'_>| {
            let id = place.some_text()?;
            if !ids.contains(id) {
                place.fault(format_args!("there is no step {id:?}"));
            }
            Some(id.to_owned())
        };
        let prompt = step.at("prompt").required_text();
        let field = step.at("field_name").some_text();
        let next = leads(step.at("next_step"));
        let mut conditional = BTreeMap::new();
        for (digit, place) in step.at("conditional_next").members() {
            if !is_digit(digit) {
                place.fault("stands for no key: 0 to 9, * or #");
            }
            if let Some(id) = leads(place) {
                conditional.insert(digit.to_owned(), id);
            }
        }
        let kind = step.at("type").required();
        let kind = match kind.and_then(|kind| kind.word(&["menu", "collect"]))? {
            "menu" => IvrKind::Menu(options(step)),
            _ => collect(step)?,
        };
        Some(Self {
            id: step.at("step_id").some_text()?.to_owned(),
            prompt: prompt?.to_owned(),
            field: field.map(str::to_owned),
            next,
            conditional,
            kind,
        })
    }
}

fn options(step: &Place<'_>) -> Vec<IvrOption> {
    let options = step.at("options").required();
    let options = options.and_then(|options| options.items());
    let option = |option: Place<'_>| {
        option.object();
        let text = |key: &str| option.at(key).some_text().map(str::to_owned);
        let digit = option.at("digit");
        let key = digit.required_text();
        if key.is_some_and(|text| !is_digit(text)) {
            digit.fault("must be one key: 0 to 9, * or #");
        }
        Some(IvrOption {
            label: text("label"),
            agent: text("agent_id"),
            context_label: text("context_label"),
            digit: key?.to_owned(),
        })
    };
    let options = options.unwrap_or_default();
    options.into_iter().filter_map(option).collect()
}

fn collect(step: &Place<'_>) -> Option<IvrKind> {
    let exact = step.at("num_digits").whole(1..=32);
    let (least, most) = (
        step.at("min_digits").whole(1..=32),
        step.at("max_digits").whole(1..=32),
    );
    if exact.is_none() && most.is_none() {
        step.at("num_digits").fault("or max_digits is required");
    }
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        step.at("min_digits")
            .fault("must not be more than max_digits");
    }
    let finish = step.at("finish_on_key").some_text();
    let most = u64::from(exact.or(most)?);
    Some(IvrKind::Collect {
        least: exact.or(least).map_or(1, u64::from),
        most,
        finish: finish.and_then(|text| text.chars().next()).unwrap_or('#'),
    })
}

fn is_digit(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9' | b'*' | b'#'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn menu() -> Value {
        json!({
            "enabled": true, "voice": "Polly.Joanna", "timeout": 5, "default_agent_id": "a",
            "steps": [
                {"step_id": "language", "type": "menu", "prompt": "Press 1 or 2", "field_name": "language",
                    "options": [{"digit": "1", "label": "English", "agent_id": "b"}, {"digit": "2", "label": "Hindi"}],
                    "conditional_next": {"2": "account"}},
                {"step_id": "account", "type": "collect", "prompt": "Your number?", "min_digits": 4, "max_digits": 8},
            ],
        })
    }

    #[test]
    fn a_menu_is_read_with_the_agents_that_it_leads_to() {
        let ivr = Ivr::parse(&menu()).unwrap();
        assert!(ivr.enabled);
        assert_eq!(ivr.agents, ["a", "b"]);
        assert!(!Ivr::parse(&json!({ "enabled": false })).unwrap().enabled);
    }

    #[test]
    fn keys_lead_from_step_to_step_to_an_agent() {
        let ivr = Ivr::parse(&menu()).unwrap();
        let right = |told: &[(&str, &str)], agent, next: Option<&str>| Keyed::Right {
            told: (told.iter())
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            agent,
            next: next.and_then(|id| ivr.step(id)),
        };
        let language = ivr.step("language").unwrap();
        assert_eq!(ivr.keyed(language, ""), Keyed::Nothing);
        assert_eq!(ivr.keyed(language, "3"), Keyed::Wrong);
        let english = right(&[("language", "English")], Some("b"), None);
        assert_eq!(ivr.keyed(language, "1"), english);
        let hindi = right(&[("language", "Hindi")], None, Some("account"));
        assert_eq!(ivr.keyed(language, "2"), hindi);
        // A step without a field is known by its own name.
        let account = ivr.step("account").unwrap();
        assert_eq!(ivr.keyed(account, "123"), Keyed::Wrong);
        let told = right(&[("account", "1234")], None, None);
        assert_eq!(ivr.keyed(account, "1234"), told);
    }

    #[test]
    fn faults_name_their_place() {
        for (pointer, value, path) in [
            ("/steps", json!([]), "ivr_config.steps"),
            ("/timeout", json!(0), "ivr_config.timeout"),
            ("/steps/0/type", json!("say"), "ivr_config.steps[0].type"),
            (
                "/steps/1/step_id",
                json!("language"),
                "ivr_config.steps[1].step_id",
            ),
            (
                "/steps/0/conditional_next/2",
                json!("x"),
                "ivr_config.steps[0].conditional_next.2",
            ),
            (
                "/steps/0/options/0/digit",
                json!("12"),
                "ivr_config.steps[0].options[0].digit",
            ),
            (
                "/steps/1/max_digits",
                json!(null),
                "ivr_config.steps[1].num_digits",
            ),
            (
                "/steps/1/max_digits",
                json!(2),
                "ivr_config.steps[1].min_digits",
            ),
        ] {
            let mut document = menu();
            *document.pointer_mut(pointer).unwrap() = value;
            let faults = Ivr::parse(&document).err().unwrap().0;
            assert_eq!(faults[0].path, path);
        }
    }
}
