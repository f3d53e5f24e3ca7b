//! What Twilio sends and takes, spelled again: signatures, forms, and REST addresses that end calls and sell
//! numbers.

use std::sync::{Arc, Mutex};

use axum::{
    Form, Json, Router,
    body::Body,
    extract::{Path, State},
    http::Request,
    routing::{get, post as route_post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub const ACCOUNT: &str = "AC1234567890abcdef1234567890abcdef";
pub const TOKEN: &str = "12345678901234567890123456789012";

/// base64(HMAC-SHA1(token, address + sorted names and values)).
pub fn signature(url: &str, form: &[(&str, &str)]) -> String {
    let mut fields = form.to_vec();
    fields.sort_unstable();
    let mut text = url.to_owned();
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(value);
    }
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

pub fn post(path: &str, form: &[(&str, &str)], signature: Option<&str>) -> Request<Body> {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = Request::post(path).header(
        "content-type",
        "application/x-www-form-urlencoded; charset=UTF-8",
    );
    let request = match signature {
        Some(signature) => request.header("x-twilio-signature", signature),
        None => request,
    };
    request.body(Body::from(body)).unwrap()
}

/// A form as Twilio's webhooks have it.
pub fn form<'a>(
    call_id: &'a str,
    status: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", call_id),
        ("CallStatus", status),
        ("Direction", "outbound-api"),
        ("From", "+19876543007"),
        ("To", "+10123456789"),
    ];
    form.extend_from_slice(more);
    form
}

/// Takes `POST Calls/{sid}.json` and remembers whom it hung up.
#[derive(Clone, Default)]
pub struct FakeTwilio {
    pub base_url: String,
    ended: Arc<Mutex<Vec<String>>>,
    news: Arc<Notify>,
}

impl FakeTwilio {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            base_url: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let router = Router::new()
            .route(
                "/2010-04-01/Accounts/{account}/Calls/{call}",
                route_post(end),
            )
            .route(
                "/2010-04-01/Accounts/{account}/AvailablePhoneNumbers/US/Local.json",
                get(available),
            )
            .route(
                "/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json",
                route_post(sell),
            )
            .with_state(fake.clone());
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    /// Waits until this call was hung up.
    pub async fn hung_up(&self, call_id: &str) {
        loop {
            let news = self.news.notified();
            if self.ended().iter().any(|ended| ended == call_id) {
                return;
            }
            news.await;
        }
    }

    pub fn ended(&self) -> Vec<String> {
        self.ended.lock().unwrap().clone()
    }
}

async fn end(
    State(fake): State<FakeTwilio>,
    Path((_, call)): Path<(String, String)>,
    body: String,
) -> Json<Value> {
    assert_eq!(body, "Status=completed");
    let call = call.trim_end_matches(".json").to_owned();
    fake.ended.lock().unwrap().push(call.clone());
    fake.news.notify_waiters();
    Json(json!({ "sid": call, "status": "completed" }))
}

async fn available() -> Json<Value> {
    Json(
        json!({ "available_phone_numbers": [{ "friendly_name": "(510) 555-0100",
        "phone_number": "+15105550100", "locality": "Oakland", "region": "CA" }] }),
    )
}

async fn sell(Form(order): Form<Value>) -> Json<Value> {
    Json(json!({ "sid": "PN1", "phone_number": order["PhoneNumber"], "voice_url": null }))
}
