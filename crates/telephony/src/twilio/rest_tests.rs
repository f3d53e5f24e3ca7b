//! The REST client against a small fake that speaks Twilio's wire, its refusals and its failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bolo_execution::{Change, HangupBy};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::testing::Fake;

const ACCOUNT: &str = "AC1234567890abcdef1234567890abcdef";
const CALL: &str = "CA1234567890abcdef1234567890abcdef";
/// 2026-01-02T03:04:05Z
const SINCE: i64 = 1_767_323_045_000;

fn rest(base: &str) -> Rest {
    let credentials = Credentials::new(ACCOUNT, SecretString::from("sesame"));
    Rest::new(credentials, Some(base), crate::testing::client()).unwrap()
}

/// Takes one request, reads it whole, then does what `act` says with the connection.
async fn one_connection<F>(
    act: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (String, AbortOnDropHandle<()>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(12).any(|window| window == b"TimeLimit=90") {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the client left");
            request.extend_from_slice(&buffer[..count]);
        }
        act(socket).await;
        // A repeated dial would be a second phone call: nobody may knock again.
        let _ = listener.accept().await;
        panic!("the dial was repeated");
    });
    (base, AbortOnDropHandle::new(server))
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

fn refusal(code: u32) -> String {
    format!(
        r#"{{"code":{code},"message":"no","more_info":"https://www.twilio.com/docs/errors/{code}","status":400}}"#
    )
}

fn call(sid: &str, status: &str, created: &str) -> String {
    format!(
        r#"{{"sid":"{sid}","account_sid":"{ACCOUNT}","to":"+14155550199","from":"+14155550100","status":"{status}","direction":"outbound-api","date_created":{created},"duration":null,"price":null,"start_time":null,"subresource_uris":{{}}}}"#
    )
}

fn page(calls: &[String], next: &str) -> (u16, String) {
    (
        200,
        format!(
            r#"{{"calls":[{}],"page":0,"next_page_uri":{next}}}"#,
            calls.join(",")
        ),
    )
}

async fn dialled(status: u16, body: &str) -> Dialled {
    let fake = Fake::start(&[(status, body.into())]).await;
    rest(&fake.base).dial(&dial()).await
}

#[tokio::test]
async fn a_dial_is_one_post_with_everything_in_it() {
    let fake = Fake::start(&[(201, call(CALL, "queued", "null"))]).await;
    match rest(&fake.base).dial(&dial()).await {
        Dialled::Accepted(sid) => assert_eq!(sid, CALL),
        other => panic!("{other:?}"),
    }
    let seen = fake.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, Method::POST);
    assert_eq!(
        seen[0].uri.path(),
        format!("/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
    );
    assert_eq!(
        seen[0].authorization,
        "Basic QUMxMjM0NTY3ODkwYWJjZGVmMTIzNDU2Nzg5MGFiY2RlZjpzZXNhbWU="
    );
    let rules = "%23rc%3D2%26rp%3Dct%2Crt%2C5xx%26ct%3D2000%26rt%3D4000";
    assert_eq!(
        seen[0].body,
        format!(
            "To=%2B14155550199&From=%2B14155550100&Url=https%3A%2F%2Fh.example%2Fa{rules}&Method=POST\
             &StatusCallback=https%3A%2F%2Fh.example%2Fs{rules}&StatusCallbackMethod=POST\
             &StatusCallbackEvent=initiated&StatusCallbackEvent=ringing&StatusCallbackEvent=answered\
             &StatusCallbackEvent=completed&Timeout=45&TimeLimit=90\
             &FallbackUrl=https%3A%2F%2Fb.example%2Fa{rules}&FallbackMethod=POST"
        )
    );
}

#[tokio::test]
async fn a_base_with_version_is_the_same_base() {
    let fake = Fake::start(&[(200, call(CALL, "ringing", "null"))]).await;
    let state = rest(&format!("{}/2010-04-01/", fake.base))
        .fetch(CALL)
        .await
        .unwrap();
    assert_eq!(
        (state.id.as_str(), state.change),
        (CALL, Some(Change::Ringing))
    );
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json");
    assert_eq!(fake.seen()[0].uri.path(), path);
}

#[tokio::test]
async fn too_many_requests_may_be_tried_later() {
    match dialled(429, &refusal(20429)).await {
        Dialled::Refused(NotPlaced::Later(wait)) => assert_eq!(wait, Duration::from_secs(7)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bad_credentials_name_what_to_mend_and_no_secret() {
    for (status, code) in [(401, 20003), (403, 20005)] {
        match dialled(status, &refusal(code)).await {
            Dialled::Refused(NotPlaced::Credentials(text)) => {
                assert!(
                    text.contains("TWILIO_AUTH_TOKEN") && !text.contains("sesame"),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_number_that_cannot_be_called_is_told_from_a_setting_that_is_wrong() {
    for (code, expected) in [
        (21211, 2000),
        (21217, 2000),
        (13224, 2000),
        (21215, 3040),
        (21219, 3040),
        (13227, 3040),
    ] {
        match dialled(400, &refusal(code)).await {
            Dialled::Refused(NotPlaced::Number(hangup)) => {
                assert_eq!(hangup.code, expected, "{code}")
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    for code in [21212, 21210, 21205, 20404] {
        match dialled(400, &refusal(code)).await {
            Dialled::Refused(NotPlaced::Account(text)) => {
                assert!(text.contains(&code.to_string()), "{text}")
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_may_have_been_placed_is_unknown() {
    let whole = call(CALL, "queued", "null");
    for (status, body) in [
        (500, "oops"),
        (502, "<html>"),
        (503, "{}"),
        (408, ""),
        (400, "<html>a proxy</html>"),
        (400, &refusal(21204)),
        (301, ""),
        (201, &whole[..40]),
        (201, r#"{"sid":""}"#),
        (201, ""),
    ] {
        assert!(
            matches!(dialled(status, body).await, Dialled::Unknown(_)),
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn no_connection_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let outcome = rest(&base).dial(&dial()).await;
    assert!(
        matches!(outcome, Dialled::Refused(NotPlaced::Later(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_base_that_is_no_address_is_a_setting_to_mend() {
    let outcome = rest("nonsense").dial(&dial()).await;
    assert!(
        matches!(outcome, Dialled::Refused(NotPlaced::Account(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_reset_after_the_request_is_unknown_and_not_repeated() {
    let (base, server) = one_connection(|socket| async move {
        #[allow(deprecated)] // closing with RST is the point
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(socket);
    })
    .await;
    assert!(matches!(
        rest(&base).dial(&dial()).await,
        Dialled::Unknown(_)
    ));
    assert!(!server.is_finished());
}

#[tokio::test]
async fn a_reply_cut_off_is_unknown() {
    let (base, server) = one_connection(|mut socket| async move {
        let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"sid\":\"CA12";
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
    })
    .await;
    assert!(matches!(
        rest(&base).dial(&dial()).await,
        Dialled::Unknown(_)
    ));
    assert!(!server.is_finished());
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

const JUST_BEFORE: &str = r#""Fri, 02 Jan 2026 03:04:04 +0000""#;
const LONG_BEFORE: &str = r#""Fri, 02 Jan 2026 03:03:00 +0000""#;
const AFTER: &str = r#""Fri, 02 Jan 2026 03:04:09 +0000""#;

#[tokio::test]
async fn a_lost_dial_is_found_on_a_later_page() {
    let next = format!(
        r#""http://elsewhere.example/2010-04-01/Accounts/{ACCOUNT}/Calls.json?Page=1&PageToken=x""#
    );
    let fake = Fake::start(&[
        page(
            &[
                call("CA1", "completed", LONG_BEFORE),
                call("CA2", "ringing", AFTER),
            ],
            &next,
        ),
        page(
            &[
                call("CA3", "in-progress", AFTER),
                call("CA4", "queued", JUST_BEFORE),
            ],
            "null",
        ),
    ])
    .await;
    let found = find(&fake, &["CA2".to_owned()]).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.change), ("CA4", None));
    let seen = fake.seen();
    assert_eq!(
        seen[0].uri.query(),
        Some("To=%2B14155550199&From=%2B14155550100&StartTime%3E=2026-01-02&PageSize=100")
    );
    assert_eq!(seen[1].uri.query(), Some("Page=1&PageToken=x"));
    assert!(seen[1].authorization.starts_with("Basic "));
}

#[tokio::test]
async fn queued_calls_are_looked_through_too() {
    let fake = Fake::start(&[
        page(&[], "null"),
        page(&[call("CA9", "queued", "null")], "null"),
    ])
    .await;
    assert_eq!(find(&fake, &[]).await.unwrap().unwrap().id, "CA9");
    assert_eq!(
        fake.seen()[1].uri.query(),
        Some("To=%2B14155550199&From=%2B14155550100&Status=queued&PageSize=100")
    );
}

#[tokio::test]
async fn calls_of_others_are_not_taken_for_ours() {
    let other_number = call("CA1", "ringing", AFTER).replace("+14155550199", "+14155550198");
    let inbound = call("CA2", "ringing", AFTER).replace("outbound-api", "inbound");
    let undated = call("CA3", "ringing", "null");
    let fake = Fake::start(&[
        page(&[other_number, inbound, undated], "null"),
        page(&[], "null"),
    ])
    .await;
    assert!(find(&fake, &[]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_look_up_that_fails_is_not_a_call_that_is_missing() {
    let cut = page(&[call("CA1", "ringing", AFTER)], "null").1[..60].to_owned();
    for (status, body) in [(500, String::new()), (200, cut), (429, refusal(20429))] {
        let fake = Fake::start(&[(status, body)]).await;
        assert!(
            matches!(find(&fake, &[]).await, Err(Error::Unavailable(_))),
            "{status}"
        );
    }
    let fake = Fake::start(&[(401, refusal(20003))]).await;
    assert!(matches!(find(&fake, &[]).await, Err(Error::Account(_))));
    let endless = page(&[], r#""/2010-04-01/next""#);
    let fake = Fake::start(&vec![endless; MOST_PAGES]).await;
    assert!(matches!(find(&fake, &[]).await, Err(Error::Unavailable(_))));
    assert!(fake.is_exhausted());
}

#[tokio::test]
async fn hanging_up_a_call_that_is_over_is_a_success() {
    for (status, body) in [
        (200, call(CALL, "completed", AFTER)),
        (400, refusal(21220)),
        (404, refusal(20404)),
    ] {
        let fake = Fake::start(&[(status, body)]).await;
        rest(&fake.base).hang_up(CALL).await.unwrap();
        assert_eq!(fake.seen()[0].body, "Status=completed");
    }
    let fake = Fake::start(&[(503, String::new())]).await;
    assert!(matches!(
        rest(&fake.base).hang_up(CALL).await,
        Err(Error::Unavailable(_))
    ));
    let fake = Fake::start(&[(401, refusal(20003))]).await;
    assert!(matches!(
        rest(&fake.base).hang_up(CALL).await,
        Err(Error::Account(_))
    ));
}

#[tokio::test]
async fn a_call_is_fetched_with_its_end() {
    let body = call(CALL, "completed", AFTER).replace(r#""duration":null"#, r#""duration":"15""#);
    let fake = Fake::start(&[(200, body), (404, refusal(20404))]).await;
    let state = rest(&fake.base).fetch(CALL).await.unwrap();
    assert_eq!(
        (state.change, state.duration_s),
        (Some(Change::MediaEnded), Some(15))
    );
    assert_eq!(state.hangup.unwrap().by, HangupBy::Callee);
    assert!(matches!(
        rest(&fake.base).fetch(CALL).await,
        Err(Error::NotFound)
    ));
}

#[tokio::test]
async fn an_id_that_is_none_is_never_asked_for() {
    let fake = Fake::start(&[]).await;
    for id in ["", "CA1/../..", "CA1?x", "CA 1"] {
        assert!(
            matches!(rest(&fake.base).fetch(id).await, Err(Error::NotFound)),
            "{id}"
        );
    }
    assert!(fake.seen().is_empty());
}
