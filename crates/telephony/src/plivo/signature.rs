//! `X-Plivo-Signature-V3` and `X-Vobiz-Signature-V3`. Sources: wire-telephony.md §2.8, §3.1; the vectors of
//! the tests come from there.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use url::form_urlencoded;

use super::dialect::Dialect;
use crate::RequestParts;

/// Counts in which spelling of its address an upgrade was signed; only `http` was seen on live calls.
const UPGRADE_FORM: &str = "bolo_plivo_upgrade_signature_total";

/// Whether the request carries the signature of someone who knows `token`: of the account that owns the
/// number, or of its main account. Each header may hold several while a token is being changed.
pub(super) fn verify(dialect: Dialect, token: &SecretString, request: RequestParts<'_>) -> bool {
    let [names @ .., nonce] = match dialect {
        Dialect::Plivo => [
            "x-plivo-signature-v3",
            "x-plivo-signature-ma-v3",
            "x-plivo-signature-v3-nonce",
        ],
        Dialect::Vobiz => [
            "x-vobiz-signature-v3",
            "x-vobiz-signature-ma-v3",
            "x-vobiz-signature-v3-nonce",
        ],
    };
    let url = request.url.split('#').next().unwrap_or_default();
    let Some(nonce) = request.header(nonce) else {
        // Vobiz does not say whether it signs a socket's upgrade; then our own mac in its path is the gate.
        return dialect == Dialect::Vobiz && url.starts_with("ws");
    };
    let given: Vec<&str> = names
        .iter()
        .filter_map(|name| request.header(name))
        .flat_map(|signatures| signatures.split(',').map(str::trim))
        .collect();
    let matches = |base: &str| {
        let expected = sign(token, base, nonce);
        let mut found = Choice::from(0);
        for signature in &given {
            found |= expected.as_bytes().ct_eq(signature.as_bytes());
        }
        bool::from(found)
    };
    match url.split_once("://") {
        _ if dialect == Dialect::Vobiz => vobiz_forms(url).any(|url| matches(&url)),
        Some(("ws" | "wss", rest)) => upgrade_forms(rest).into_iter().any(|(form, url)| {
            let matched = matches(&signed_get(&url));
            if matched {
                metrics::counter!(UPGRADE_FORM, "form" => form).increment(1);
            }
            matched
        }),
        _ if request.is_form() => matches(&signed_post(url, request.body)),
        _ => matches(&signed_get(url)),
    }
}

/// How Plivo may have written the address of a socket.
fn upgrade_forms(rest: &str) -> [(&'static str, String); 4] {
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    [
        ("http", format!("http://{rest}")),
        ("http/websocket", format!("http://{path}/websocket{query}")),
        ("https", format!("https://{rest}")),
        ("wss", format!("wss://{rest}")),
    ]
}

/// Vobiz signs the address alone; of a socket's, in one of several spellings.
fn vobiz_forms(url: &str) -> impl Iterator<Item = String> {
    let address = url.split('?').next().unwrap_or_default();
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let schemes: &[&str] = match scheme {
        "ws" | "wss" => &["wss", "ws", "https", "http"],
        _ => &[""],
    };
    schemes.iter().map(move |other| match *other {
        "" => address.to_owned(),
        other => format!("{other}://{rest}"),
    })
}

/// Address and decoded query, sorted.
fn signed_get(url: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let query = sorted_query(query);
    if query.is_empty() {
        address.to_owned()
    } else {
        format!("{address}?{query}")
    }
}

/// The same, then the form's names and values, sorted, nothing between them. The `?` stands there without
/// a query, too.
fn signed_post(url: &str, body: &[u8]) -> String {
    let mut fields: Vec<_> = form_urlencoded::parse(body).collect();
    if fields.is_empty() {
        return signed_get(url);
    }
    fields.sort_unstable();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let query = sorted_query(query);
    let mut base = format!("{address}?{query}");
    if !query.is_empty() {
        base.push('.');
    }
    for (name, value) in &fields {
        base.push_str(name);
        base.push_str(value);
    }
    base
}

fn sorted_query(query: &str) -> String {
    let mut pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    pairs.sort_unstable();
    let mut text = String::new();
    for (name, value) in &pairs {
        if !text.is_empty() {
            text.push('&');
        }
        // Writing to a String can't fail.
        let _ = write!(text, "{name}={value}");
    }
    text
}

fn sign(token: &SecretString, base: &str, nonce: &str) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(token.expose_secret().as_bytes())
    else {
        return String::new();
    };
    mac.update(format!("{base}.{nonce}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
