//! `POST /batches`: a table of any size becomes calls. The file is written to the disk first, because its
//! agent may be named behind it, then read row by row: memory holds a thousand of them.

use std::path::Path;

use axum::{
    Json,
    extract::{DefaultBodyLimit, Request, State, multipart::Field},
    response::{IntoResponse, Response},
};
use bolo_agent::Outline;
use bolo_execution::{AgentId, E164};
use bolo_store::{BatchUpload, Contact, NewBatch, Reject};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::csv::{Row, Rows};
use crate::{
    App, call_request,
    calls::carrier_of,
    error::{ApiError, KeyReused, OrNotFound, Problems, TooLarge, TooSlow},
    extract::{Caller, PathId},
    form,
    idempotency::{self, IdempotencyKey},
    time::now,
};

/// Lines written in one transaction.
const CHUNK: usize = 1_000;
/// The column of the number to call.
const NUMBER: &str = "contact_number";
/// What is kept of an unreadable number, characters.
const SHOWN: usize = 64;

/// The one route whose body may be large and take long.
pub fn routes(max_upload_bytes: usize) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .layer(DefaultBodyLimit::max(max_upload_bytes))
}

/// The form, for the OpenAPI document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read by the derive only")]
struct UploadForm {
    /// Who calls.
    agent_id: uuid::Uuid,
    /// CSV in UTF-8 with a header. `contact_number` (E.164) is required; every other column is a variable.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Calling numbers, taken in turn: repeated, separated by commas, or a list in JSON.
    #[schema(value_type = Vec<String>, required = false)]
    from_phone_numbers: Option<Vec<String>>,
    /// JSON, as `retry_config` of `POST /call`.
    #[schema(value_type = String, required = false)]
    retry_config: Option<String>,
}

/// Answer to an upload.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uploaded {
    /// 32 hex digits.
    #[schema(example = "3c90c3cc0d444b5088888dd25736052a")]
    batch_id: String,
    /// The same as `batch_id`.
    id: String,
    /// `created`.
    #[schema(example = "created")]
    state: &'static str,
}

/// Uploads a table of calls.
///
/// Lines that can't be read make no call and are listed by `GET /batches/{batch_id}/rejected`. Nothing is
/// dialled before the batch is scheduled. A request that repeats one that came with the same `Idempotency-Key`
/// within a day is given that one's answer again, and makes no batch.
#[utoipa::path(post, path = "/batches", tag = "Batches",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]([ -~]{0,253}[!-~])?$",
        description = "Chosen by the client, at most 255 characters")),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Uploaded", body = Uploaded), KeyReused, Problems, TooLarge,
        TooSlow))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    request: Request,
) -> Result<Response, ApiError> {
    let form = read(&app, request).await?;
    let once = key.once(caller.account, "POST /batches", form.told().as_bytes());
    if let Some(answer) = idempotency::replayed(&app, once.as_ref()).await? {
        return Ok(answer);
    }
    let agent_id = form
        .agent
        .ok_or_else(|| ApiError::field("agent_id", "field required"))?;
    let table = form
        .file
        .ok_or_else(|| ApiError::field("file", "field required"))?;
    let stored = app
        .store
        .agent(caller.account, agent_id)
        .await
        .or_not_found(AgentId::NAME)?;
    let agent = Outline::read(&stored.body);
    let mut rows = Rows::new(table.file);
    let columns = Columns::read(&mut rows).await?;
    let new = NewBatch {
        account: caller.account,
        agent: stored.id,
        agent_version: stored.version,
        provider: carrier_of(&app, caller.account, &agent).await?,
        file_name: table.name,
        from_numbers: form.from,
        retry_config: form.retry_config,
    };
    let mut upload = app.store.begin_batch(new, now()).await?;
    let id = upload.id();
    let answer = json!(Uploaded {
        batch_id: id.to_string(),
        id: id.to_string(),
        state: "created",
    });
    let made = match fill(&mut upload, &mut rows, &columns).await {
        Ok(total) => {
            let kept = once.as_ref().map(|once| (once, &answer));
            let made = upload.finish(total, kept, now()).await;
            made.map_err(ApiError::from).map(|_| total)
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(lines) => {
            tracing::info!(batch = %id, %agent_id, lines, "batch uploaded");
            Ok(Json(answer).into_response())
        }
        Err(error) => {
            if let Err(left) = upload.discard(now()).await {
                tracing::warn!(error = %left, "an upload is left to the worker to discard");
            }
            // It came twice at once, and the other was quicker.
            let replayed = idempotency::replayed(&app, once.as_ref()).await?;
            replayed.ok_or(error)
        }
    }
}

/// The form's fields.
#[derive(Default)]
struct Read {
    agent: Option<AgentId>,
    file: Option<Spooled>,
    from: Vec<String>,
    retry_config: Option<Value>,
}

/// A file that came.
struct Spooled {
    name: String,
    /// From its beginning.
    file: tokio::fs::File,
    /// SHA-256.
    sum: Vec<u8>,
}

impl Read {
    /// What must be the same when the request is repeated, whatever separates its parts.
    fn told(&self) -> String {
        let file = self.file.as_ref().map(|file| (&file.name, &file.sum));
        let agent = self.agent.map(|agent| agent.to_string());
        json!([agent, file, self.from, self.retry_config]).to_string()
    }
}

async fn read(app: &App, request: Request) -> Result<Read, ApiError> {
    let limit = app.settings.max_upload_bytes;
    let mut form = form::parts(request, app).await?;
    let mut read = Read::default();
    while let Some(field) = form::next(&mut form, limit).await? {
        match field.name().unwrap_or_default() {
            "agent_id" => {
                let text = form::text(field, limit).await?;
                let id = form::unquoted(&text).parse();
                let id = id.map_err(|_| ApiError::field("agent_id", "must be an agent's id"))?;
                read.agent = Some(id);
            }
            "file" => {
                let name = field.file_name().unwrap_or("batch.csv").to_owned();
                let (file, sum) = spool(field, &app.settings.uploads, limit).await?;
                read.file = Some(Spooled { name, file, sum });
            }
            "from_phone_number" | "from_phone_numbers" | "from_phone_numbers[]" => {
                let text = form::text(field, limit).await?;
                read.from.extend(numbers(&text)?);
            }
            "retry_config" => {
                let text = form::text(field, limit).await?;
                read.retry_config = call_request::retry_config(&text)?;
            }
            _ => drop(form::text(field, limit).await?),
        }
    }
    Ok(read)
}

/// Numbers in any of the spellings: `+1, +2`, `["+1", "+2"]`, `['+1']`.
fn numbers(text: &str) -> Result<Vec<String>, ApiError> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    inner
        .split(',')
        .map(|number| number.trim().trim_matches(['"', '\'']).trim())
        .filter(|number| !form::is_nothing(number))
        .map(|number| match number.parse::<E164>() {
            Ok(number) => Ok(number.to_string()),
            Err(error) => Err(ApiError::field("from_phone_numbers", error.to_string())),
        })
        .collect()
}

/// Writes a part to a file without a name, which goes when it is closed; the file and its sum.
async fn spool(
    mut field: Field<'_>,
    folder: &Path,
    limit: usize,
) -> Result<(tokio::fs::File, Vec<u8>), ApiError> {
    let failed = |error: std::io::Error| ApiError::Unavailable(format!("uploads: {error}"));
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    let folder = folder.to_owned();
    let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(folder)).await;
    let file = file
        .map_err(|error| ApiError::Internal(error.to_string()))?
        .map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 18, tokio::fs::File::from_std(file));
    let mut sum = Sha256::new();
    while let Some(chunk) = (field.chunk().await).map_err(|error| form::broken(&error, limit))? {
        sum.update(&chunk);
        writer.write_all(&chunk).await.map_err(failed)?;
    }
    writer.flush().await.map_err(failed)?;
    let mut file = writer.into_inner();
    file.rewind().await.map_err(failed)?;
    Ok((file, sum.finalize().to_vec()))
}

type Table = Rows<tokio::fs::File>;

/// What the header says.
struct Columns {
    number: usize,
    /// Name of each column; empty = not taken.
    names: Vec<String>,
}

impl Columns {
    async fn read(rows: &mut Table) -> Result<Self, ApiError> {
        let mut header = Row::default();
        if !rows.next(&mut header).await.map_err(unreadable)? {
            return Err(ApiError::field("file", "is empty"));
        }
        let names: Vec<String> = header
            .fields()
            .map(|name| String::from_utf8_lossy(name).trim().to_owned())
            .collect();
        let number = names.iter().position(|name| name == NUMBER);
        let number = number.ok_or_else(|| {
            ApiError::field(
                "file",
                "has no column contact_number; the first line must name the columns, separated by commas",
            )
        })?;
        Ok(Self { number, names })
    }

    fn contact(&self, row: &Row) -> Result<Contact, Reject> {
        let number = String::from_utf8_lossy(row.fields().nth(self.number).unwrap_or_default());
        let reject = |reason: String| Reject {
            line: row.line,
            contact_number: number.trim().chars().take(SHOWN).collect(),
            reason,
        };
        if let Some(fault) = row.fault {
            return Err(reject(fault.to_owned()));
        }
        if row
            .fields()
            .skip(self.names.len())
            .any(|field| !field.is_empty())
        {
            let (has, named) = (row.fields().count(), self.names.len());
            return Err(reject(format!("has {has} fields, the header {named}")));
        }
        if number.trim().is_empty() {
            return Err(reject("contact_number is empty".to_owned()));
        }
        let to: E164 = match number.trim().parse() {
            Ok(to) => to,
            Err(error) => return Err(reject(format!("contact_number {error}"))),
        };
        let mut user_data = Map::new();
        for (name, field) in self.names.iter().zip(row.fields()) {
            if name.is_empty() || name == NUMBER {
                continue;
            }
            let Ok(value) = std::str::from_utf8(field) else {
                return Err(reject(format!("{name} is not UTF-8")));
            };
            // Of columns of the same name the first that is filled counts.
            let known = user_data.get(name).and_then(Value::as_str);
            if known.is_none_or(str::is_empty) {
                user_data.insert(name.clone(), value.into());
            }
        }
        Ok(Contact {
            to: to.to_string(),
            user_data,
        })
    }
}

fn unreadable(error: std::io::Error) -> ApiError {
    ApiError::Unavailable(format!("uploads: {error}"))
}

/// Writes all rows; how many there were.
async fn fill(
    upload: &mut BatchUpload,
    rows: &mut Table,
    columns: &Columns,
) -> Result<i64, ApiError> {
    let (mut contacts, mut rejects) = (Vec::new(), Vec::new());
    let (mut row, mut total, mut valid) = (Row::default(), 0, 0);
    let mut first_reject = None;
    while rows.next(&mut row).await.map_err(unreadable)? {
        total += 1;
        match columns.contact(&row) {
            Ok(contact) => contacts.push(contact),
            Err(reject) => {
                first_reject.get_or_insert_with(|| reject.clone());
                rejects.push(reject);
            }
        }
        if contacts.len() + rejects.len() == CHUNK {
            valid += contacts.len();
            upload.add(&contacts, &rejects, now()).await?;
            contacts.clear();
            rejects.clear();
        }
    }
    valid += contacts.len();
    if valid == 0 {
        let why = match first_reject {
            Some(Reject { line, reason, .. }) => format!("has no valid row; line {line}: {reason}"),
            None => "has no row".to_owned(),
        };
        return Err(ApiError::field("file", why));
    }
    upload.add(&contacts, &rejects, now()).await?;
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_calling_numbers() {
        for text in [
            "+919876543210,+919876543211",
            " +919876543210 , +919876543211 ",
            "[\"+919876543210\", \"+919876543211\"]",
            "['+919876543210','+919876543211']",
            "\"+919876543210,+919876543211\"",
        ] {
            let read = numbers(text).map_err(|error| error.to_string());
            let wanted = ["+919876543210", "+919876543211"].map(str::to_owned);
            assert_eq!(read, Ok(wanted.to_vec()), "{text}");
        }
        assert_eq!(numbers("[]").map_err(|error| error.to_string()), Ok(vec![]));
        assert!(numbers("+1,abc").is_err());
    }
}
