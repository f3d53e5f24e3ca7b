//! Numbers, those for sale, and applications (wire-telephony.md §2.3).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{App, REFUSALS, api_id, error, not_found, page, query};
use crate::{
    carrier::{
        Application, Number, Shared,
        rest::{self, Refusal, json as answer},
    },
    plivo::{digits, e164},
};

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/PhoneNumber/", get(search))
        .route("/PhoneNumber/{number}/", post(buy))
        .route("/Number/", get(list))
        .route("/Number/{number}/", get(fetch).post(update).delete(release))
        .route("/Application/", get(applications).post(create))
}

fn get_in<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

async fn search(
    State(shared): App,
    Path(account): Path<String>,
    RawQuery(text): RawQuery,
) -> Response {
    let query = query(text);
    let code = match get_in(&query, "country_iso") {
        Some("US" | "CA") => "1",
        Some("IN") => "91",
        _ => return error(400, "country_iso parameter is not valid"),
    };
    let fits =
        |plain: &str| get_in(&query, "pattern").is_none_or(|pattern| plain.starts_with(pattern));
    let found: Vec<Value> = shared
        .for_sale()
        .iter()
        .map(|number| digits(number))
        .filter(|number| number.strip_prefix(code).is_some_and(fits))
        .map(|number| {
            json!({
                "number": number,
                "prefix": "415",
                "city": "SAN FRANCISCO",
                "country": "UNITED STATES",
                "region": "California, UNITED STATES",
                "rate_center": "SNFC CNTRL",
                "lata": 722,
                "type": "local",
                "sub_type": "local",
                "monthly_rental_rate": "0.80000",
                "setup_rate": "0.00000",
                "voice_enabled": true,
                "voice_rate": "0.00850",
                "sms_enabled": true,
                "restriction": null,
                "restriction_text": null,
                "resource_uri": format!("/v1/Account/{account}/PhoneNumber/{number}/"),
            })
        })
        .collect();
    answer(
        200,
        &page(
            &format!("/v1/Account/{account}/PhoneNumber/"),
            &query,
            &found,
        ),
    )
}

async fn buy(State(shared): App, Path((_, number)): Path<(String, String)>) -> Response {
    let wanted = e164(&number);
    shared.ledger.purchase(&wanted);
    let act = || match shared.buy(&wanted) {
        None => error(404, "number is not available"),
        Some(_) => {
            let body = json!({
                "api_id": api_id(),
                "message": "created",
                "numbers": [{"number": digits(&wanted), "status": "Success"}],
                "status": "fulfilled",
            });
            answer(201, &body)
        }
    };
    let fault = shared.purchase_fault();
    let response = rest::answer(fault.as_ref(), &REFUSALS, act).await;
    rest::linger(fault).await;
    response
}

fn show(shared: &Shared, number: &Number) -> Value {
    let account = shared.dialect.account();
    let plain = digits(&number.phone_number);
    let application = (!number.application.is_empty())
        .then(|| format!("/v1/Account/{account}/Application/{}/", number.application));
    json!({
        "active": true,
        "added_on": "2026-01-02",
        "alias": number.friendly_name,
        "application": application,
        "carrier": "Plivo",
        "city": "SAN FRANCISCO",
        "country": "UNITED STATES",
        "monthly_rental_rate": "0.80000",
        "number": plain,
        "number_type": "local",
        "region": "California, UNITED STATES",
        "renewal_date": "2026-02-02",
        "resource_uri": format!("/v1/Account/{account}/Number/{plain}/"),
        "sms_enabled": true,
        "sub_account": null,
        "type": "local",
        "voice_enabled": true,
        "voice_rate": "0.00850",
    })
}

async fn list(
    State(shared): App,
    Path(account): Path<String>,
    RawQuery(text): RawQuery,
) -> Response {
    let query = query(text);
    let fits = |number: &Number| {
        get_in(&query, "number_startswith")
            .is_none_or(|start| digits(&number.phone_number).starts_with(start))
    };
    let numbers = shared.numbers();
    let found: Vec<Value> = numbers
        .iter()
        .filter(|number| fits(number))
        .map(|number| show(&shared, number))
        .collect();
    answer(
        200,
        &page(&format!("/v1/Account/{account}/Number/"), &query, &found),
    )
}

fn find(shared: &Shared, number: &str) -> Result<Number, Refusal> {
    let wanted = e164(number);
    let mut numbers = shared.numbers().into_iter();
    let found = numbers.find(|number| number.phone_number == wanted);
    found.ok_or_else(|| not_found().into())
}

async fn fetch(
    State(shared): App,
    Path((_, number)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut body = show(&shared, &find(&shared, &number)?);
    body["api_id"] = api_id().into();
    Ok(answer(200, &body))
}

async fn update(
    State(shared): App,
    Path((_, number)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Result<Response, Refusal> {
    let number = find(&shared, &number)?;
    if let Some(id) = body["app_id"].as_str() {
        let mut applications = shared.applications().into_iter();
        let application = applications
            .find(|application| application.id == id)
            .ok_or_else(|| Refusal::from(error(400, "app_id parameter is not valid")))?;
        shared.change_number(&number.id, |number| {
            number.voice_url = application.answer_url;
            number.voice_method = application.answer_method;
            number.voice_fallback_url = application.fallback_answer_url;
            number.status_callback = application.hangup_url;
            number.application = application.id;
        });
    }
    if let Some(alias) = body["alias"].as_str() {
        shared.change_number(&number.id, |number| number.friendly_name = alias.to_owned());
    }
    Ok(answer(
        202,
        &json!({"api_id": api_id(), "message": "changed"}),
    ))
}

async fn release(
    State(shared): App,
    Path((_, number)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    shared.release(&find(&shared, &number)?.id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn applications(
    State(shared): App,
    Path(account): Path<String>,
    RawQuery(text): RawQuery,
) -> Response {
    let query = query(text);
    let found: Vec<Value> = shared
        .applications()
        .iter()
        .filter(|app| get_in(&query, "app_name").is_none_or(|name| name == app.name))
        .map(|app| {
            json!({
                "answer_method": app.answer_method,
                "answer_url": app.answer_url,
                "app_id": app.id,
                "app_name": app.name,
                "default_app": false,
                "default_endpoint_app": false,
                "enabled": true,
                "fallback_answer_url": app.fallback_answer_url,
                "fallback_method": "POST",
                "hangup_method": "POST",
                "hangup_url": app.hangup_url,
                "message_method": "POST",
                "message_url": "",
                "public_uri": false,
                "resource_uri": format!("/v1/Account/{account}/Application/{}/", app.id),
                "sip_uri": format!("sip:{}@app.plivo.com", app.id),
                "sub_account": null,
            })
        })
        .collect();
    answer(
        200,
        &page(
            &format!("/v1/Account/{account}/Application/"),
            &query,
            &found,
        ),
    )
}

async fn create(State(shared): App, Json(body): Json<Value>) -> Response {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let name = text("app_name");
    let spelt = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(spelt) {
        return error(400, "app_name parameter is not valid");
    }
    if shared.applications().iter().any(|app| app.name == name) {
        return error(400, "app_name is already taken");
    }
    let application = Application {
        id: format!("{:017}", shared.clerk.draw() % 100_000_000_000_000_000),
        name,
        answer_url: text("answer_url"),
        answer_method: body["answer_method"].as_str().unwrap_or("POST").to_owned(),
        fallback_answer_url: text("fallback_answer_url"),
        hangup_url: text("hangup_url"),
    };
    let body = json!({"api_id": api_id(), "app_id": application.id, "message": "created"});
    shared.add_application(application);
    answer(201, &body)
}
