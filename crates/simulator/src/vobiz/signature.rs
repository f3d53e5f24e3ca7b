//! `X-Vobiz-Signature-V2` and `-V3`, as Vobiz computes them (wire-telephony.md §3.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Both signatures of a request to this address.
pub fn sign(auth_token: &str, url: &str, nonce: &str) -> (String, String) {
    let address = url.split(['?', '#']).next().unwrap_or_default();
    let sign = |base: String| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(auth_token.as_bytes()) else {
            return String::new(); // HMAC takes keys of any length
        };
        mac.update(base.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    };
    (
        sign(format!("{address}{nonce}")),
        sign(format!("{address}.{nonce}")),
    )
}
