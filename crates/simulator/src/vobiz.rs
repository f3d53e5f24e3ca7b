//! Vobiz's wire, for a [`FakeCarrier`](crate::carrier::FakeCarrier): Plivo's with the differences of
//! wire-telephony.md §3.1.

mod rest;
pub mod signature;

pub(crate) use rest::routes;

use crate::{
    carrier::signing::Signer,
    plivo::{Plivo, signature::nonce, wire::Spelling},
};

/// Vobiz, where it spells as Plivo does.
pub(crate) const VOBIZ: Plivo = Plivo {
    account: "MA_1AB2C3D4",
    token: "dm9iaXotdm9iaXotdm9iaXotdm9iaXotdm9iaXot",
    name: "Vobiz",
    // Undocumented: an address is tried once, and again when no connection was to be had.
    fetch_rules: "ct=5000&rt=15000&tt=20000&rc=1&rp=ct",
    spelling: Spelling {
        first: 0,
        names_played: false,
    },
    sign: signed,
    sign_upgrade: |signer, url| signed(signer, &signer.socket(url), &[]),
};

/// Both versions; neither covers the query or the form.
fn signed(signer: &Signer<'_>, url: &str, _: &[(String, String)]) -> Vec<(&'static str, String)> {
    let nonce = nonce(signer.nonce);
    let sign = |token: &str| signature::sign(token, url, &nonce);
    let (v2, v3): (Vec<_>, Vec<_>) = signer.tokens().into_iter().map(sign).unzip();
    let (main_v2, main_v3) = sign(signer.main());
    vec![
        ("X-Vobiz-Signature-V2", v2.join(", ")),
        ("X-Vobiz-Signature-MA-V2", main_v2),
        ("X-Vobiz-Signature-V2-Nonce", nonce.clone()),
        ("X-Vobiz-Signature-V3", v3.join(", ")),
        ("X-Vobiz-Signature-MA-V3", main_v3),
        ("X-Vobiz-Signature-V3-Nonce", nonce),
    ]
}
