//! `X-Twilio-Signature`. Source: wire-telephony.md §1.10; the vectors of the tests come from there.
//!
//! What Twilio signs is the address it believes it asked. It is not consistent about ports, and proxies
//! change schemes, so several spellings are tried; all are hashed and compared, in constant time.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use url::form_urlencoded;

use super::FETCH_RULES;
use crate::RequestParts;

/// Whether the request carries the signature of someone who knows `token`.
pub(super) fn verify(token: &SecretString, request: RequestParts<'_>) -> bool {
    let Some(signature) = request.header("x-twilio-signature") else {
        return false;
    };
    let Some(sign) = algorithm(request) else {
        return false;
    };
    let form = request.is_form();
    let signed_fields = if form {
        sorted_fields(request.body)
    } else {
        String::new()
    };
    let mut body_ok = Choice::from(1);
    if !form && let Some(sum) = body_sum(request.query()) {
        let found = hex(&Sha256::digest(request.body));
        body_ok = found.as_bytes().ct_eq(sum.to_ascii_lowercase().as_bytes());
    }
    let mut found = Choice::from(0);
    for url in spellings(request.url) {
        let expected = STANDARD.encode(sign(token, &[url.as_bytes(), signed_fields.as_bytes()]));
        found |= expected.as_bytes().ct_eq(signature.as_bytes());
    }
    (found & body_ok).into()
}

type Sign = fn(&SecretString, &[&[u8]]) -> Vec<u8>;

/// SHA-1 unless the settings header says otherwise; `None` for what we don't know.
fn algorithm(request: RequestParts<'_>) -> Option<Sign> {
    let Some(settings) = request.header("x-twilio-webhooks-signature-settings") else {
        return Some(hmac_sha1);
    };
    let named = settings
        .split([',', ';'])
        .filter_map(|setting| setting.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("algorithm"));
    match named
        .map(|(_, value)| value.trim().to_ascii_uppercase())
        .as_deref()
    {
        None | Some("HMAC_SHA1") => Some(hmac_sha1),
        Some("HMAC_SHA256") => Some(hmac_sha256),
        Some(_) => None,
    }
}

fn hmac_sha1(token: &SecretString, parts: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha1>>(token, parts)
}

fn hmac_sha256(token: &SecretString, parts: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha256>>(token, parts)
}

fn mac<M: Mac + KeyInit>(token: &SecretString, parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(token.expose_secret().as_bytes()) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Names and values of a form, sorted, each pair once, nothing between them.
fn sorted_fields(body: &[u8]) -> String {
    let mut fields: Vec<_> = form_urlencoded::parse(body).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
        .iter()
        .flat_map(|(name, value)| [name.as_ref(), value.as_ref()])
        .collect()
}

/// `bodySHA256` of an address: the sum of a body that is not a form.
fn body_sum(query: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "bodySHA256")
        .map(|(_, value)| value.into_owned())
}

/// How Twilio may have written an address: with and without port, as a page's or a socket's, with a slash
/// at the path's end or without, with our fetch rules or without.
fn spellings(url: &str) -> Vec<String> {
    let url = url.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    let (host, port) = split_port(authority);

    // An upgrade is signed as `wss`, or as `https`; who asks may know the address by either name.
    let (schemes, default_ports): (&[&str], &[&str]) = match scheme {
        "https" | "wss" => (&["https", "wss"], &["443", "80"]),
        _ => (&["http", "ws"], &["80"]),
    };
    let mut authorities = vec![host.to_owned()];
    authorities.extend(match port {
        Some(_) => vec![authority.to_owned()],
        None => default_ports
            .iter()
            .map(|port| format!("{host}:{port}"))
            .collect(),
    });
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let other_path = match path.strip_suffix('/') {
        Some(bare) => bare.to_owned(),
        None => format!("{path}/"),
    };

    let mut all = Vec::new();
    for fragment in ["", FETCH_RULES] {
        for path in [path, &other_path] {
            for authority in &authorities {
                for scheme in schemes {
                    all.push(format!("{scheme}://{authority}{path}{query}{fragment}"));
                }
            }
        }
    }
    all
}

/// Host and port; the colons of an IPv6 address are not the port's.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
