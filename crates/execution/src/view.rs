//! The execution object as clients read it, on GET and in webhooks. Source: api.md §8 (both spellings of
//! every field that clients disagree on).

use serde_json::Value;

use crate::Record;

/// Renders a record; `recordings` is the public address below which recordings are served
/// (`https://host/recordings`).
pub fn view(record: &Record, recordings: &str) -> Value {
    let _ = (record, recordings);
    Value::Null
}
