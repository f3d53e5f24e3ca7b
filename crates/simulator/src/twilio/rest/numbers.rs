//! `IncomingPhoneNumbers`: list, fetch, change, buy, release. `AvailablePhoneNumbers`: search.

use std::sync::Arc;

use axum::extract::State;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{App, Form, REFUSALS, error, is_number, not_found, paging};
use crate::carrier::{
    Number, Shared,
    rest::{self, Refusal, json as answer},
};

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/IncomingPhoneNumbers.json", get(list).post(buy))
        .route(
            "/IncomingPhoneNumbers/{number}",
            get(fetch).post(update).delete(release),
        )
        .route("/AvailablePhoneNumbers/{country}/Local.json", get(search))
}

fn show(shared: &Shared, number: &Number) -> Value {
    let account = shared.dialect.account();
    json!({
        "sid": number.id,
        "account_sid": account,
        "friendly_name": number.friendly_name,
        "phone_number": number.phone_number,
        "voice_url": number.voice_url,
        "voice_method": number.voice_method,
        "voice_fallback_url": number.voice_fallback_url,
        "voice_fallback_method": "POST",
        "status_callback": number.status_callback,
        "status_callback_method": "POST",
        "voice_caller_id_lookup": false,
        "date_created": "Tue, 31 Aug 2010 20:36:28 +0000",
        "date_updated": "Tue, 31 Aug 2010 20:36:28 +0000",
        "sms_url": "",
        "sms_method": "POST",
        "sms_fallback_url": "",
        "sms_fallback_method": "POST",
        "address_requirements": "none",
        "beta": false,
        "capabilities": {"voice": true, "sms": true, "mms": false, "fax": false},
        "voice_application_sid": "",
        "sms_application_sid": "",
        "origin": "twilio",
        "trunk_sid": null,
        "emergency_status": "Inactive",
        "emergency_address_sid": null,
        "address_sid": null,
        "identity_sid": null,
        "bundle_sid": null,
        "api_version": "2010-04-01",
        "status": "in-use",
        "type": null,
        "uri": format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{}.json", number.id),
        "subresource_uris": {},
    })
}

async fn list(
    State(shared): App,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Form(
        form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
    );
    let is = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let mut found: Vec<Value> = shared
        .numbers()
        .iter()
        .filter(|number| {
            is("PhoneNumber", &number.phone_number) && is("FriendlyName", &number.friendly_name)
        })
        .map(|number| show(&shared, number))
        .collect();
    let path = format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json");
    answer(
        200,
        &paging::page("incoming_phone_numbers", &mut found, &path, &query),
    )
}

fn find(shared: &Shared, file: &str) -> Result<Number, Refusal> {
    let sid = file.strip_suffix(".json").unwrap_or(file);
    let number = shared.numbers().into_iter().find(|number| number.id == sid);
    number.ok_or_else(|| not_found(&format!("/IncomingPhoneNumbers/{file}")).into())
}

async fn fetch(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    Ok(answer(200, &show(&shared, &find(&shared, &file)?)))
}

async fn update(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let number = find(&shared, &file)?;
    let form = Form::read(&headers, &body);
    shared.change_number(&number.id, |number| set(number, &form));
    Ok(answer(200, &show(&shared, &find(&shared, &file)?)))
}

fn set(number: &mut Number, form: &Form) {
    let set = |field: &mut String, name: &str| {
        if let Some(value) = form.get(name) {
            value.clone_into(field);
        }
    };
    set(&mut number.voice_url, "VoiceUrl");
    set(&mut number.voice_method, "VoiceMethod");
    set(&mut number.voice_fallback_url, "VoiceFallbackUrl");
    set(&mut number.status_callback, "StatusCallback");
    set(&mut number.friendly_name, "FriendlyName");
}

async fn buy(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::read(&headers, &body);
    let wanted = form.get("PhoneNumber").unwrap_or_default().to_owned();
    shared.ledger.purchase(&wanted);
    let act = || {
        if !is_number(&wanted) {
            return error(400, 21421, "PhoneNumber is invalid");
        }
        let Some(bought) = shared.buy(&wanted) else {
            return error(400, 21422, &format!("{wanted} is not available"));
        };
        shared.change_number(&bought.id, |number| set(number, &form));
        answer(201, &show(&shared, &bought))
    };
    let fault = shared.purchase_fault();
    let response = rest::answer(fault.as_ref(), &REFUSALS, act).await;
    rest::linger(fault).await;
    response
}

async fn release(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    shared.release(&find(&shared, &file)?.id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn search(
    State(shared): App,
    Path((account, country)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = Form(
        form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
    );
    let path = format!("/AvailablePhoneNumbers/{country}/Local.json");
    let code = match country.as_str() {
        "US" | "CA" => "+1",
        "IN" => "+91",
        _ => return Err(not_found(&path).into()),
    };
    let fits = |plain: &str| {
        query
            .get("AreaCode")
            .is_none_or(|area| plain.starts_with(area))
            && query
                .get("Contains")
                .is_none_or(|pattern| plain.contains(&pattern.replace('*', "")))
    };
    let found: Vec<Value> = shared
        .for_sale()
        .iter()
        .filter(|number| number.strip_prefix(code).is_some_and(fits))
        .map(|number| {
            json!({
                "friendly_name": format!("({number})"),
                "phone_number": number,
                "lata": "722",
                "locality": "San Francisco",
                "rate_center": "SNFC CNTRL",
                "latitude": "37.780000",
                "longitude": "-122.380000",
                "region": "CA",
                "postal_code": "94107",
                "iso_country": country,
                "address_requirements": "none",
                "beta": false,
                "capabilities": {"voice": true, "SMS": true, "MMS": false},
            })
        })
        .collect();
    let uri = format!("/2010-04-01/Accounts/{account}{path}");
    Ok(answer(
        200,
        &json!({"available_phone_numbers": found, "uri": uri}),
    ))
}
