//! Vectors P1 to P6 of wire-telephony.md §2.8, computed there with Plivo's SDK, and what must fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const TOKEN: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk";
const NONCE: &str = "05429567804466091622";
const V3: &str = "x-plivo-signature-v3";
const MAIN: &str = "x-plivo-signature-ma-v3";
const P1: &str = "gTXd/kNtnNwX3yBilrjw/xL8Cs1+3lthZtpfxY+yP1o=";
const P1_URL: &str = "https://bolo.example.com/telephony/plivo/answer";
const P1_BODY: &str = "CallUUID=8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d&From=14155550100&To=14155550199\
    &CallStatus=in-progress&Direction=outbound&Event=StartApp";

fn signed(method: &str, url: &str, body: &str, headers: &[(&'static str, &str)]) -> bool {
    let mut all = HeaderMap::new();
    all.insert(
        "x-plivo-signature-v3-nonce",
        HeaderValue::from_static(NONCE),
    );
    if method == "POST" {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        all.insert("content-type", form);
    }
    for (name, value) in headers {
        all.insert(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    verify(
        Dialect::Plivo,
        &SecretString::from(TOKEN),
        RequestParts {
            method,
            url,
            headers: &all,
            body: body.as_bytes(),
        },
    )
}

#[test]
fn p1_and_p2_forms_with_and_without_a_query() {
    assert!(signed("POST", P1_URL, P1_BODY, &[(V3, P1)]));
    let url = "https://bolo.example.com/telephony/plivo/hangup?eid=7f1c2b3a&z=a%20b";
    let signature = "l2MH4cKd+Bccsjm/NHQQjJatoTBo1AD25o6my9TfKsY=";
    assert!(signed("POST", url, P1_BODY, &[(V3, signature)]));
    // Our rules for Plivo's retries are not signed.
    let url = format!("{url}#rc=2&rp=ct");
    assert!(signed("POST", &url, P1_BODY, &[(V3, signature)]));
}

#[test]
fn p3_and_p4_addresses_alone() {
    let url = "https://bolo.example.com/telephony/plivo/answer?To=14155550199&From=14155550100&eid=7f1c2b3a&z=a%20b";
    let signature = "Bq3FVf2mVyVX741Ft/uhGdob+o0MqlEUilaOlJgbcrU=";
    assert!(signed("GET", url, "", &[(V3, signature)]));
    assert!(signed(
        "GET",
        &url.replace("%20", "+"),
        "",
        &[(V3, signature)]
    ));
    let url = "https://bolo.example.com/telephony/plivo/ring?b=2&a=1";
    let signature = "M5M9dYXB5s3vGnRHS9lgE8i6YQveEdrIQkvM83pJQck=";
    assert!(signed("POST", url, "", &[(V3, signature)]));
}

#[test]
fn p5_an_upgrade_is_signed_as_http() {
    let url = "wss://bolo.example.com/media/plivo/7f1c2b3a";
    let signature = "lmrFoQaf0B/XyV6yPPhQ33HU88pV91vfrmvg7N3QjjI=";
    assert!(signed("GET", url, "", &[(V3, signature)]));
    for form in [
        "http://bolo.example.com/media/plivo/7f1c2b3a/websocket",
        "https://bolo.example.com/media/plivo/7f1c2b3a",
        url,
    ] {
        let signature = sign(&SecretString::from(TOKEN), form, NONCE);
        assert!(signed("GET", url, "", &[(V3, &signature)]), "{form}");
    }
    let other = sign(
        &SecretString::from(TOKEN),
        "http://bolo.example.com/media/plivo/7f1c2b3b",
        NONCE,
    );
    assert!(!signed("GET", url, "", &[(V3, &other)]));
}

#[test]
fn p6_blank_and_repeated_values_count() {
    assert!(signed(
        "POST",
        "https://bolo.example.com:8443/x?k=&a=2&a=1",
        "L=b&L=a&E=",
        &[(V3, "x8RTlu0oSbRiS4AZvoSr3f5ftXbx+c4QRHbS9FMsKlE=")]
    ));
}

#[test]
fn any_of_several_signatures_counts_and_so_does_the_main_accounts() {
    let several = format!("AAAA, {P1}");
    assert!(signed("POST", P1_URL, P1_BODY, &[(V3, &several)]));
    assert!(signed("POST", P1_URL, P1_BODY, &[(MAIN, P1)]));
    assert!(signed("POST", P1_URL, P1_BODY, &[(V3, "AAAA"), (MAIN, P1)]));
}

#[test]
fn forgeries_are_refused() {
    let changed = P1_BODY.replace("in-progress", "completed");
    assert!(!signed("POST", P1_URL, &changed, &[(V3, P1)]));
    assert!(!signed("GET", P1_URL, "", &[(V3, P1)]));
    assert!(!signed("POST", P1_URL, P1_BODY, &[]));
    for signature in ["", ",", "not base64", &P1[..P1.len() - 1]] {
        assert!(
            !signed("POST", P1_URL, P1_BODY, &[(V3, signature)]),
            "{signature:?}"
        );
    }
    let other_nonce = [(V3, P1), ("x-plivo-signature-v3-nonce", "1")];
    assert!(!signed("POST", P1_URL, P1_BODY, &other_nonce));
}

fn vobiz(url: &str, headers: &[(&'static str, &'static str)]) -> bool {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(*name, HeaderValue::from_static(value));
    }
    let request = RequestParts {
        method: "POST",
        url,
        headers: &all,
        body: b"CallUUID=1",
    };
    verify(Dialect::Vobiz, &SecretString::from(TOKEN), request)
}

#[test]
fn vobiz_signs_the_address_alone() {
    const URL: &str = "https://bolo.example.com/telephony/vobiz/answer";
    const SIGNED: &str = "bK5cTfrnQQxSqMldQ6PSiZlQyrLEzXWRVnh3AMcRMC8=";
    let nonce = ("x-vobiz-signature-v3-nonce", NONCE);
    for header in ["x-vobiz-signature-v3", "x-vobiz-signature-ma-v3"] {
        let headers = [(header, SIGNED), nonce];
        assert!(vobiz(URL, &headers));
        assert!(vobiz(&format!("{URL}?a=b"), &headers));
        assert!(!vobiz(&format!("{URL}s"), &headers));
    }
    assert!(!vobiz(URL, &[("x-vobiz-signature-v3", "AAAA"), nonce]));
    assert!(!vobiz(URL, &[("x-plivo-signature-v3", SIGNED), nonce]));
    assert!(!vobiz(URL, &[]));
    // Whether upgrades are signed is not said; a signature that comes must fit.
    let socket = "wss://bolo.example.com/telephony/vobiz/answer";
    assert!(vobiz(socket, &[]));
    assert!(vobiz(socket, &[("x-vobiz-signature-v3", SIGNED), nonce]));
    assert!(!vobiz(socket, &[("x-vobiz-signature-v3", "AAAA"), nonce]));
}
