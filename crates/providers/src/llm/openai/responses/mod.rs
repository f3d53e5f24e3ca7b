//! OpenAI's Responses API, which an agent may prefer to chat completions: there a model that thinks takes tools
//! and an effort together. Nothing is kept at the vendor: each request brings the whole history.
//! Sources: wire-providers.md §3.5; OpenAI's API reference.

mod events;
mod request;

pub(super) use events::Events;
pub(super) use request::body;
