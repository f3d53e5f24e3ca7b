//! The part of JSON Schema that Gemini takes for arguments; other keys make it refuse the request.
//! Source: wire-providers.md §3.4 (google); Google's `Schema`.

use serde_json::{Map, Value};

const KEPT: [&str; 19] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "propertyOrdering",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "anyOf",
    "default",
];

/// `None` where an object without properties is all it says: Gemini wants no schema then.
pub(super) fn parameters(schema: &Value) -> Option<Value> {
    let has_properties = schema["properties"]
        .as_object()
        .is_some_and(|properties| !properties.is_empty());
    has_properties.then(|| {
        let mut schema = plain(schema);
        schema["type"] = "object".into();
        schema
    })
}

fn plain(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else {
        return schema.clone();
    };
    let mut kept = Map::new();
    for (name, value) in fields {
        let value = match (name.as_str(), value) {
            ("type", Value::Array(types)) => {
                let is_null = |name: &Value| name == "null";
                if types.iter().any(is_null) {
                    kept.insert("nullable".into(), true.into());
                }
                match types.iter().find(|name| !is_null(name)) {
                    Some(name) => name.clone(),
                    None => continue,
                }
            }
            ("properties", Value::Object(properties)) => properties
                .iter()
                .map(|(name, schema)| (name.clone(), plain(schema)))
                .collect::<Map<_, _>>()
                .into(),
            ("items", items) => plain(items),
            ("anyOf", Value::Array(schemas)) => schemas.iter().map(plain).collect(),
            // Only words can be listed.
            ("enum", Value::Array(values)) if !values.iter().all(Value::is_string) => continue,
            (name, value) if KEPT.contains(&name) => value.clone(),
            _ => continue,
        };
        kept.insert(name.clone(), value);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn foreign_keys_go_and_properties_of_their_names_stay() {
        let schema = json!({
            "$schema": "x", "type": "object", "additionalProperties": false, "strict": true,
            "properties": {
                "strict": {"type": ["string", "null"], "const": "a"},
                "count": {"type": "integer", "enum": [1, 2], "exclusiveMinimum": 0},
                "list": {"type": "array", "items": {"type": "object", "additionalProperties": false}},
            },
            "required": ["strict"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "strict": {"nullable": true, "type": "string"},
                "count": {"type": "integer"},
                "list": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["strict"],
        });
        assert_eq!(parameters(&schema), Some(expected));
        assert_eq!(
            parameters(&json!({"type": "object", "properties": {}})),
            None
        );
    }
}
