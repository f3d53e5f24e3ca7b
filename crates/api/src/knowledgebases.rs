//! `/knowledgebase`: documents that agents answer from. Source: api.md §12.

use axum::{
    Json,
    extract::{DefaultBodyLimit, Multipart, State, multipart::MultipartError},
};
use bolo_execution::KnowledgebaseId;
use bolo_orchestrator::SearchError;
use bolo_store::{Ingest, KnowledgeSource, Knowledgebase as Stored, NewKnowledgebase};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    error::{ApiError, OrNotFound, Problems},
    extract::{Caller, Id, Params, PathId},
    form,
    paging::{Paging, PagingParams},
    time::{humanized, iso, now},
};

const NAME: &str = "Knowledgebase";
/// Bytes of an upload.
const LARGEST: usize = 20 << 20;
/// What surrounds the file in its form.
const FORM: usize = 64 << 10;
const NAME_LIMIT: usize = 255;
const URL_LIMIT: usize = 2048;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .layer(DefaultBodyLimit::max(LARGEST + FORM))
        .routes(routes!(list))
        .routes(routes!(read, remove))
        .routes(routes!(search))
}

impl PathId for KnowledgebaseId {
    const NAME: &'static str = NAME;
}

/// A document to take in; either `file` or `url`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct NewDocument {
    /// A PDF of at most 20 MB.
    #[schema(value_type = String, format = Binary, required = false)]
    file: Option<Vec<u8>>,
    /// A page or a PDF on the public internet.
    #[schema(value_type = String, required = false, example = "https://example.com/docs")]
    url: Option<String>,
    /// Characters of a chunk, 64 to 4096.
    #[schema(value_type = i64, required = false, minimum = 64, maximum = 4096, default = 512)]
    chunk_size: Option<i64>,
    /// Passages to find where nobody says how many, 1 to 100.
    #[schema(value_type = i64, required = false, minimum = 1, maximum = 100, default = 15)]
    similarity_top_k: Option<i64>,
    /// Characters that a chunk repeats of the one before; less than `chunk_size`.
    #[schema(value_type = i64, required = false, minimum = 0, maximum = 4095, default = 128)]
    overlapping: Option<i64>,
    /// Must be empty: the embedding model of this server knows English.
    #[schema(value_type = String, required = false, max_length = 0)]
    language_support: Option<String>,
}

/// A document that is being taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Created {
    /// Its id.
    #[schema(format = Uuid)]
    rag_id: String,
    /// What agents name.
    #[schema(format = Uuid)]
    vector_id: String,
    /// Of the upload, or the address.
    #[schema(example = "hours.pdf")]
    file_name: String,
    /// `pdf` or `url`.
    #[schema(example = "pdf")]
    source_type: &'static str,
    /// `processing`.
    #[schema(example = "processing")]
    status: &'static str,
    /// Always null.
    language_support: Option<String>,
}

/// A document and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Knowledgebase {
    /// Its id.
    #[schema(format = Uuid)]
    rag_id: String,
    /// What agents name; they may name `rag_id`, too.
    #[schema(format = Uuid)]
    vector_id: String,
    /// Of the upload, or the address.
    #[schema(example = "hours.pdf")]
    file_name: String,
    /// `pdf` or `url`.
    #[schema(example = "pdf")]
    source_type: &'static str,
    /// `processing`, `processed` or `error`.
    #[schema(example = "processed")]
    status: &'static str,
    /// Why it is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Characters of a chunk.
    chunk_size: i64,
    /// Passages to find where nobody says how many.
    similarity_top_k: i64,
    /// Characters that a chunk repeats of the one before.
    overlapping: i64,
    /// How many chunks there are.
    chunks: i64,
    /// Always null.
    language_support: Option<String>,
    /// How long ago it was made, in words.
    #[schema(example = "5 minutes ago")]
    humanized_created_at: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When its status changed last.
    #[schema(format = DateTime)]
    updated_at: String,
}

impl Knowledgebase {
    fn new(stored: Stored, now: i64) -> Self {
        let source_type = source_type(&stored);
        let (status, reason) = match stored.ingest {
            Ingest::Processing => ("processing", None),
            Ingest::Processed => ("processed", None),
            Ingest::Error(reason) => ("error", Some(reason)),
        };
        Self {
            rag_id: stored.id.to_string(),
            vector_id: stored.vector_id.to_string(),
            file_name: stored.file_name,
            source_type,
            status,
            reason,
            chunk_size: stored.chunk_size,
            similarity_top_k: stored.similarity_top_k,
            overlapping: stored.overlapping,
            chunks: stored.chunks,
            language_support: None,
            humanized_created_at: humanized(stored.created_at, now),
            created_at: iso(stored.created_at),
            updated_at: iso(stored.updated_at),
        }
    }
}

fn source_type(stored: &Stored) -> &'static str {
    match stored.url {
        Some(_) => "url",
        None => "pdf",
    }
}

/// Takes a PDF or a page in; it can be searched once its status is `processed`.
#[utoipa::path(post, path = "/knowledgebase", tag = "Knowledgebases",
    request_body(content = NewDocument, content_type = "multipart/form-data"),
    responses((status = 200, description = "Taken in", body = Created), Problems))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Json<Created>, ApiError> {
    let form = form.map_err(|refused| ApiError::field("", refused.body_text()))?;
    let new = Form::read(form).await?.check()?;
    let made = app
        .store
        .add_knowledgebase(caller.account, new, now())
        .await?;
    Ok(Json(Created {
        rag_id: made.id.to_string(),
        vector_id: made.vector_id.to_string(),
        source_type: source_type(&made),
        file_name: made.file_name,
        status: "processing",
        language_support: None,
    }))
}

/// What came, unchecked.
#[derive(Default)]
struct Form {
    file: Option<(String, Vec<u8>)>,
    url: Option<String>,
    chunk_size: Option<String>,
    similarity_top_k: Option<String>,
    overlapping: Option<String>,
    language_support: Option<String>,
}

impl Form {
    async fn read(mut form: Multipart) -> Result<Self, ApiError> {
        let broken = |error: MultipartError| match error.status().as_u16() {
            413 => ApiError::field("file", "must not be larger than 20 MB"),
            _ => ApiError::field("", error.body_text()),
        };
        let mut read = Self::default();
        while let Some(field) = form.next_field().await.map_err(broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            if name == "file" {
                let file_name = field.file_name().unwrap_or("document.pdf").to_owned();
                let bytes = field.bytes().await.map_err(broken)?.to_vec();
                // An empty part stands for none, as forms of browsers send it.
                read.file = (!bytes.is_empty()).then_some((file_name, bytes));
                continue;
            }
            let slot = match name.as_str() {
                "url" => &mut read.url,
                "chunk_size" => &mut read.chunk_size,
                "similarity_top_k" => &mut read.similarity_top_k,
                "overlapping" => &mut read.overlapping,
                "language_support" => &mut read.language_support,
                _ => continue,
            };
            let text = field.text().await.map_err(broken)?;
            *slot = Some(text.trim().to_owned()).filter(|text| !form::is_nothing(text));
        }
        Ok(read)
    }

    fn check(self) -> Result<NewKnowledgebase, ApiError> {
        if let Some(other) = self.language_support {
            let msg = format!(
                "{other:?} is not supported: the embedding model of this server knows English"
            );
            return Err(ApiError::field("language_support", msg));
        }
        let chunk_size = whole("chunk_size", self.chunk_size, 512, 64..=4096)?;
        let overlapping = whole(
            "overlapping",
            self.overlapping,
            128.min(chunk_size - 1),
            0..=4095,
        )?;
        if overlapping >= chunk_size {
            return Err(ApiError::field(
                "overlapping",
                "must be less than chunk_size",
            ));
        }
        let (file_name, source) = match (self.file, self.url) {
            (Some((name, bytes)), None) => {
                if bytes.len() > LARGEST {
                    return Err(ApiError::field("file", "must not be larger than 20 MB"));
                }
                if !is_pdf(&bytes) {
                    return Err(ApiError::field("file", "must be a PDF"));
                }
                (name, KnowledgeSource::Pdf(bytes))
            }
            (None, Some(url)) => (url.clone(), KnowledgeSource::Url(checked(url)?)),
            (Some(_), Some(_)) => return Err(ApiError::field("url", "must not come with a file")),
            (None, None) => {
                return Err(ApiError::field(
                    "file",
                    "either a file or a url is required",
                ));
            }
        };
        Ok(NewKnowledgebase {
            file_name: file_name.chars().take(NAME_LIMIT).collect(),
            source,
            chunk_size,
            overlapping,
            similarity_top_k: whole("similarity_top_k", self.similarity_top_k, 15, 1..=100)?,
        })
    }
}

/// A PDF may have something before its mark.
fn is_pdf(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    head.windows(5).any(|window| window == b"%PDF-")
}

fn whole(
    field: &str,
    text: Option<String>,
    default: i64,
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64, ApiError> {
    let Some(text) = text else { return Ok(default) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let msg = format!(
            "must be a whole number from {} to {}",
            range.start(),
            range.end()
        );
        ApiError::field(field, msg)
    })
}

fn checked(url: String) -> Result<String, ApiError> {
    let parsed: Option<url::Url> = url.parse().ok();
    let usable = |url: &url::Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    if url.len() > URL_LIMIT || !parsed.as_ref().is_some_and(usable) {
        return Err(ApiError::field(
            "url",
            "must be an address that begins with http:// or https://",
        ));
    }
    Ok(url)
}

/// Lists all, newest first.
#[utoipa::path(get, path = "/knowledgebase/all", tag = "Knowledgebases", params(PagingParams),
    responses((status = 200, description = "All, or the page asked for", body = Vec<Knowledgebase>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Vec<Knowledgebase>>, ApiError> {
    let paging = Paging::read(&params)?;
    let now = now();
    let all = app.store.knowledgebases(caller.account).await?;
    let shown = paging.cut(all).into_iter();
    Ok(Json(
        shown.map(|one| Knowledgebase::new(one, now)).collect(),
    ))
}

/// Tells how far one is.
#[utoipa::path(get, path = "/knowledgebase/{rag_id}", tag = "Knowledgebases",
    params(("rag_id" = String, Path, description = "Id, or vector id")),
    responses((status = 200, description = "The knowledgebase", body = Knowledgebase), Problems))]
async fn read(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KnowledgebaseId>,
) -> Result<Json<Knowledgebase>, ApiError> {
    let found = app
        .store
        .knowledgebase(caller.account, id.0)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Knowledgebase::new(found, now())))
}

/// Answer to a removal.
#[derive(Debug, Serialize, ToSchema)]
pub struct Removed {
    /// `success`.
    #[schema(example = "success")]
    message: &'static str,
    /// `deleted`.
    #[schema(example = "deleted")]
    state: &'static str,
}

/// Removes one with all its passages; agents that name it answer without.
#[utoipa::path(delete, path = "/knowledgebase/{rag_id}", tag = "Knowledgebases",
    params(("rag_id" = String, Path, description = "Id, or vector id")),
    responses((status = 200, description = "Removed", body = Removed), Problems))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KnowledgebaseId>,
) -> Result<Json<Removed>, ApiError> {
    app.store
        .remove_knowledgebase(caller.account, id.0)
        .await
        .or_not_found(NAME)?;
    Ok(Json(Removed {
        message: "success",
        state: "deleted",
    }))
}

/// The parameters of a search, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by the derive only")]
struct Question {
    /// A question, as a caller would ask it.
    #[param(example = "When do you open on Saturday?", min_length = 1)]
    q: String,
    /// Passages at most, 1 to 100; the knowledgebase's `similarity_top_k` where left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Found {
    /// The best first.
    passages: Vec<Passage>,
}

/// A piece of the document.
#[derive(Debug, Serialize, ToSchema)]
pub struct Passage {
    /// The text.
    text: String,
    /// How near it is to the question, -1 to 1.
    #[schema(example = 0.62)]
    score: f32,
    /// Which chunk of the document, from 0.
    number: usize,
}

/// Finds the passages that an agent would be given for these words.
#[utoipa::path(get, path = "/knowledgebase/{rag_id}/search", tag = "Knowledgebases",
    params(("rag_id" = String, Path, description = "Id, or vector id"), Question),
    responses((status = 200, description = "What was found", body = Found), Problems))]
async fn search(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<KnowledgebaseId>,
    params: Params,
) -> Result<Json<Found>, ApiError> {
    let Some((_, question)) = params.get(&["q"]) else {
        return Err(ApiError::field("q", "must not be empty"));
    };
    let limit = params.get(&["limit"]).map(|(_, text)| text.to_owned());
    let count = match limit {
        Some(limit) => Some(whole("limit", Some(limit), 0, 1..=100)? as usize),
        None => None,
    };
    let found = app
        .calls
        .library()
        .search(caller.account, &[id.0], question, count, -1.0)
        .await
        .map_err(|error| match error {
            SearchError::Unknown => ApiError::NotFound(NAME),
            SearchError::NotReady(_) => ApiError::NotPossible(error.to_string()),
            SearchError::Failed(cause) => ApiError::Unavailable(cause),
        })?;
    let shown = found.into_iter().map(|passage| Passage {
        text: passage.text,
        score: passage.score,
        number: passage.number,
    });
    Ok(Json(Found {
        passages: shown.collect(),
    }))
}
