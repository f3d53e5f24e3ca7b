//! The menu that a number asks before an agent answers. Source: api.md §11.

use std::collections::BTreeSet;

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
}

impl Ivr {
    /// Reads `ivr_config`. Paths of faults begin with it.
    pub fn parse(document: &Value) -> Result<Self, Faults> {
        let whole = serde_json::json!({ "ivr_config": document });
        read_whole(&whole, |place| {
            let place = place.at("ivr_config").required()?;
            place.object()?;
            let enabled = place.at("enabled").flag(false);
            for key in [
                "voice",
                "welcome_message",
                "invalid_input_message",
                "no_input_message",
            ] {
                place.at(key).text();
            }
            place.at("timeout").whole(1..=60);
            place.at("max_retries").whole(0..=10);
            let mut agents = Vec::new();
            agents.extend(agent(&place.at("default_agent_id")));
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
            for step in &steps {
                read_step(step, &ids, &mut agents);
            }
            Some(Self { enabled, agents })
        })
    }
}

fn read_step(step: &Place<'_>, ids: &BTreeSet<&str>, agents: &mut Vec<String>) {
    let leads = |place: Place<'_>| {
        if let Some(id) = place.some_text()
            && !ids.contains(id)
        {
            place.fault(format_args!("there is no step {id:?}"));
        }
    };
    step.at("prompt").required_text();
    step.at("field_name").text();
    leads(step.at("next_step"));
    let conditional = step.at("conditional_next");
    if conditional.is_present() {
        for (digit, place) in conditional.members() {
            if !is_digit(digit) {
                place.fault("stands for no key: 0 to 9, * or #");
            }
            leads(place);
        }
    }
    match step
        .at("type")
        .required()
        .and_then(|kind| kind.word(&["menu", "collect"]))
    {
        Some("menu") => {
            let options = step.at("options").required();
            for option in options
                .and_then(|options| options.items())
                .unwrap_or_default()
            {
                option.object();
                let digit = option.at("digit");
                if digit.required_text().is_some_and(|text| !is_digit(text)) {
                    digit.fault("must be one key: 0 to 9, * or #");
                }
                option.at("label").text();
                option.at("context_label").text();
                agents.extend(agent(&option.at("agent_id")));
            }
        }
        Some(_) => {
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
            step.at("finish_on_key").text();
        }
        None => {}
    }
}

fn is_digit(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9' | b'*' | b'#'])
}

fn agent(place: &Place<'_>) -> Option<String> {
    place.some_text().map(str::to_owned)
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
