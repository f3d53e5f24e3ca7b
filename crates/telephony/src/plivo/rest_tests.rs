//! The REST client against a small fake that speaks Plivo's wire, its refusals and its failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bolo_execution::Change;
use tokio::net::TcpListener;

use super::*;
use crate::testing::{Fake, client};

const ACCOUNT: &str = "MA123456789012345678";
const CALL: &str = "8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d";
/// 2026-01-02T03:04:05Z
const SINCE: i64 = 1_767_323_045_000;
const FIRED: &str = r#"{"message":"call fired","request_uuid":"8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d","api_id":"a"}"#;

fn rest(base: &str) -> Rest {
    let credentials = Credentials::new(ACCOUNT, SecretString::from("sesame"));
    Rest::new(Dialect::Plivo, credentials, Some(base), client()).unwrap()
}

fn dial() -> Dial {
    Dial {
        reference: "7f1c.1.ab".into(),
        to: "+14155550199".parse().unwrap(),
        from: "+14155550100".parse().unwrap(),
        answer_url: "https://h.example/a".into(),
        fallback_url: "https://b.example/a".into(),
        status_url: "https://h.example/s".into(),
        machine_url: None,
        ring: Duration::from_secs(45),
        limit: Duration::from_secs(90),
        trunk: None,
    }
}

fn refused(text: &str) -> String {
    json!({"api_id": "a", "error": text}).to_string()
}

fn live(id: &str, status: &str, started: &str) -> (u16, String) {
    let body = json!({
        "api_id": "a", "call_status": status, "call_uuid": id, "caller_name": "", "direction": "outbound",
        "from": "+14155550100", "to": "14155550199", "request_uuid": id, "session_start": started,
    });
    (200, body.to_string())
}

fn ids(ids: &[&str]) -> (u16, String) {
    (200, json!({"api_id": "a", "calls": ids}).to_string())
}

fn record(id: &str, initiated: &str, answered: bool, code: u16, source: &str) -> Value {
    json!({
        "call_uuid": id, "from_number": "14155550100", "to_number": "14155550199",
        "call_direction": "outbound", "initiation_time": initiated, "end_time": "2026-01-02 08:40:00+05:30",
        "answer_time": if answered { json!("2026-01-02 08:34:20+05:30") } else { Value::Null },
        "call_duration": 15, "bill_duration": 15, "hangup_cause_code": code,
        "hangup_cause_name": "x", "hangup_source": source, "total_amount": "0.00000",
    })
}

fn page(records: &[Value], next: Option<&str>) -> (u16, String) {
    let meta = json!({"limit": 20, "offset": 0, "next": next, "previous": null, "total_count": 2});
    (
        200,
        json!({"api_id": "a", "meta": meta, "objects": records}).to_string(),
    )
}

fn gone() -> (u16, String) {
    (404, refused("not found"))
}

async fn dialled(status: u16, body: &str) -> Dialled {
    let fake = Fake::start(&[(status, body.into())]).await;
    rest(&fake.base).dial(&dial()).await
}

#[tokio::test]
async fn a_dial_is_one_post_with_everything_in_it() {
    let fake = Fake::start(&[(201, FIRED.into())]).await;
    match rest(&format!("{}/v1/", fake.base)).dial(&dial()).await {
        Dialled::Accepted(id) => assert_eq!(id, CALL),
        other => panic!("{other:?}"),
    }
    let seen = fake.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, Method::POST);
    assert_eq!(seen[0].uri.path(), format!("/v1/Account/{ACCOUNT}/Call/"));
    assert_eq!(
        seen[0].authorization,
        "Basic TUExMjM0NTY3ODkwMTIzNDU2Nzg6c2VzYW1l"
    );
    let rules = "#rc=2&rp=ct,rt,5xx&ct=2000&rt=4000";
    assert_eq!(
        serde_json::from_str::<Value>(&seen[0].body).unwrap(),
        json!({
            "from": "14155550100", "to": "14155550199",
            "answer_url": format!("https://h.example/a{rules}"), "answer_method": "POST",
            "ring_url": format!("https://h.example/s{rules}"), "ring_method": "POST",
            "hangup_url": format!("https://h.example/s{rules}"), "hangup_method": "POST",
            "fallback_url": format!("https://b.example/a{rules}"), "fallback_method": "POST",
            "ring_timeout": 45, "time_limit": 90,
        })
    );
}

#[tokio::test]
async fn several_ids_are_one_for_one_destination() {
    let body = r#"{"message":"calls fired","request_uuid":["u1"],"api_id":"a"}"#;
    assert!(matches!(dialled(201, body).await, Dialled::Accepted(id) if id == "u1"));
}

#[tokio::test]
async fn too_many_requests_or_calls_may_be_tried_later() {
    match dialled(429, &refused("too many requests")).await {
        Dialled::Refused(NotPlaced::Later(wait)) => assert_eq!(wait, Duration::from_secs(7)),
        other => panic!("{other:?}"),
    }
    let breached = refused("Concurrency Limit Breached");
    assert!(matches!(
        dialled(403, &breached).await,
        Dialled::Refused(NotPlaced::Later(_))
    ));
}

#[tokio::test]
async fn bad_credentials_name_what_to_mend_and_no_secret() {
    for (status, body) in [
        (401, refused("authentication failed")),
        (401, String::new()),
        (403, refused("account suspended")),
    ] {
        match dialled(status, &body).await {
            Dialled::Refused(NotPlaced::Credentials(text)) => assert!(
                text.contains("PLIVO_AUTH_TOKEN") && !text.contains("sesame"),
                "{text}"
            ),
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_number_that_cannot_be_called_is_told_from_a_setting_that_is_wrong() {
    for text in [
        "to parameter is not valid",
        "invalid destination number",
        "'to' is invalid",
    ] {
        assert!(
            matches!(dialled(400, &refused(text)).await, Dialled::Refused(NotPlaced::Number(hangup)) if hangup.code == 2000),
            "{text}"
        );
    }
    for text in [
        "from parameter is not valid",
        "invalid value for from; to call from it, rent it",
        "cannot place calls as its compliance application is not in 'accepted' status",
    ] {
        assert!(
            matches!(dialled(400, &refused(text)).await, Dialled::Refused(NotPlaced::Account(said)) if said.contains(text)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_may_have_been_placed_is_unknown() {
    for (status, body) in [
        (500, refused("internal error")),
        (502, "<html>".into()),
        (503, "{}".into()),
        (408, refused("timeout")),
        (400, "<html>a proxy</html>".into()),
        (201, FIRED[..40].into()),
        (201, r#"{"request_uuid":""}"#.into()),
        (201, r#"{"request_uuid":[]}"#.into()),
        (201, r#"{"message":"call fired"}"#.into()),
    ] {
        let outcome = dialled(status, &body).await;
        assert!(
            matches!(outcome, Dialled::Unknown(_)),
            "{status} {body}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn no_connection_means_not_sent_and_no_address_is_a_setting_to_mend() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(
        rest(&base).dial(&dial()).await,
        Dialled::Refused(NotPlaced::Later(_))
    ));
    assert!(matches!(
        rest("nonsense").dial(&dial()).await,
        Dialled::Refused(NotPlaced::Account(_))
    ));
}

async fn find(fake: &Fake, bound: &[String]) -> Result<Option<CallState>, Error> {
    let dial = dial();
    let lost = LostDial {
        reference: &dial.reference,
        to: &dial.to,
        from: &dial.from,
        since: SINCE,
        bound,
    };
    rest(&fake.base).find_dial(&lost).await
}

const AFTER: &str = "2026-01-02 03:04:09.050872";
const BEFORE: &str = "2026-01-02 03:03:00.050872";

#[tokio::test]
async fn a_lost_dial_is_found_while_it_is_up() {
    let fake = Fake::start(&[
        ids(&[]),
        ids(&["bound", "old", "gone", "ours"]),
        live("old", "in-progress", BEFORE),
        gone(),
        live("ours", "ringing", AFTER),
    ])
    .await;
    let found = find(&fake, &["bound".to_owned()]).await.unwrap().unwrap();
    assert_eq!(
        (found.id.as_str(), found.change),
        ("ours", Some(Change::Ringing))
    );
    let seen = fake.seen();
    let pair = "from_number=14155550100&to_number=14155550199&call_direction=outbound";
    for (seen, status) in seen.iter().zip(["queued", "live"]) {
        assert_eq!(seen.uri.query(), Some(&*format!("{pair}&status={status}")));
    }
    assert_eq!(seen[2].uri.query(), Some("status=live"));
}

#[tokio::test]
async fn a_lost_dial_is_found_while_it_waits() {
    let waits = live("u", "queued", AFTER).1.replace(
        &format!(r#""session_start":"{AFTER}""#),
        r#""session_start":null"#,
    );
    let fake = Fake::start(&[ids(&["u"]), (200, waits)]).await;
    let found = find(&fake, &[]).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.change), ("u", None));
}

#[tokio::test]
async fn a_lost_dial_is_found_when_it_is_over() {
    let next = format!("http://elsewhere.example/v1/Account/{ACCOUNT}/Call/?cursor=x");
    let fake = Fake::start(&[
        ids(&[]),
        ids(&[]),
        page(
            &[record(
                "old",
                "2026-01-02 08:33:00+05:30",
                true,
                4000,
                "Callee",
            )],
            Some(&next),
        ),
        page(
            &[record(
                "ours",
                "2026-01-02 08:34:04+05:30",
                false,
                3010,
                "Carrier",
            )],
            None,
        ),
    ])
    .await;
    let found = find(&fake, &[]).await.unwrap().unwrap();
    assert_eq!(
        (found.id.as_str(), found.change),
        ("ours", Some(Change::Busy))
    );
    let seen = fake.seen();
    assert_eq!(
        seen[2].uri.query(),
        Some(
            "from_number=14155550100&to_number=14155550199&call_direction=outbound\
             &end_time__gte=2026-01-02+03%3A04%3A03&limit=20"
        )
    );
    assert_eq!(seen[3].uri.query(), Some("cursor=x"));
    assert!(seen[3].authorization.starts_with("Basic "));
}

#[tokio::test]
async fn calls_of_others_are_not_taken_for_ours() {
    let inbound = live("a", "ringing", AFTER).1.replace("outbound", "inbound");
    let other = live("b", "ringing", AFTER)
        .1
        .replace("14155550199", "14155550198");
    let fake = Fake::start(&[
        ids(&[]),
        ids(&["a", "b"]),
        (200, inbound),
        (200, other),
        page(&[record("c", "no date", true, 4000, "Callee")], None),
    ])
    .await;
    assert!(find(&fake, &[]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_look_up_that_fails_is_not_a_call_that_is_missing() {
    for (status, body) in [(500, String::new()), (200, "{".into()), (429, refused("x"))] {
        let fake = Fake::start(&[(status, body)]).await;
        assert!(
            matches!(find(&fake, &[]).await, Err(Error::Unavailable(_))),
            "{status}"
        );
    }
    let fake = Fake::start(&[(401, refused("no"))]).await;
    assert!(matches!(find(&fake, &[]).await, Err(Error::Account(_))));
    let mut answers = vec![ids(&[]), ids(&[])];
    answers.extend(vec![page(&[], Some("/v1/next")); MOST_PAGES]);
    let fake = Fake::start(&answers).await;
    assert!(matches!(find(&fake, &[]).await, Err(Error::Unavailable(_))));
    assert!(fake.is_exhausted());
}

#[tokio::test]
async fn a_call_is_ended_wherever_it_stands() {
    for answers in [
        vec![(204, String::new())],
        vec![gone(), (204, String::new())],
        vec![gone(), gone()],
    ] {
        let fake = Fake::start(&answers).await;
        rest(&fake.base).hang_up(CALL).await.unwrap();
        let paths: Vec<String> = fake
            .seen()
            .iter()
            .map(|seen| {
                assert_eq!(seen.method, Method::DELETE);
                seen.uri.path().to_owned()
            })
            .collect();
        let all = ["Call", "Request"].map(|kind| format!("/v1/Account/{ACCOUNT}/{kind}/{CALL}/"));
        assert_eq!(paths, all[..answers.len()]);
    }
    let fake = Fake::start(&[(503, String::new())]).await;
    assert!(matches!(
        rest(&fake.base).hang_up(CALL).await,
        Err(Error::Unavailable(_))
    ));
}

#[tokio::test]
async fn a_call_is_fetched_live_waiting_or_over() {
    let over = record(CALL, "2026-01-02 08:34:04+05:30", true, 4000, "Callee").to_string();
    for (answers, change) in [
        (vec![live(CALL, "queued", AFTER)], None),
        (
            vec![gone(), live(CALL, "in-progress", AFTER)],
            Some(Change::Answered),
        ),
        (vec![gone(), gone(), (200, over)], Some(Change::MediaEnded)),
    ] {
        let fake = Fake::start(&answers).await;
        let state = rest(&fake.base).fetch(CALL).await.unwrap();
        assert_eq!((state.id.as_str(), state.change), (CALL, change));
        assert_eq!(
            state.duration_s,
            (change == Some(Change::MediaEnded)).then_some(15)
        );
    }
    let fake = Fake::start(&[gone(), gone(), gone()]).await;
    assert!(matches!(
        rest(&fake.base).fetch(CALL).await,
        Err(Error::NotFound)
    ));
}

#[tokio::test]
async fn an_id_that_is_none_is_never_asked_for() {
    let fake = Fake::start(&[]).await;
    for id in ["", "u/../..", "u?x", "u 1"] {
        assert!(
            matches!(rest(&fake.base).fetch(id).await, Err(Error::NotFound)),
            "{id}"
        );
    }
    assert!(fake.seen().is_empty());
}
