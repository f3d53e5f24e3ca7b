//! Keys of vendors and carriers.

use secrecy::ExposeSecret;
use serde_json::json;

use crate::bolo::Bolo;

#[tokio::test]
async fn a_key_is_kept_masked_and_removed() {
    let bolo = Bolo::start().await;
    let add = |value: &'static str| {
        bolo.post(
            "/providers",
            json!({ "provider_name": "OPENAI_API_KEY", "provider_value": value }),
        )
    };
    assert_eq!(
        add("sk-secret-az").await.ok(),
        json!({ "message": "successful", "status": "added" })
    );
    let list = bolo.get("/providers").await;
    assert!(!list.text().contains("secret"));
    let key = list.ok()[0].clone();
    assert_eq!(
        (&key["provider_name"], &key["provider_value"]),
        (&json!("OPENAI_API_KEY"), &json!("xxxxxxxaz"))
    );
    assert_eq!(key["humanized_created_at"], "just now");
    chrono::DateTime::parse_from_rfc3339(key["created_at"].as_str().unwrap()).unwrap();

    add("sk-other-by").await.ok();
    assert_eq!(
        bolo.get("/providers").await.ok().as_array().unwrap().len(),
        1
    );
    let secrets = bolo.app.store.secrets(bolo.account).await.unwrap();
    assert_eq!(secrets["OPENAI"].expose_secret(), "sk-other-by");

    let removed = json!({ "message": "successful", "status": "removed" });
    let id = bolo.get("/providers").await.ok()[0]["provider_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(bolo.delete(&format!("/providers/{id}")).await.ok(), removed);
    bolo.delete(&format!("/providers/{id}")).await.error(404);
    add("sk").await.ok();
    assert_eq!(bolo.delete("/provider/OPENAI").await.ok(), removed);
    assert_eq!(bolo.get("/providers").await.ok(), json!([]));
}

#[tokio::test]
async fn faults_name_the_field() {
    let bolo = Bolo::start().await;
    for (body, message) in [
        (
            json!({ "provider_value": "x" }),
            "provider_name: field required",
        ),
        (
            json!({ "provider_name": "OPENAI" }),
            "provider_value: field required",
        ),
        (
            json!({ "provider_name": "", "provider_value": "x" }),
            "provider_name: must not be empty",
        ),
        (
            json!({ "provider_name": "OPENAI", "provider_value": "  " }),
            "provider_value: must not be empty",
        ),
        (
            json!({ "provider_name": 1, "provider_value": "x" }),
            "provider_name: invalid type: integer `1`, expected a string",
        ),
    ] {
        assert_eq!(bolo.post("/providers", body).await.error(400), message);
    }
}
