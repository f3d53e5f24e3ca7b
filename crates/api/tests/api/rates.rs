//! More requests in a minute than an account may send: 429 with `Retry-After`.

use bolo_api::PerMinute;

use crate::bolo::Bolo;

#[tokio::test]
async fn above_the_limit_it_is_429_and_says_when_to_come_back() {
    let bolo = Bolo::start_limited(PerMinute { busy: 2, other: 1 }).await;
    bolo.get("/user/me").await.ok();
    let refused = bolo.get("/user/me").await;
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    refused.error(429);
    // Another operation, another account, and whoever needs no key are not touched.
    bolo.get("/v2/agent/all").await.ok();
    bolo.request(&bolo.stranger().await, "GET", "/user/me", None)
        .await
        .ok();
    bolo.get("/health").await.ok();
    bolo.get("/health").await.ok();
    let id = uuid::Uuid::now_v7();
    for path in [format!("/v2/agent/{id}"), format!("/agent/{id}")] {
        bolo.get(&path).await.error(404);
    }
    bolo.get(&format!("/v2/agent/{id}")).await.error(429);
}
