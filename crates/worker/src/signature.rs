//! Signing webhooks as Standard Webhooks does: HMAC-SHA256 over `<id>.<timestamp>.<body>`, version `v1`.
//! Source: api.md §21.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `webhook-signature`: one signature for each of the comma-separated `secrets` (two while
/// one replaces the other). `None` when none is set. `timestamp` is epoch seconds.
pub(crate) fn signatures(secrets: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let signed = format!("{id}.{timestamp}.{body}");
    let secrets = secrets
        .split(',')
        .map(str::trim)
        .filter(|secret| !secret.is_empty());
    let signatures: Vec<String> = secrets
        .filter_map(|secret| sign(&key(secret), &signed))
        .collect();
    (!signatures.is_empty()).then(|| signatures.join(" "))
}

fn sign(key: &[u8], text: &str) -> Option<String> {
    // Fails for no length of key.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

/// `whsec_` and base64, as the standard has it; any other text is the key itself.
fn key(secret: &str) -> Vec<u8> {
    let decoded = secret
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD.decode(text).ok());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;

    /// The vector of the Standard Webhooks libraries.
    #[test]
    fn signs_as_the_standard_libraries_do() {
        let signature = signatures(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ID,
            1_614_265_330,
            BODY,
        );
        assert_eq!(
            signature.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn two_secrets_sign_both() {
        let both = signatures(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, plain text",
            ID,
            1_614_265_330,
            BODY,
        )
        .unwrap_or_default();
        let alone = signatures("plain text", ID, 1_614_265_330, BODY).unwrap_or_default();
        assert_eq!(
            both,
            format!("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= {alone}")
        );
    }

    #[test]
    fn no_secret_no_signature() {
        assert_eq!(signatures(" , ", ID, 1, BODY), None);
    }
}
