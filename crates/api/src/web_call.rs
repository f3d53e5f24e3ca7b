//! Calls from a browser: `POST /web-call/session` mints an address that opens once, and the browser's socket
//! speaks to an agent without a carrier. Sources: api.md §20, wire-telephony.md §4.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{
        FromRequestParts, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    http::request::Parts,
    response::Response,
    routing::get,
};
use bolo_agent::{Agent, Faults, Outline};
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

/// Why a socket is closed at once.
#[derive(Debug)]
struct Refusal {
    code: u16,
    reason: String,
}

impl Refusal {
    fn new(code: u16, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
        }
    }

    fn bad_token() -> Self {
        Self::new(4401, "bad token")
    }

    fn unknown_agent() -> Self {
        Self::new(4404, "unknown agent")
    }

    /// What is to be mended in it.
    fn agent_does_not_run(faults: &Faults) -> Self {
        Self::new(4400, &format!("the agent does not run: {faults}"))
    }

    /// Nothing that the browser could mend.
    fn ours() -> Self {
        Self::new(close_code::ERROR, "try again later")
    }
}

/// A WebSocket's close holds no longer reason.
const MOST_REASON: usize = 123;

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
    /// By a key in the header or the address, or by a minted address.
    async fn admit(parts: &mut Parts, app: &App) -> Result<Result<Self, Refusal>, ApiError> {
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
                _ => return Ok(Err(Refusal::unknown_agent())),
            },
            None => match app.store.authenticate(token).await? {
                Some(holder) => (holder.account, ExecutionId::new(), Map::new()),
                None => return Ok(Err(Refusal::bad_token())),
            },
        };
        let Ok(Id(agent)) = asked else {
            return Ok(Err(Refusal::unknown_agent()));
        };
        match app.store.agent(account, agent).await {
            Ok(agent) => Ok(Ok(Self {
                account,
                run,
                user_data,
                agent,
            })),
            Err(bolo_store::Error::NotFound) => Ok(Err(Refusal::unknown_agent())),
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
    visitor: Result<Visitor, Refusal>,
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
                    let call = call(&app, visitor, socket, &dialect);
                    call.instrument(span).await;
                }
                Err(refusal) => close(&mut socket, &refusal).await,
            }))
    }
}

/// One call, from its greeting to its end.
async fn call(app: &App, visitor: Visitor, mut socket: WebSocket, dialect: &Dialect) {
    match begin(app, visitor, &mut socket, dialect).await {
        Ok(Some(Begun { run, wire, first })) => {
            let (wire, first) = (Box::new(wire), first.as_deref());
            app.calls
                .attach_begun(run, socket, wire, Browser::FORMAT, first)
                .await;
        }
        Ok(None) => {}
        Err(refusal) => close(&mut socket, &refusal).await,
    }
}

async fn close(socket: &mut WebSocket, refusal: &Refusal) {
    let end = refusal.reason.floor_char_boundary(MOST_REASON);
    let frame = CloseFrame {
        code: refusal.code,
        reason: refusal.reason[..end].into(),
    };
    // A browser that is gone needs no goodbye.
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// A call that may begin.
struct Begun {
    run: ExecutionId,
    wire: Browser,
    /// What the browser said before.
    first: Option<Utf8Bytes>,
}

/// Up to its record; `None` when the browser is gone.
async fn begin(
    app: &App,
    visitor: Visitor,
    socket: &mut WebSocket,
    dialect: &Dialect,
) -> Result<Option<Begun>, Refusal> {
    let ours = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a browser's call did not begin");
        Refusal::ours()
    };
    Agent::parse(&visitor.agent.body).map_err(|faults| Refusal::agent_does_not_run(&faults))?;
    let wire = Browser::new(dialect.as_wav).map_err(|error| ours(&error))?;
    let Some(Greeting { told, first }) = greeting(socket, dialect.greeting).await else {
        return Ok(None);
    };
    let mut user_data = visitor.user_data;
    user_data.extend(told);
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
    let run = visitor.run;
    match app.store.create_execution_as(run, new, now()).await {
        Ok(_) => Ok(Some(Begun { run, wire, first })),
        // A minted address opens once.
        Err(bolo_store::Error::Conflict(_)) => Err(Refusal::bad_token()),
        Err(error) => Err(ours(&error)),
    }
}

/// What a browser says first.
#[derive(Default)]
struct Greeting {
    /// The variables it brings.
    told: Map<String, Value>,
    /// Its first message, if that was no greeting.
    first: Option<Utf8Bytes>,
}

/// Answers the browser's `init`. `None` when the browser is gone.
async fn greeting(socket: &mut WebSocket, limit: Duration) -> Option<Greeting> {
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
        Err(_) => return Some(Greeting::default()), // silent: it begins all the same
        Ok(text) => text?,
    };
    let message: Value = serde_json::from_str(&text).unwrap_or_default();
    if message["type"] != "init" {
        return Some(Greeting {
            first: Some(text),
            ..Greeting::default()
        });
    }
    let ack = json!({ "type": "ack" }).to_string();
    socket.send(Message::Text(ack.into())).await.ok()?;
    let told = message.pointer("/meta_data/context_data");
    let told = told.and_then(Value::as_object).cloned();
    Some(Greeting {
        told: told.unwrap_or_default(),
        first: None,
    })
}
