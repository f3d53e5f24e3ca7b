//! Short-lived links to a recording, for readers without a key: `?expires=<epoch s>&sig=<hex>`.

use bolo_execution::ExecutionId;
use bolo_telephony::{CallbackKind, Callbacks};

/// Stands where a carrier's name stands in callback addresses. No carrier has it, so that neither kind of
/// mac can be used for the other.
const PURPOSE: &str = "recording";

/// The query of a link that opens this call's recording until `expires` (epoch seconds).
pub fn query(callbacks: &Callbacks, id: ExecutionId, expires: i64) -> String {
    let signed = callbacks.url(CallbackKind::Status, PURPOSE, id, expires);
    let signature = signed.rsplit('/').next().unwrap_or_default();
    format!("expires={expires}&sig={signature}")
}

/// Whether the link is ours and not yet stale. Constant time.
pub fn opens(
    callbacks: &Callbacks,
    id: ExecutionId,
    expires: &str,
    signature: &str,
    now_s: i64,
) -> bool {
    let Ok(expires) = expires.parse::<i64>() else {
        return false;
    };
    expires >= now_s && callbacks.check(PURPOSE, id, expires, signature)
}

/// A text that nobody else can make: hex of `payload`, a dot, our mac of it with `id` and `expires` (epoch
/// seconds), which the payload is to say too.
pub fn ticket(callbacks: &Callbacks, payload: &[u8], id: ExecutionId, expires: i64) -> String {
    let text: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    let signed = callbacks.url(CallbackKind::Status, &ticket_purpose(&text), id, expires);
    let mac = signed.rsplit('/').next().unwrap_or_default();
    format!("{text}.{mac}")
}

/// The payload of a ticket, not yet known to be ours.
pub fn read_ticket(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

/// Whether a ticket is ours. Constant time.
pub fn ticket_fits(
    callbacks: &Callbacks,
    text: &str,
    mac: &str,
    id: ExecutionId,
    expires: i64,
) -> bool {
    callbacks.check(&ticket_purpose(text), id, expires, mac)
}

/// Neither a carrier's name nor [`PURPOSE`] looks like this.
fn ticket_purpose(text: &str) -> String {
    format!("ticket {text}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_opens_one_recording_for_a_while() {
        let of = |key: &str| Callbacks::new("https://bolo.example".into(), key.to_owned().into());
        let callbacks = of("key");
        let (mine, other) = (ExecutionId::new(), ExecutionId::new());
        let query = query(&callbacks, mine, 1000);
        let signature = query.strip_prefix("expires=1000&sig=").unwrap();
        assert!(opens(&callbacks, mine, "1000", signature, 1000));
        assert!(!opens(&callbacks, mine, "1000", signature, 1001), "stale");
        assert!(
            !opens(&callbacks, mine, "2000", signature, 1000),
            "prolonged by hand"
        );
        assert!(
            !opens(&callbacks, other, "1000", signature, 1000),
            "of another call"
        );
        assert!(!opens(&callbacks, mine, "1000", "", 1000));
        assert!(!opens(&of("other"), mine, "1000", signature, 1000));
        assert!(
            !callbacks.check("twilio", mine, 1000, signature),
            "opens no callback"
        );
    }
}
