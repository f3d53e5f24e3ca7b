//! Sentence embeddings.

use async_trait::async_trait;

use crate::Error;

/// A model that turns sentences into vectors of unit length.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Its model's name, for the log.
    fn name(&self) -> &'static str;

    /// One vector a text, in order.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error>;

    /// A threshold on the reference scale (snowflake-arctic-embed-m) as this model's raw score
    /// (dependencies.md §1.5: for MiniLM 0.85 → 0.50, 1 → 1, linear).
    fn raw_threshold(&self, reference: f32) -> f32;

    /// The inverse: this model's raw score on the reference scale, for the log.
    fn reference_score(&self, raw: f32) -> f32;
}
