//! The sound of a call.

use axum::{body::Body, http::Request};
use bolo_execution::{Change, ExecutionId};
use bolo_store::Facts;

use crate::bolo::{Bolo, Reply};

/// A completed call with a recording of the bytes 0, 1, 2, … 99.
async fn recorded(bolo: &Bolo) -> ExecutionId {
    let id = bolo.dialled(bolo.new_agent().await, "CA1").await;
    bolo.change(id, Change::Answered, Facts::default()).await;
    bolo.change(id, Change::MediaEnded, Facts::default()).await;
    let recordings = bolo.app.store.recordings();
    let path = recordings.scratch_path(id);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, sound()).unwrap();
    recordings.finish(id).await.unwrap();
    let facts = Facts {
        has_recording: Some(true),
        ..Facts::default()
    };
    bolo.change(id, Change::Recorded, facts).await;
    id
}

fn sound() -> Vec<u8> {
    (0..100).collect()
}

async fn ask(bolo: &Bolo, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    bolo.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_recording_is_played_whole_or_in_part() {
    let bolo = Bolo::start().await;
    let path = format!("/recordings/call/{}", recorded(&bolo).await);
    let key = format!("Bearer {}", bolo.key);
    let key = ("authorization", key.as_str());

    let whole = ask(&bolo, "GET", &path, &[key, ("accept-encoding", "gzip")]).await;
    assert_eq!(
        (whole.status.as_u16(), &whole.bytes[..]),
        (200, &sound()[..])
    );
    assert_eq!(whole.header("content-type"), "audio/wav");
    assert_eq!(
        (
            whole.header("accept-ranges"),
            whole.header("content-length")
        ),
        ("bytes", "100")
    );
    assert_eq!(whole.header("content-encoding"), "");

    for (range, from, to) in [
        ("bytes=0-9", 0, 9),
        ("bytes=90-", 90, 99),
        ("bytes=-5", 95, 99),
        ("bytes=50-5000", 50, 99),
    ] {
        let part = ask(&bolo, "GET", &path, &[key, ("range", range)]).await;
        assert_eq!(
            (part.status.as_u16(), &part.bytes[..]),
            (206, &sound()[from..=to]),
            "{range}"
        );
        assert_eq!(
            part.header("content-range"),
            format!("bytes {from}-{to}/100")
        );
        assert_eq!(part.header("content-length"), (to - from + 1).to_string());
    }
    let beyond = ask(&bolo, "GET", &path, &[key, ("range", "bytes=100-")]).await;
    beyond.error(416);
    assert_eq!(beyond.header("content-range"), "bytes */100");
    let stale = ask(
        &bolo,
        "GET",
        &path,
        &[key, ("range", "bytes=0-9"), ("if-range", "\"old\"")],
    )
    .await;
    assert_eq!(stale.status, 200);
    let fresh = [
        key,
        ("range", "bytes=0-9"),
        ("if-range", whole.header("etag")),
    ];
    assert_eq!(ask(&bolo, "GET", &path, &fresh).await.status, 206);

    let head = ask(&bolo, "HEAD", &path, &[key]).await;
    assert_eq!(
        (
            head.status.as_u16(),
            head.bytes.len(),
            head.header("content-length")
        ),
        (200, 0, "100")
    );
    let head = ask(&bolo, "HEAD", &path, &[key, ("range", "bytes=0-9")]).await;
    assert_eq!(
        (
            head.status.as_u16(),
            head.bytes.len(),
            head.header("content-length")
        ),
        (206, 0, "10")
    );
}

#[tokio::test]
async fn a_signed_link_needs_no_key_and_opens_nothing_else() {
    let bolo = Bolo::start().await;
    let id = recorded(&bolo).await;
    let link = bolo
        .get(&format!("/recordings/call/{id}/link?expires_in=60"))
        .await
        .ok();
    let url = link["url"].as_str().unwrap();
    let path = url.strip_prefix("https://bolo.example.com").unwrap();
    let played = ask(
        &bolo,
        "GET",
        path,
        &[("range", "bytes=0-9"), ("origin", "https://page.example")],
    )
    .await;
    assert_eq!((played.status.as_u16(), played.bytes.len()), (206, 10));
    assert_eq!(played.header("access-control-allow-origin"), "*");
    for bad in [
        format!("/recordings/call/{id}"),
        path.replace("sig=", "sig=0"),
        path.replace("expires=", "expires=1"),
        format!("/recordings/call/{id}?expires=1&sig=00"),
        path.replace(&id.to_string(), &ExecutionId::new().to_string()),
    ] {
        ask(&bolo, "GET", &bad, &[]).await.error(401);
    }
    for bad in ["0", "-1", "x", "999999999"] {
        bolo.get(&format!("/recordings/call/{id}/link?expires_in={bad}"))
            .await
            .error(400);
    }
}

#[tokio::test]
async fn a_call_without_a_recording_is_404() {
    let bolo = Bolo::start().await;
    let id = bolo.new_call(bolo.new_agent().await).await;
    assert_eq!(
        bolo.get(&format!("/recordings/call/{id}")).await.error(404),
        "Recording not found"
    );
    assert_eq!(
        bolo.get(&format!("/recordings/call/{id}/link"))
            .await
            .error(404),
        "Recording not found"
    );
    let of_transfer = format!("/recordings/transfer/{id}");
    for method in ["GET", "HEAD"] {
        let asked = bolo.request(&bolo.key, method, &of_transfer, None).await;
        assert_eq!(asked.status, 404);
        let stranger = bolo.request("bn-wrong", method, &of_transfer, None).await;
        assert_eq!(stranger.status, 401);
    }
    let asked = bolo.get(&of_transfer).await.error(404);
    assert_eq!(asked, "Recording of the transfer not found");
    let stranger = bolo.stranger().await;
    let theirs = bolo.request(&stranger, "GET", &of_transfer, None).await;
    assert_eq!(theirs.error(404), "Execution not found");
}
