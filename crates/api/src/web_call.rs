//! Calls from a browser: `POST /web-call/session` mints an address that opens once, and the browser's socket
//! speaks to an agent without a carrier. Sources: api.md §20, wire-telephony.md §4.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{
        FromRequestParts, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::request::Parts,
    response::Response,
    routing::get,
};
use bolo_agent::{Agent, Outline};
use bolo_execution::{AccountId, AgentId, Direction, ExecutionId, Status};
use bolo_store::{NewExecution, StoredAgent};
use bolo_telephony::Browser;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tracing::Instrument;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    calls::webhook_of,
    error::{ApiError, OrNotFound, Problems, TooLarge},
    extract::{Caller, Id, JsonBody, Params, PathId, bearer},
    links,
    time::now,
};

/// A minted address opens within this.
const OPENS_FOR_S: i64 = 120;
/// It stands in the address.
const MOST_USER_DATA: usize = 4096;
/// A browser that says nothing begins after this.
const SILENT: Duration = Duration::from_millis(500);
/// The old library sends no audio before its greeting is answered.
const GREETING: Duration = Duration::from_secs(10);
/// What it may send before.
const MAX_MESSAGE: usize = 1 << 20;

const BAD_TOKEN: u16 = 4401;
const UNKNOWN_AGENT: u16 = 4404;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(mint))
        .route("/web-call/freeswitch-session", axum::routing::post(mint))
}

/// Sockets of browsers.
pub fn sockets() -> Router<App> {
    Router::new()
        .route("/chat/v1/{agent_id}", get(chat))
        .route("/web-call/v1/{agent_id}", get(web_call))
}

/// Who shall be called.
#[derive(Deserialize, ToSchema)]
pub struct Wanted {
    #[schema(value_type = uuid::Uuid)]
    agent_id: String,
    /// Dynamic variables.
    #[schema(value_type = Option<Object>)]
    user_data: Option<Map<String, Value>>,
}

/// A call that a browser may make, once.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// The call: its execution has this id.
    #[schema(format = Uuid)]
    run_id: String,
    #[schema(format = Uuid)]
    agent_id: String,
    /// `null`: the browser speaks to `wss_url` in JSON, not SIP.
    sip_username: Option<String>,
    sip_password: Option<String>,
    sip_domain: Option<String>,
    sip_register: bool,
    /// The browser's socket; opens once.
    #[schema(
        example = "wss://bolo.example.com/web-call/v1/3c90c3cc-0d44-4b50-8888-8dd25736052a?auth_token=…"
    )]
    wss_url: String,
    /// Seconds.
    #[schema(example = 120)]
    expires_in: i64,
    #[schema(value_type = Vec<Object>)]
    ice_servers: Vec<Value>,
}

/// What a minted address says.
#[derive(Serialize, Deserialize)]
struct Ticket {
    run: ExecutionId,
    account: AccountId,
    agent: AgentId,
    expires: i64,
    user_data: Map<String, Value>,
}

/// Mints an address for one call from a browser.
///
/// Give it to the page instead of a key. The page speaks to it in JSON. A page that wants SIP, as the hosted
/// service's own library does, finds no `sip_username` and says so before it opens anything; the answer is 200
/// all the same, because the address in it opens a call. Also as `POST /web-call/freeswitch-session`.
#[utoipa::path(post, path = "/web-call/session", tag = "Web calls", request_body = Wanted,
    responses((status = 200, description = "The call may be made", body = Session), Problems, TooLarge))]
async fn mint(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Json<Session>, ApiError> {
    let agent = wanted
        .agent_id
        .parse()
        .map_err(|_| ApiError::NotFound(AgentId::NAME))?;
    app.store
        .agent(caller.account, agent)
        .await
        .or_not_found(AgentId::NAME)?;
    let ticket = Ticket {
        run: ExecutionId::new(),
        account: caller.account,
        agent,
        expires: now() / 1000 + OPENS_FOR_S,
        user_data: wanted.user_data.unwrap_or_default(),
    };
    let payload = serde_json::to_vec(&ticket)
        .map_err(|error| ApiError::Internal(format!("a ticket: {error}")))?;
    if payload.len() > MOST_USER_DATA {
        let fault = format!("must not be larger than {MOST_USER_DATA} bytes");
        return Err(ApiError::field("user_data", fault));
    }
    let token = links::ticket(&app.callbacks, &payload, ticket.run, ticket.expires);
    let base = app.callbacks.public_url().replacen("http", "ws", 1);
    Ok(Json(Session {
        run_id: ticket.run.to_string(),
        agent_id: agent.to_string(),
        sip_username: None,
        sip_password: None,
        sip_domain: None,
        sip_register: false,
        wss_url: format!("{base}/web-call/v1/{agent}?auth_token={token}"),
        expires_in: OPENS_FOR_S,
        ice_servers: Vec::new(),
    }))
}

/// Who opens a browser's socket.
struct Visitor {
    account: AccountId,
    run: ExecutionId,
    user_data: Map<String, Value>,
    agent: StoredAgent,
}

impl Visitor {
    /// By a key in the header or the address, or by a minted address; the code to close with otherwise.
    async fn admit(parts: &mut Parts, app: &App) -> Result<Result<Self, u16>, ApiError> {
        let Ok(params) = Params::from_request_parts(parts, app).await;
        let asked = Id::<AgentId>::from_request_parts(parts, app).await;
        let token = bearer(parts)
            .or(params.get(&["auth_token"]).map(|(_, token)| token))
            .unwrap_or_default();
        let (account, run, user_data) = match ticket(app, token) {
            Some(ticket) => match &asked {
                Ok(Id(agent)) if *agent == ticket.agent => {
                    (ticket.account, ticket.run, ticket.user_data)
                }
                _ => return Ok(Err(UNKNOWN_AGENT)),
            },
            None => match app.store.authenticate(token).await? {
                Some(holder) => (holder.account, ExecutionId::new(), Map::new()),
                None => return Ok(Err(BAD_TOKEN)),
            },
        };
        let Ok(Id(agent)) = asked else {
            return Ok(Err(UNKNOWN_AGENT));
        };
        match app.store.agent(account, agent).await {
            Ok(agent) => Ok(Ok(Self {
                account,
                run,
                user_data,
                agent,
            })),
            Err(bolo_store::Error::NotFound) => Ok(Err(UNKNOWN_AGENT)),
            Err(other) => Err(other.into()),
        }
    }
}

fn ticket(app: &App, token: &str) -> Option<Ticket> {
    let (text, mac) = token.split_once('.')?;
    let ticket: Ticket = serde_json::from_slice(&links::read_ticket(text)?).ok()?;
    let ours = links::ticket_fits(&app.callbacks, text, mac, ticket.run, ticket.expires);
    (ours && ticket.expires >= now() / 1000).then_some(ticket)
}

async fn chat(State(app): State<App>, socket: Opening) -> Result<Response, ApiError> {
    socket.begin(
        app,
        Dialect {
            provider: "websocket",
            greeting: SILENT,
            as_wav: false,
        },
    )
}

async fn web_call(State(app): State<App>, socket: Opening) -> Result<Response, ApiError> {
    socket.begin(
        app,
        Dialect {
            provider: "web-call",
            greeting: GREETING,
            as_wav: true,
        },
    )
}

/// What differs between the two addresses.
struct Dialect {
    provider: &'static str,
    /// How long the browser's greeting is waited for.
    greeting: Duration,
    as_wav: bool,
}

/// A browser at the door.
struct Opening {
    visitor: Result<Visitor, u16>,
    upgrade: WebSocketUpgrade,
}

impl FromRequestParts<App> for Opening {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, app)
            .await
            .map_err(|_| ApiError::field("", "this address takes WebSockets"))?;
        let visitor = Visitor::admit(parts, app).await?;
        Ok(Self { visitor, upgrade })
    }
}

impl Opening {
    fn begin(self, app: App, dialect: Dialect) -> Result<Response, ApiError> {
        let Self { visitor, upgrade } = self;
        Ok(upgrade
            .write_buffer_size(0)
            .max_message_size(MAX_MESSAGE)
            .max_frame_size(MAX_MESSAGE)
            .on_upgrade(async move |mut socket| match visitor {
                Ok(visitor) => {
                    let id = visitor.run;
                    let span = tracing::info_span!(parent: None, "call", execution_id = %id);
                    let call = call(&app, visitor, socket, &dialect).instrument(span);
                    if let Err(error) = call.await {
                        tracing::error!(execution_id = %id, %error, "a browser's call did not begin");
                    }
                }
                Err(code) => close(&mut socket, code).await,
            }))
    }
}

async fn close(socket: &mut WebSocket, code: u16) {
    let reason = match code {
        BAD_TOKEN => "bad token",
        UNKNOWN_AGENT => "unknown agent",
        _ => "try again",
    };
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // A browser that is gone needs no goodbye.
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// One call, from its greeting to its end.
async fn call(
    app: &App,
    visitor: Visitor,
    mut socket: WebSocket,
    dialect: &Dialect,
) -> Result<(), ApiError> {
    let Some(told) = greeting(&mut socket, dialect.greeting).await else {
        return Ok(());
    };
    let mut user_data = visitor.user_data;
    user_data.extend(told);
    Agent::parse(&visitor.agent.body)?;
    let new = NewExecution {
        account: visitor.account,
        agent: visitor.agent.id,
        agent_version: visitor.agent.version,
        direction: Direction::Inbound,
        provider: dialect.provider.to_owned(),
        to: String::new(),
        from: String::new(),
        status: Status::Initiated,
        due_at: now(),
        user_data,
        voice_id: None,
        retry_config: None,
        bypass_guardrails: false,
        carrier_call_id: None,
        webhook: webhook_of(&Outline::read(&visitor.agent.body)),
        error_message: None,
    };
    match app.store.create_execution_as(visitor.run, new, now()).await {
        Ok(_) => {}
        // A minted address opens once.
        Err(bolo_store::Error::Conflict(_)) => {
            close(&mut socket, BAD_TOKEN).await;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let wire =
        Browser::new(dialect.as_wav).map_err(|error| ApiError::Internal(error.to_string()))?;
    app.calls
        .attach_begun(visitor.run, socket, Box::new(wire), Browser::FORMAT)
        .await;
    Ok(())
}

/// Answers the browser's `init`; the variables it brings. `None` when the browser is gone.
async fn greeting(socket: &mut WebSocket, limit: Duration) -> Option<Map<String, Value>> {
    let first = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    };
    let text = match tokio::time::timeout(limit, first).await {
        Err(_) => return Some(Map::new()), // silent: it begins all the same
        Ok(text) => text?,
    };
    let message: Value = serde_json::from_str(&text).unwrap_or_default();
    if message["type"] != "init" {
        return Some(Map::new());
    }
    let ack = json!({ "type": "ack" }).to_string();
    socket.send(Message::Text(ack.into())).await.ok()?;
    let told = message.pointer("/meta_data/context_data");
    Some(told.and_then(Value::as_object).cloned().unwrap_or_default())
}
