//! Vectors T1 to T5 of wire-telephony.md §1.10, computed there with Twilio's SDK, and what must fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const TOKEN: &str = "12345678901234567890123456789012";
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const T1_URL: &str = "https://bolo.example.com/telephony/twilio/answer?eid=7f1c2b3a";
const T1_BODY: &str = "CallSid=CA1234567890abcdef1234567890abcdef&AccountSid=AC1234567890abcdef1234567890abcdef\
    &From=%2B14155550100&To=%2B14155550199&CallStatus=in-progress&Direction=outbound-api&ApiVersion=2010-04-01";
const T1: &str = "38S5JnzaagNo1hOkZa9QdhSLffk=";
const T1_PORT: &str = "H6Xs+ZVKH9+13No6z6HFCGxs1Jw=";
const T1_SHA256: &str = "BZxPFNL10MqSLrI690AKVc99IoOZWeiB0DP1WNxEXUI=";
const T3_URL: &str = "https://bolo.example.com/telephony/twilio/json?bodySHA256=c3ffad39e1f08f03f8eb8727bb4098e136f88d7d4f9d4842e2daaf2edf8d62f1";
const T3: &str = "5QeL/XIMovyDRKmHriisKDeF5Og=";

struct Request {
    method: &'static str,
    url: String,
    headers: HeaderMap,
    body: String,
}

fn request(
    method: &'static str,
    url: &str,
    body: &str,
    headers: &[(&'static str, &str)],
) -> Request {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    Request {
        method,
        url: url.into(),
        headers,
        body: body.into(),
    }
}

fn t1(url: &str, signature: &str) -> Request {
    request(
        "POST",
        url,
        T1_BODY,
        &[("content-type", FORM), ("x-twilio-signature", signature)],
    )
}

fn good(request: &Request) -> bool {
    good_with(request, TOKEN)
}

fn good_with(request: &Request, token: &str) -> bool {
    verify(
        &SecretString::from(token),
        RequestParts {
            method: request.method,
            url: &request.url,
            headers: &request.headers,
            body: request.body.as_bytes(),
        },
    )
}

fn sign(url: &str) -> String {
    STANDARD.encode(hmac_sha1(&SecretString::from(TOKEN), &[url.as_bytes()]))
}

#[test]
fn t1_a_form_is_accepted_with_and_without_port() {
    for signature in [T1, T1_PORT] {
        assert!(good(&t1(T1_URL, signature)));
        assert!(good(&t1(
            "https://bolo.example.com:443/telephony/twilio/answer?eid=7f1c2b3a",
            signature
        )));
    }
}

#[test]
fn t1_sha256_counts_only_when_announced() {
    let mut request = t1(T1_URL, T1_SHA256);
    assert!(!good(&request));
    let settings = HeaderName::from_static("x-twilio-webhooks-signature-settings");
    request.headers.insert(
        settings.clone(),
        HeaderValue::from_static("key=default,algorithm=HMAC_SHA256"),
    );
    assert!(good(&request));
    request.headers.insert(
        settings.clone(),
        HeaderValue::from_static("key=default,algorithm=NONE"),
    );
    assert!(!good(&request));
    let mut weaker = t1(T1_URL, T1);
    weaker.headers.insert(
        settings,
        HeaderValue::from_static("key=default,algorithm=HMAC_SHA256"),
    );
    assert!(!good(&weaker));
}

#[test]
fn t2_a_get_signs_its_address() {
    let url = "https://bolo.example.com/telephony/twilio/status?eid=7f1c2b3a&CallSid=CA1234567890abcdef1234567890abcdef&CallStatus=completed&To=%2B14155550199";
    assert!(good(&request(
        "GET",
        url,
        "",
        &[("x-twilio-signature", "tnqvFdT/h/1zaiSFLam6FiVz/7Q=")]
    )));
    assert!(!good(&request(
        "GET",
        &url.replace("completed", "busy"),
        "",
        &[("x-twilio-signature", "tnqvFdT/h/1zaiSFLam6FiVz/7Q=")]
    )));
}

#[test]
fn t3_a_json_body_is_signed_by_its_sum() {
    let headers = [
        ("content-type", "application/json"),
        ("x-twilio-signature", T3),
    ];
    assert!(good(&request(
        "POST",
        T3_URL,
        r#"{"event":"completed","n":1}"#,
        &headers
    )));
    assert!(!good(&request(
        "POST",
        T3_URL,
        r#"{"event":"completed","n":2}"#,
        &headers
    )));
}

#[test]
fn t4_an_upgrade_signs_its_address() {
    let upgrade = |url: &str, signature: &str| {
        good(&request(
            "GET",
            url,
            "",
            &[("x-twilio-signature", signature)],
        ))
    };
    let url = "wss://bolo.example.com/media/twilio/7f1c2b3a";
    assert!(upgrade(url, "X2FlyhSHmdr3k5dVHAlNojfZ+SU="));
    let as_page = url.replace("wss://", "https://");
    assert!(upgrade(&as_page, "X2FlyhSHmdr3k5dVHAlNojfZ+SU="));
    for signed in [
        "https://bolo.example.com/media/twilio/7f1c2b3a",
        "wss://bolo.example.com:443/media/twilio/7f1c2b3a",
        "wss://bolo.example.com:80/media/twilio/7f1c2b3a",
        "wss://bolo.example.com/media/twilio/7f1c2b3a/",
    ] {
        assert!(upgrade(url, &sign(signed)), "{signed}");
    }
    for signed in [
        "wss://other.example.com/media/twilio/7f1c2b3a",
        "wss://bolo.example.com/media/twilio/7f1c2b3b",
    ] {
        assert!(!upgrade(url, &sign(signed)), "{signed}");
    }
}

#[test]
fn t5_a_doubled_field_counts_once_a_value() {
    let headers = [
        ("content-type", FORM),
        ("x-twilio-signature", "4aIav0YD7UQCgbDx5LVd4uhKoFs="),
    ];
    assert!(good(&request(
        "POST",
        "https://h.example/x",
        "b=2&b=1&b=1&a=x",
        &headers
    )));
}

#[test]
fn an_address_on_its_own_port_is_accepted_with_and_without_it() {
    let url = "https://bolo.example.com:8443/x?a=1";
    for signed in [url, "https://bolo.example.com/x?a=1"] {
        assert!(
            good(&request(
                "GET",
                url,
                "",
                &[("x-twilio-signature", &sign(signed))]
            )),
            "{signed}"
        );
    }
}

#[test]
fn our_fetch_rules_may_be_part_of_what_is_signed() {
    let signed = format!("https://bolo.example.com/x{FETCH_RULES}");
    assert!(good(&request(
        "GET",
        "https://bolo.example.com/x",
        "",
        &[("x-twilio-signature", &sign(&signed))]
    )));
}

#[test]
fn forgeries_are_refused() {
    assert!(!good_with(
        &t1(T1_URL, T1),
        "00000000000000000000000000000000"
    ));
    let mut changed = t1(T1_URL, T1);
    changed.body = changed.body.replace("in-progress", "completed");
    assert!(!good(&changed));
    let mut untyped = t1(T1_URL, T1);
    untyped.headers.remove("content-type");
    assert!(!good(&untyped));
    for signature in ["", "38S5JnzaagNo1hOkZa9QdhSLffk", "not base64"] {
        assert!(!good(&t1(T1_URL, signature)), "{signature:?}");
    }
    assert!(!good(&request(
        "POST",
        T1_URL,
        T1_BODY,
        &[("content-type", FORM)]
    )));
}
