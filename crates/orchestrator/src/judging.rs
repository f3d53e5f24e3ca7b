//! A judge: the model is asked in the background whether something is so. Sources: runtime.md R155, R158.

use std::{sync::Arc, time::Duration};

use bolo_conversation::TokenUse;
use bolo_providers::{Ask, Delta, Llm};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::asking::{Meter, News, tell};

/// A judge that takes longer says no.
const LIMIT: Duration = Duration::from_secs(3);

/// The verdict, a no where none comes; and what it cost, which is estimated where it was cut.
pub(crate) async fn judge(
    llm: Arc<dyn Llm>,
    ask: Ask,
    key: &str,
    meter: &Meter,
    news: &mpsc::Sender<News>,
) -> (bool, Option<TokenUse>) {
    let asked = answer(llm, ask, meter, news);
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Some((text, used))) => (verdict(&text, key), Some(used)),
        Ok(None) => (false, meter.of_failed()),
        Err(_) => (false, Some(meter.of_cut())),
    }
}

/// All that the model says, and its bill.
async fn answer(
    llm: Arc<dyn Llm>,
    ask: Ask,
    meter: &Meter,
    news: &mpsc::Sender<News>,
) -> Option<(String, TokenUse)> {
    let mut text = String::new();
    let mut deltas = llm.answer(ask);
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(Delta::Text(more)) => {
                meter.came(&more);
                text.push_str(&more);
            }
            Ok(Delta::Reasoning(more)) => meter.came(&more),
            Ok(Delta::Calling(_) | Delta::Calls(_)) => {}
            Ok(Delta::Model { vendor, model }) => tell(news, News::Model { vendor, model }).await,
            Ok(Delta::Done {
                input,
                output,
                cached,
                estimated,
                ..
            }) => {
                let used = TokenUse {
                    input,
                    output,
                    cached,
                    estimated,
                };
                return Some((text, used));
            }
            Err(error) => {
                tracing::warn!(%error, "a judge failed");
                return None;
            }
        }
    }
    None
}

/// Reads `{"<key>": "Yes"}`, also within a code fence.
fn verdict(text: &str, key: &str) -> bool {
    let json = text
        .find('{')
        .zip(text.rfind('}'))
        .and_then(|(from, to)| text.get(from..=to));
    let value: Option<serde_json::Value> = json.and_then(|json| serde_json::from_str(json).ok());
    match value.as_ref().and_then(|value| value.get(key)) {
        Some(serde_json::Value::String(word)) => word.trim().eq_ignore_ascii_case("yes"),
        Some(serde_json::Value::Bool(yes)) => *yes,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_verdict_is_read_from_json_fenced_or_not_and_anything_else_is_a_no() {
        assert!(verdict(r#"{"hangup":"Yes"}"#, "hangup"));
        assert!(verdict("```json\n{\"hangup\": \"yes\"}\n```", "hangup"));
        assert!(verdict(r#"{"hangup":true}"#, "hangup"));
        assert!(!verdict(r#"{"hangup":"No"}"#, "hangup"));
        assert!(!verdict(r#"{"voicemail":"Yes"}"#, "hangup"));
        assert!(!verdict("Yes", "hangup"));
        assert!(!verdict("} {", "hangup"));
    }
}
