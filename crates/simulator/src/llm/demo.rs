//! The demo's scripted model.

use serde_json::Value;

use super::Reply;

/// What the model answers to a request.
pub fn reply(request: &Value) -> Reply {
    Reply::text(super::last_user_text(request))
}
