//! What changed between two documents.

use serde_json::Value;

/// One difference, at its place.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Path from the body's root: `agent_config.tasks[0].task_config.call_terminate`.
    pub path: String,
    /// What stood there; `None` = nothing.
    pub before: Option<Value>,
    /// What stands there now; `None` = nothing.
    pub after: Option<Value>,
}

/// What is to be done to `before` to have `after`, in the order of the documents. Items of lists are compared
/// by their place.
pub fn diff(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(
    path: String,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(added) {
                let joint = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{joint}{key}");
                compare(path, before.get(key), after.get(key), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                let path = format!("{path}[{index}]");
                compare(path, before.get(index), after.get(index), found);
            }
        }
        (before, after) => found.push(Difference {
            path,
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_has_its_place() {
        let before =
            json!({"a": {"same": 1, "n": 1, "gone": [1]}, "l": [1, {"x": null}, 3], "t": "x"});
        let after = json!({"a": {"same": 1, "n": 2, "new": {}}, "l": [1, {"x": 0}], "t": ["x"]});
        let found: Vec<_> = diff(&before, &after)
            .into_iter()
            .map(|one| (one.path, one.before, one.after))
            .collect();
        let wanted = [
            ("a.n", Some(json!(1)), Some(json!(2))),
            ("a.gone", Some(json!([1])), None),
            ("a.new", None, Some(json!({}))),
            ("l[1].x", Some(json!(null)), Some(json!(0))),
            ("l[2]", Some(json!(3)), None),
            ("t", Some(json!("x")), Some(json!(["x"]))),
        ];
        assert_eq!(
            found,
            wanted.map(|(path, before, after)| (path.to_owned(), before, after))
        );
        assert_eq!(diff(&before, &before), []);
    }
}
