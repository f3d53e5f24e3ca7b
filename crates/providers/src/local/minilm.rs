//! all-MiniLM-L6-v2, int8: sentences to vectors of 384 numbers and unit length.

use rten::{ModelOptions, NodeId, RunOptions};
use rten_tensor::{NdTensor, prelude::*};
use tokenizers::{Tokenizer, TruncationParams};

use super::Failure;

/// What the model was trained to look at; longer texts are cut.
const LONGEST: usize = 256;

/// Shared by all threads.
pub(super) struct MiniLm {
    model: rten::Model,
    tokens: NodeId,
    mask: NodeId,
    kinds: NodeId,
    hidden: NodeId,
    tokenizer: Tokenizer,
}

impl MiniLm {
    pub(super) fn load(models: &bolo_models::Store) -> Result<Self, Failure> {
        let path = models.path("minilm", "model_int8.onnx")?;
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load_file(&path)
            .map_err(|cause| Failure::model(format!("{}: {cause}", path.display())))?;
        let mut tokenizer = Tokenizer::from_file(models.path("minilm", "tokenizer.json")?)
            .map_err(Failure::model)?;
        tokenizer
            .with_padding(None)
            .with_truncation(Some(TruncationParams {
                max_length: LONGEST,
                ..Default::default()
            }))
            .map_err(Failure::model)?;
        let node = |name| model.node_id(name).map_err(Failure::model);
        Ok(Self {
            tokens: node("input_ids")?,
            mask: node("attention_mask")?,
            kinds: node("token_type_ids")?,
            hidden: node("last_hidden_state")?,
            model,
            tokenizer,
        })
    }

    /// The mean of the tokens' vectors, of unit length.
    pub(super) fn embed(&self, text: &str, options: &RunOptions) -> Result<Vec<f32>, Failure> {
        let encoded = self.tokenizer.encode(text, true).map_err(Failure::model)?;
        let ids: Vec<i32> = encoded.get_ids().iter().map(|id| *id as i32).collect();
        let count = ids.len();
        let ids = NdTensor::from_data([1, count], ids);
        let mask = NdTensor::<i32, 2>::full([1, count], 1);
        let kinds = NdTensor::<i32, 2>::zeros([1, count]);
        let inputs = vec![
            (self.tokens, ids.view().into()),
            (self.mask, mask.view().into()),
            (self.kinds, kinds.view().into()),
        ];
        let [hidden] = self
            .model
            .run_n(inputs, [self.hidden], Some(options.clone()))
            .map_err(Failure::model)?;
        let hidden: NdTensor<f32, 3> = hidden.try_into().map_err(Failure::model)?;
        let [_, rows, width] = hidden.shape();
        let mut sum = vec![0.0_f32; width];
        for row in hidden.to_vec().chunks_exact(width.max(1)).take(rows) {
            for (total, value) in sum.iter_mut().zip(row) {
                *total += value;
            }
        }
        let length = sum
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt()
            .max(f32::MIN_POSITIVE);
        sum.iter_mut().for_each(|value| *value /= length);
        Ok(sum)
    }
}
