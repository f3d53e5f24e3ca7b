//! What the REST client looks for, and what it is opened with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use secrecy::SecretString;

use super::*;
use crate::testing::{Fake, client};

/// 2026-01-02 03:04:05 UTC, 08:34:05 in India.
const SINCE: i64 = 1_767_323_045_000;

fn credentials() -> Credentials {
    Credentials {
        user: Some("key".into()),
        route: Some("29281".into()),
        ..Credentials::new("bolo1", SecretString::from("sesame"))
    }
}

fn call(sid: &str, from: &str, created: &str, custom: &str) -> String {
    format!(
        r#"{{"Sid":"{sid}","From":"{from}","To":"08047491899","PhoneNumberSid":"08047491899","Status":"in-progress","Direction":"outbound-api","DateCreated":"{created}","CustomField":{custom}}}"#
    )
}

async fn found(calls: &[String]) -> Option<String> {
    let body = format!(
        r#"{{"Metadata":{{"NextPageUri":null}},"Calls":[{}]}}"#,
        calls.join(",")
    );
    let fake = Fake::start(&[(200, body)]).await;
    let rest = Rest::new(credentials(), Some(&fake.base), client()).unwrap();
    let lost = LostDial {
        reference: "7f1c.1.ab",
        to: &"+919876543210".parse().unwrap(),
        from: &"+918047491899".parse().unwrap(),
        since: SINCE,
        bound: &["bound".to_owned()],
    };
    let state = rest.find_dial(&lost).await.unwrap();
    let query = fake.seen()[0].uri.query().unwrap().to_owned();
    assert!(
        query.contains("DateCreated=gte%3A2026-01-02+08%3A34%3A03"),
        "{query}"
    );
    state.map(|state| state.id)
}

#[tokio::test]
async fn a_lost_dial_is_known_by_its_field_else_by_numbers_and_time() {
    let (ours, theirs) = ("09876543210", "09876543211");
    let (before, after) = ("2026-01-02 08:33:00", "2026-01-02 08:34:06");
    for (candidate, fits) in [
        (call("a", ours, after, "null"), true),
        (call("a", ours, after, r#""7f1c.1.ab""#), true),
        (call("a", ours, after, r#""another.1.ab""#), false),
        (call("a", theirs, after, "null"), false),
        (call("a", ours, before, "null"), false),
        (call("bound", ours, after, "null"), false),
    ] {
        let id = found(std::slice::from_ref(&candidate)).await;
        assert_eq!(id.is_some(), fits, "{candidate}");
    }
    assert_eq!(found(&[]).await, None);
}

#[test]
fn what_the_credentials_lack_is_named() {
    let lacks = |change: fn(&mut Credentials)| {
        let mut credentials = credentials();
        change(&mut credentials);
        let rest = Rest::new(credentials, None, client());
        rest.err().unwrap().to_string()
    };
    assert!(lacks(|keys| keys.user = None).contains("EXOTEL_API_KEY"));
    assert!(lacks(|keys| keys.route = None).contains("EXOTEL_OUTBOUND_APP_ID"));
    assert!(lacks(|keys| keys.account = "a/b".into()).contains("EXOTEL_ACCOUNT_SID"));
    for host in [
        "evil.example",
        "exotel.com.evil.example",
        "x@evil.exotel.com/",
    ] {
        assert!(own_host(host).is_err(), "{host}");
    }
    for host in [
        "api.in.exotel.com",
        "@api.exotel.com",
        "https://api.exotel.com/",
    ] {
        assert!(own_host(host).is_ok(), "{host}");
    }
}
