//! The REST surface by itself.

use serde_json::json;

use super::server::*;
use crate::carrier::Options;

#[tokio::test]
async fn credentials_and_unknown_things_are_refused() {
    let (twilio, _server) = pair(Options::default()).await;
    let account = twilio.account();
    let url = format!(
        "{}/2010-04-01/Accounts/{account}/Calls.json",
        twilio.base_url()
    );
    let client = crate::http::client().unwrap();
    let response = client
        .get(&url)
        .basic_auth(account, Some("wrong"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    assert!(
        response.headers()["Twilio-Request-Id"]
            .to_str()
            .unwrap()
            .starts_with("RQ")
    );
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(
        body,
        json!({"code": 20003, "message": "Authenticate", "more_info": "https://www.twilio.com/docs/errors/20003", "status": 401})
    );
    assert_eq!(twilio.ledger().refused_auth(), 1);
    let (status, body) = request(&twilio, "GET", "/Calls/CA0.json", &[]).await;
    assert_eq!((status, &body["code"]), (404, &20404.into()));
}

#[tokio::test]
async fn bad_dials_are_refused_with_twilios_codes() {
    let (twilio, server) = pair(Options::default()).await;
    for (extra, code) in [
        (("To", ""), 21201),
        (("From", ""), 21213),
        (("To", "12345"), 21211),
        (("From", "nobody"), 21212),
        (("From", "+14155550123"), 21210),
        (("Url", ""), 21205),
        (("Url", "ftp://x"), 21205),
    ] {
        let (status, body) = server.dial(&twilio, &[extra]).await;
        assert_eq!((status, &body["code"]), (400, &code.into()), "{extra:?}");
        assert_eq!(body["status"], 400);
    }
    assert_eq!(twilio.ledger().placed(), 0);
    assert_eq!(twilio.ledger().dials().len(), 7);
}

#[tokio::test]
async fn calls_are_listed_newest_first_with_filters_and_pages() {
    let (twilio, server) = pair(Options::default()).await;
    for to in [NUMBER, "+14155550177", NUMBER] {
        server.dial(&twilio, &[("To", to)]).await;
        twilio.dialled(to).await.unwrap();
    }
    let (_, body) = request(
        &twilio,
        "GET",
        "/Calls.json?To=%2B14155550199&PageSize=1",
        &[],
    )
    .await;
    assert_eq!(body["calls"].as_array().unwrap().len(), 1);
    assert_eq!(body["calls"][0]["to"], NUMBER);
    let next = body["next_page_uri"].as_str().unwrap();
    let path = next.split_once(twilio.account()).unwrap().1;
    let (_, second) = request(&twilio, "GET", path, &[]).await;
    assert_ne!(second["calls"][0]["sid"], body["calls"][0]["sid"]);
    assert!(second["next_page_uri"].is_null());
    let (_, none) = request(&twilio, "GET", "/Calls.json?StartTime%3E=2100-01-01", &[]).await;
    assert_eq!(none["calls"], json!([]));
}

#[tokio::test]
async fn numbers_are_listed_and_changed() {
    let (twilio, _server) = pair(Options::default()).await;
    let (_, body) = request(
        &twilio,
        "GET",
        "/IncomingPhoneNumbers.json?PhoneNumber=%2B14155550100",
        &[],
    )
    .await;
    let number = &body["incoming_phone_numbers"][0];
    assert_eq!(
        (&number["phone_number"], &number["status"]),
        (&OWN.into(), &"in-use".into())
    );
    let path = format!(
        "/IncomingPhoneNumbers/{}.json",
        number["sid"].as_str().unwrap()
    );
    let (status, changed) = request(
        &twilio,
        "POST",
        &path,
        &[("VoiceUrl", "https://h/inbound_call")],
    )
    .await;
    assert_eq!(
        (status, &changed["voice_url"]),
        (200, &"https://h/inbound_call".into())
    );
    let (_, fetched) = request(&twilio, "GET", &path, &[]).await;
    assert_eq!(fetched, changed);
    let (_, none) = request(
        &twilio,
        "GET",
        "/IncomingPhoneNumbers.json?PhoneNumber=%2B1",
        &[],
    )
    .await;
    assert_eq!(none["incoming_phone_numbers"], json!([]));
}
