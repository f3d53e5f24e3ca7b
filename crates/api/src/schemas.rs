//! Shapes of the OpenAPI document that no handler builds as a struct: agents come and go verbatim, and the
//! execution object is rendered by `bolo_execution::view`. A test holds them against what is sent.

#![allow(dead_code, reason = "read by the derives only")]

use std::collections::HashMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// An agent as it is sent.
#[derive(ToSchema)]
pub struct AgentBody {
    agent_config: AgentConfig,
    /// `task_1`, `task_2`, … to their prompts.
    #[schema(example = json!({"task_1": {"system_prompt": "You book appointments."}}))]
    agent_prompts: HashMap<String, AgentPrompt>,
}

/// What an agent is.
#[derive(ToSchema)]
pub struct AgentConfig {
    #[schema(example = "Alfred", pattern = r"\S")]
    agent_name: String,
    /// Spoken first; `{name}` stands for a variable. Empty or absent: the agent waits for the caller.
    #[schema(example = "How are you doing Bruce?")]
    agent_welcome_message: Option<String>,
    /// Gets the execution at each change of its status; an empty one gets nothing.
    #[schema(pattern = r"^\s*(https?://.+)?$")]
    webhook_url: Option<String>,
    /// Which statuses are sent; absent = all.
    webhook_statuses: Option<Vec<ExecutionStatus>>,
    #[schema(default = "other")]
    agent_type: Option<String>,
    /// At least one; the first conversation is what a call runs.
    #[schema(value_type = Vec<Object>, min_items = 1)]
    tasks: Vec<Value>,
    #[schema(value_type = Option<Object>)]
    ingest_source_config: Option<Value>,
    calling_guardrails: Option<CallingGuardrails>,
    telephony_provider: Option<AgentCarrier>,
}

/// Who places an agent's calls; `default` = the first with keys.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
enum AgentCarrier {
    Twilio,
    Plivo,
    Vobiz,
    Exotel,
    SipTrunk,
    Default,
    /// Kept, but not to be run yet.
    Freeswitch,
    /// Kept, but not to be run yet.
    Database,
}

/// Hours of the recipient's day in which calls are placed: `[start, end)`.
#[derive(ToSchema)]
pub struct CallingGuardrails {
    #[schema(minimum = 0, maximum = 23)]
    call_start_hour: u8,
    #[schema(minimum = 0, maximum = 23)]
    call_end_hour: u8,
}

/// A task's prompt.
#[derive(ToSchema)]
pub struct AgentPrompt {
    system_prompt: String,
}

/// Any part of an agent; `null` clears, absent leaves as is.
#[derive(ToSchema)]
pub struct AgentPatch {
    agent_config: Option<AgentConfigPatch>,
    agent_prompts: Option<HashMap<String, AgentPrompt>>,
}

/// The parts of the configuration that can be changed one by one.
#[derive(ToSchema)]
pub struct AgentConfigPatch {
    agent_name: Option<String>,
    agent_welcome_message: Option<String>,
    webhook_url: Option<String>,
    /// Replaces the one of the first conversation task.
    #[schema(value_type = Option<Object>)]
    synthesizer: Option<Value>,
    #[schema(value_type = Option<Object>)]
    ingest_source_config: Option<Value>,
    /// Rewrites provider and format of the conversation's input and output.
    telephony_provider: Option<AgentCarrier>,
    calling_guardrails: Option<CallingGuardrails>,
    agent_type: Option<String>,
    #[schema(value_type = Option<Vec<Object>>)]
    tasks: Option<Vec<Value>>,
}

/// An agent as it is shown: its configuration's keys at the top level, as sent.
#[derive(ToSchema)]
pub struct AgentView {
    id: Uuid,
    agent_id: Uuid,
    agent_name: String,
    agent_type: String,
    #[schema(example = "processed")]
    agent_status: String,
    agent_welcome_message: Option<String>,
    webhook_url: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// Counts from 1, up with each write.
    agent_version: i64,
    #[schema(value_type = Vec<Object>)]
    tasks: Vec<Value>,
    #[schema(value_type = Option<Object>)]
    ingest_source_config: Option<Value>,
    calling_guardrails: Option<CallingGuardrails>,
    agent_prompts: HashMap<String, AgentPrompt>,
    #[schema(value_type = Option<Vec<Object>>)]
    dispositions: Option<Vec<Value>>,
    #[schema(value_type = Option<Vec<Object>>)]
    gpt_assistants: Option<Vec<Value>>,
}

/// One call. Fields that clients read under two names are sent under both.
#[derive(ToSchema)]
#[allow(non_snake_case)]
pub struct ExecutionView {
    id: Uuid,
    execution_id: Uuid,
    agent_id: Uuid,
    /// 32 hex digits.
    batch_id: Option<String>,
    status: ExecutionStatus,
    /// Why it could not be done; names vendor or field.
    error_message: Option<String>,
    /// Seconds between answer and end.
    conversation_duration: Option<f64>,
    /// Seconds between answer and end.
    conversation_time: Option<f64>,
    /// Cents; the sum of `cost_breakdown`.
    total_cost: Option<f64>,
    answered_by_voice_mail: bool,
    /// One line a turn: `assistant: …` or `user: …`.
    transcript: Option<String>,
    recording_url: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    createdAt: String,
    #[schema(format = DateTime)]
    updatedAt: String,
    cost_breakdown: Option<CostBreakdown>,
    usage_breakdown: Option<UsageBreakdown>,
    telephony_data: Option<TelephonyData>,
    #[schema(value_type = Option<Object>)]
    transfer_call_data: Option<Value>,
    #[schema(value_type = Option<Object>)]
    batch_run_details: Option<Value>,
    #[schema(value_type = Option<Object>)]
    extracted_data: Option<Value>,
    /// The variables the call was given, among others.
    #[schema(value_type = Object)]
    context_details: Map<String, Value>,
    /// Milliseconds, by turn and by vendor.
    #[schema(value_type = Option<Object>)]
    latency_data: Option<Map<String, Value>>,
    user_number: String,
    agent_number: String,
    #[schema(format = DateTime)]
    initiated_at: Option<String>,
    summary: Option<String>,
    provider: String,
    extraction_webhook_status: Option<bool>,
    retry_count: i64,
    #[schema(value_type = Option<Object>)]
    retry_config: Option<Value>,
    #[schema(value_type = Vec<Object>)]
    retry_history: Vec<Value>,
}

/// Where a call stands.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum ExecutionStatus {
    Prepared,
    Scheduled,
    Queued,
    Rescheduled,
    Initiated,
    Ringing,
    InProgress,
    CallDisconnected,
    Completed,
    Busy,
    NoAnswer,
    BalanceLow,
    Canceled,
    Failed,
    Stopped,
    Error,
}

/// Cents.
#[derive(ToSchema)]
pub struct CostBreakdown {
    llm: f64,
    network: f64,
    platform: f64,
    synthesizer: f64,
    transcriber: f64,
}

/// What a call used.
#[derive(ToSchema)]
#[allow(non_snake_case)]
pub struct UsageBreakdown {
    synthesizer_characters: u64,
    /// `vendor:model`.
    synthesizer_model: String,
    /// Seconds.
    transcriber_duration: f64,
    /// `vendor:model`.
    transcriber_model: String,
    llm_tokens: u64,
    /// By model: `{"output": 412, "input": 1442}`.
    #[schema(value_type = Object)]
    llm_model: Map<String, Value>,
    synthesizerCharacters: u64,
    synthesizerModel: String,
    transcriberDuration: f64,
    transcriberModel: String,
    llmTokens: u64,
    #[schema(value_type = Object)]
    llmModel: Map<String, Value>,
    /// Who really spoke, fallbacks too, by `vendor:model`: `{"characters": 1245, "cost": 6.8}`.
    #[schema(value_type = Object)]
    synthesizers: Map<String, Value>,
    /// Who really heard, by `vendor:model`: `{"duration": 87, "cost": 0.7}`.
    #[schema(value_type = Object)]
    transcribers: Map<String, Value>,
}

/// What the carrier knows of a call.
#[derive(ToSchema)]
pub struct TelephonyData {
    /// Seconds.
    duration: Option<f64>,
    to_number: Option<String>,
    from_number: Option<String>,
    recording_url: Option<String>,
    hosted_telephony: bool,
    provider_call_id: Option<String>,
    /// `inbound` or `outbound`.
    call_type: String,
    provider: String,
    /// `Caller`, `Callee`, `Carrier`, `Error`, `API Request`, `Plivo`, `Unknown`.
    hangup_by: Option<String>,
    hangup_reason: Option<String>,
    hangup_provider_code: Option<u16>,
    hangup_code: Option<u16>,
    /// Seconds.
    ring_duration: Option<f64>,
    /// Seconds.
    post_dial_delay: Option<f64>,
    to_number_carrier: Option<String>,
}
