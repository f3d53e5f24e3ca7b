//! `/me/voices` and `/user/tts_sample`: which voices an agent may have, and how they sound.
//! Sources: api.md §1 rows 39, 51, 53, 54; §15.

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::post,
};
use bolo_agent::Fallbacks;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, Problems, TooLarge},
    extract::{Caller, JsonBody, Params},
    paging::{Paging, PagingParams},
};

const LONGEST_TEXT: usize = 1000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(vendors))
        .routes(routes!(of_vendor))
        .routes(routes!(sample))
        .route("/ambient-sounds/custom", post(ambient))
}

/// A sound of one's own to play under the agent's voice. Agents that ask for one are refused, so a sound is, too,
/// before anybody pays for its upload. Not in the OpenAPI document, because it has no good answer.
async fn ambient(_: Caller) -> ApiError {
    ApiError::NotPossible(
        "ambient sounds of one's own are not supported by this version yet".to_owned(),
    )
}

/// A voice that an agent may have.
#[derive(Debug, Serialize, ToSchema)]
pub struct Voice {
    /// The same for the same voice.
    #[schema(format = Uuid)]
    id: String,
    /// The vendor's own id: `voice_id` of an agent.
    #[schema(example = "aBcDeFgHiJkLmN")]
    voice_id: String,
    #[schema(example = "elevenlabs")]
    provider: String,
    #[schema(example = "Matthew")]
    name: String,
    /// Where a voice belongs to one.
    model: String,
    #[schema(example = "United States (English) female")]
    accent: String,
}

/// A number that is the same for the same voice: FNV-1a of its vendor and id.
fn id(vendor: &str, voice: &str) -> Uuid {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = vendor.bytes().chain([0]).chain(voice.bytes());
    let hash = bytes.fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    Uuid::from_u128(hash)
}

async fn shown(
    app: &App,
    caller: Caller,
    vendors: &[&'static str],
    params: &Params,
) -> Result<Json<Vec<Voice>>, ApiError> {
    let paging = Paging::read(params)?;
    let voices = app.calls.voices(caller.account, vendors).await?;
    let shown = paging.cut(voices).into_iter().map(|voice| Voice {
        id: id(voice.vendor, &voice.voice_id).to_string(),
        voice_id: voice.voice_id,
        provider: voice.vendor.to_owned(),
        name: voice.name,
        model: voice.model,
        accent: voice.accent,
    });
    Ok(Json(shown.collect()))
}

/// Lists the voices that the account's agents may have.
///
/// Those of the local engine, and of the vendors that the account or the server has keys for. A vendor that
/// can't be asked is left out.
#[utoipa::path(get, path = "/me/voices", tag = "Voices", params(PagingParams),
    responses((status = 200, description = "All voices, or the page asked for", body = Vec<Voice>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Voice>>, ApiError> {
    let vendors = app.calls.voice_vendors(caller.account).await?;
    shown(&app, caller, &vendors, &params).await
}

/// A vendor of voices.
#[derive(Debug, Serialize, ToSchema)]
pub struct Vendor {
    #[schema(example = "elevenlabs")]
    provider: &'static str,
}

/// Lists the vendors of voices that can be asked.
#[utoipa::path(get, path = "/api/v1/voice-config/tts", tag = "Voices",
    responses((status = 200, description = "The vendors", body = Vec<Vendor>), Problems))]
async fn vendors(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Vendor>>, ApiError> {
    let vendors = app.calls.voice_vendors(caller.account).await?;
    Ok(Json(
        vendors
            .into_iter()
            .map(|provider| Vendor { provider })
            .collect(),
    ))
}

/// Lists the voices of one vendor.
#[utoipa::path(get, path = "/api/v1/voice-config/tts/{provider}/voices", tag = "Voices",
    params(("provider" = String, Path, description = "The vendor"), PagingParams),
    responses((status = 200, description = "Its voices", body = Vec<Voice>), Problems))]
async fn of_vendor(
    State(app): State<App>,
    caller: Caller,
    Path(provider): Path<String>,
    params: Params,
) -> Result<Json<Vec<Voice>>, ApiError> {
    let vendors = app.calls.voice_vendors(caller.account).await?;
    let vendor = vendors.into_iter().find(|vendor| *vendor == provider);
    let vendor = vendor.ok_or(ApiError::NotFound("Provider"))?;
    shown(&app, caller, &[vendor], &params).await
}

/// A line to hear.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct Sample {
    /// At most 1000 characters.
    #[schema(pattern = r"\S", max_length = 1000)]
    text: String,
    #[schema(example = "elevenlabs")]
    provider: String,
    /// As `provider_config` of an agent's synthesizer.
    #[schema(value_type = Object)]
    provider_config: Value,
}

/// Speaks a line with a voice: WAV, 24 kHz.
#[utoipa::path(post, path = "/user/tts_sample", tag = "Voices", request_body = Sample,
    responses((status = 200, description = "The sound", content_type = "audio/wav", body = [u8]), Problems,
        TooLarge))]
async fn sample(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, ApiError> {
    let text = body["text"].as_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.chars().count() > LONGEST_TEXT {
        let fault = format!("must have 1 to {LONGEST_TEXT} characters");
        return Err(ApiError::field("text", fault));
    }
    let config = body
        .get("provider_config")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let voice = json!({ "provider": body.get("provider"), "provider_config": config });
    let voice = Fallbacks::parse(&json!({ "synthesizer": voice }))?.synthesizer;
    let voice = voice.ok_or_else(|| ApiError::field("provider", "field required"))?;
    let spoken = app
        .calls
        .preview(caller.account, &voice, text.to_owned())
        .await?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], spoken).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_keeps_its_id() {
        assert_eq!(id("local", "en-US"), id("local", "en-US"));
        assert_ne!(id("local", "en-US"), id("local", "en-GB"));
        assert_ne!(id("a", "bc"), id("ab", "c"));
    }
}
