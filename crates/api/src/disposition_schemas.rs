//! Shapes of dispositions for the OpenAPI document: they come and go as the JSON that they are.

#![allow(dead_code, reason = "read by the derives only")]

use utoipa::ToSchema;
use uuid::Uuid;

/// A question about each call. At least one of `is_subjective` and `is_objective` is true.
#[derive(ToSchema)]
pub struct DispositionBody {
    #[schema(example = "Call Outcome", pattern = r"\S")]
    name: String,
    #[schema(example = "What was the final outcome of this call?", pattern = r"\S")]
    question: String,
    /// What the model is told before.
    system_prompt: Option<String>,
    /// Groups results.
    #[schema(default = "General")]
    category: Option<String>,
    #[schema(default = "gpt-4.1-mini")]
    model: Option<String>,
    /// Free text is wanted.
    #[schema(default = false)]
    is_subjective: Option<bool>,
    /// One of `objective_options` is wanted.
    #[schema(default = false)]
    is_objective: Option<bool>,
    subjective_type: Option<SubjectiveType>,
    subjective_type_config: Option<SubjectiveTypeConfig>,
    objective_options: Option<Vec<ObjectiveOption>>,
    /// The agent that asks it.
    agent_id: Option<Uuid>,
    /// The agents that ask it.
    agent_ids: Option<Vec<Uuid>>,
}

/// What to change; absent leaves as is.
#[derive(ToSchema)]
pub struct DispositionChangeBody {
    /// Changes it for this agent only.
    agent_id: Option<Uuid>,
    #[schema(value_type = String, required = false, pattern = r"\S")]
    name: Option<String>,
    #[schema(value_type = String, required = false, pattern = r"\S")]
    question: Option<String>,
    system_prompt: Option<String>,
    category: Option<String>,
    model: Option<String>,
    is_subjective: Option<bool>,
    is_objective: Option<bool>,
    subjective_type: Option<SubjectiveType>,
    subjective_type_config: Option<SubjectiveTypeConfig>,
    objective_options: Option<Vec<ObjectiveOption>>,
}

/// A disposition as it is kept.
#[derive(ToSchema)]
pub struct DispositionView {
    id: Uuid,
    name: String,
    question: String,
    system_prompt: Option<String>,
    category: String,
    model: String,
    is_subjective: bool,
    is_objective: bool,
    subjective_type: Option<SubjectiveType>,
    subjective_type_config: Option<SubjectiveTypeConfig>,
    objective_options: Option<Vec<ObjectiveOption>>,
    /// The agents that ask it.
    agent_ids: Vec<Uuid>,
    /// The account.
    created_by: Uuid,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// What a free text must be; absent = anything.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum SubjectiveType {
    Text,
    Timestamp,
    Numeric,
    Boolean,
    Email,
    Regex,
}

/// For `regex`.
#[derive(ToSchema)]
pub struct SubjectiveTypeConfig {
    #[schema(example = "^\\d{10}$", pattern = r"\S")]
    pattern: String,
    #[schema(example = "10-digit phone number")]
    description: Option<String>,
}

/// A value to choose, and when.
#[derive(ToSchema)]
pub struct ObjectiveOption {
    #[schema(example = "interested", pattern = r"\S")]
    value: String,
    #[schema(example = "Agreed to a next step", pattern = r"\S")]
    condition: String,
    /// Finer ones.
    #[schema(no_recursion)]
    sub_options: Option<Vec<ObjectiveOption>>,
}
