//! A template of what to extract from a call's transcript. Source: api.md §16.

use serde_json::Value;

use crate::{Faults, place::read_whole};

/// A template, as far as it is more than what was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractionTemplate {
    /// What it is called.
    pub name: String,
    /// The shape of what is extracted, JSON Schema.
    pub json_schema: Value,
    /// For the model.
    pub instructions: Option<String>,
    /// Default `gpt-4.1-mini`.
    pub model: String,
}

impl ExtractionTemplate {
    /// Reads a template.
    pub fn parse(document: &Value) -> Result<Self, Faults> {
        read_whole(document, |place| {
            place.object()?;
            let json_schema = place.at("json_schema").required();
            if let Some(schema) = &json_schema {
                schema.object();
            }
            for key in ["inputs", "keys"] {
                let members = place.at(key);
                if members.is_present() {
                    members.object();
                }
            }
            place.at("display").flag(true);
            place.at("supports_custom_questions").flag(false);
            let instructions = place.at("instructions").some_text();
            Some(Self {
                name: place.at("name").required_text()?.to_owned(),
                json_schema: json_schema?.value()?.clone(),
                instructions: instructions.map(str::to_owned),
                model: place
                    .at("model")
                    .some_text()
                    .unwrap_or("gpt-4.1-mini")
                    .to_owned(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_read_and_its_faults_are_named() {
        let good = json!({ "name": "Lead", "json_schema": { "type": "object" }, "keys": null });
        let read = ExtractionTemplate::parse(&good).map(|template| template.model);
        assert_eq!(read, Ok("gpt-4.1-mini".to_owned()));
        for (bad, path) in [
            (json!([]), ""),
            (json!({ "json_schema": {} }), "name"),
            (json!({ "name": "x" }), "json_schema"),
            (json!({ "name": "x", "json_schema": [] }), "json_schema"),
            (
                json!({ "name": "x", "json_schema": {}, "inputs": 1 }),
                "inputs",
            ),
            (
                json!({ "name": "x", "json_schema": {}, "display": "yes" }),
                "display",
            ),
        ] {
            let faults = ExtractionTemplate::parse(&bad).err().map(|faults| faults.0);
            let first = faults.and_then(|faults| Some(faults.first()?.path.clone()));
            assert_eq!(first.as_deref(), Some(path), "{bad}");
        }
    }
}
