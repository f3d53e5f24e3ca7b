//! The trait's side of MiniLM.

use async_trait::async_trait;

use super::{Speech, undone};
use crate::{Embedder, Error};

const ROLE: &str = "embedder";

/// The customer's default threshold, on the reference model's scale, …
const REFERENCE: f32 = 0.85;
/// … and the score of this model at which as many paraphrases fire. Measured on six routes.
const RAW: f32 = 0.50;

pub(super) struct LocalEmbedder {
    pub(super) speech: Speech,
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn name(&self) -> &'static str {
        "all-MiniLM-L6-v2-int8"
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let pool = self.speech.pool(ROLE)?;
        let mut vectors = Vec::with_capacity(texts.len());
        // A job a text, so that a long list doesn't keep a call waiting.
        for text in texts {
            let (speech, text) = (self.speech.clone(), text.clone());
            let vector = pool
                .run(move |worker| speech.minilm()?.embed(&text, &worker.options))
                .await
                .map_err(|why| undone(ROLE, why))?
                .map_err(|failure| failure.of(ROLE))?;
            vectors.push(vector);
        }
        Ok(vectors)
    }

    fn raw_threshold(&self, reference: f32) -> f32 {
        1.0 - (1.0 - reference) * (1.0 - RAW) / (1.0 - REFERENCE)
    }

    fn reference_score(&self, raw: f32) -> f32 {
        1.0 - (1.0 - raw) * (1.0 - REFERENCE) / (1.0 - RAW)
    }
}
