//! Moonshine, tiny or base: English speech to text. An encoder on raw samples and a decoder that keeps its
//! keys and values between steps; greedy.

use std::{fs, path::Path};

use rten::{Model, NodeId, RunOptions, Value, ValueOrView};
use rten_tensor::{NdTensor, prelude::*};

use super::Failure;

/// The model's rate, Hz.
pub(super) const RATE: u32 = 16_000;
/// Shorter audio gives the encoder nothing to look at.
const SHORTEST: usize = RATE as usize / 10;
const HEADS: usize = 8;
const START: i32 = 1;
const END: i32 = 2;
/// No one speaks more tokens a second; a model that does is repeating itself.
const TOKENS_PER_SECOND: f32 = 6.5;

/// How large a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Tiny,
    Base,
}

impl Size {
    const ALL: [Self; 2] = [Self::Tiny, Self::Base];

    /// As the list of models names it.
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::Tiny => "moonshine-tiny-en",
            Self::Base => "moonshine-base-en",
        }
    }

    /// The one an agent names; tiny, where it names none.
    pub(super) fn named(model: &str) -> Result<Self, String> {
        if model.is_empty() {
            return Ok(Self::Tiny);
        }
        let named = |size: &Self| size.model().eq_ignore_ascii_case(model);
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names = Self::ALL.map(Self::model).join(", ");
            format!("model {model:?} is not one of the local transcriber's: {names}")
        })
    }

    fn layers(self) -> usize {
        match self {
            Self::Tiny => 6,
            Self::Base => 8,
        }
    }

    fn head_size(self) -> usize {
        match self {
            Self::Tiny => 36,
            Self::Base => 52,
        }
    }
}

/// Shared by all threads.
pub(super) struct Moonshine {
    size: Size,
    encoder: Model,
    decoder: Model,
    nodes: Nodes,
    words: Vec<Vec<u8>>,
}

/// Names of the graphs looked up once.
struct Nodes {
    samples: NodeId,
    /// Only the tiny model takes masks.
    samples_mask: Option<NodeId>,
    encoded: NodeId,
    token: NodeId,
    hidden: NodeId,
    hidden_mask: Option<NodeId>,
    use_cache: NodeId,
    logits: NodeId,
    /// Decoder key, decoder value, encoder key, encoder value of each layer.
    past: Vec<NodeId>,
    present: Vec<NodeId>,
}

impl Moonshine {
    pub(super) fn load(models: &bolo_models::Store, size: Size) -> Result<Self, Failure> {
        let path = |file| models.path(size.model(), file).map_err(Failure::from);
        let encoder = load(&path("encoder.onnx")?)?;
        let decoder = load(&path("decoder.onnx")?)?;
        let nodes = Nodes::find(&encoder, &decoder, size).map_err(Failure::model)?;
        let words = vocabulary(&fs::read(path("tokenizer.bin")?).map_err(Failure::model)?);
        Ok(Self {
            size,
            encoder,
            decoder,
            nodes,
            words,
        })
    }

    /// What is said in these samples (-1 to 1, 16 kHz, at most some 20 s). Empty for less than 100 ms.
    /// Must not be given silence or noise: it then answers "You".
    pub(super) fn transcribe(
        &self,
        samples: &[f32],
        options: &RunOptions,
    ) -> Result<String, Failure> {
        if samples.len() < SHORTEST {
            return Ok(String::new());
        }
        let nodes = &self.nodes;
        let input = NdTensor::from_data([1, samples.len()], samples.to_vec());
        let mask = NdTensor::<i32, 2>::full([1, samples.len()], 1);
        let mut inputs: Vec<(NodeId, ValueOrView)> = vec![(nodes.samples, input.view().into())];
        inputs.extend(nodes.samples_mask.map(|node| (node, mask.view().into())));
        let [hidden] = self
            .encoder
            .run_n(inputs, [nodes.encoded], Some(options.clone()))
            .map_err(Failure::model)?;

        let most = (samples.len() as f32 / RATE as f32 * TOKENS_PER_SECOND).ceil() as usize + 1;
        let mut cache: Vec<Value> = (0..self.size.layers() * 4)
            .map(|_| NdTensor::<f32, 4>::zeros([1, HEADS, 0, self.size.head_size()]).into())
            .collect();
        let mut token = START;
        let mut tokens = Vec::with_capacity(most);
        let mut outputs = vec![nodes.logits];
        outputs.extend(&nodes.present);
        for step in 0..most {
            let mut inputs: Vec<(NodeId, ValueOrView)> = Vec::with_capacity(4 + cache.len());
            inputs.push((nodes.token, NdTensor::from_data([1, 1], vec![token]).into()));
            inputs.push((nodes.hidden, (&hidden).into()));
            // At the rate of samples: a mask of the encoder's length fails on long audio.
            inputs.extend(nodes.hidden_mask.map(|node| (node, mask.view().into())));
            let use_cache = NdTensor::from_data([1], vec![i32::from(step > 0)]);
            inputs.push((nodes.use_cache, use_cache.into()));
            inputs.extend(
                nodes
                    .past
                    .iter()
                    .zip(&cache)
                    .map(|(node, value)| (*node, value.into())),
            );
            let mut given = self
                .decoder
                .run(inputs, &outputs, Some(options.clone()))
                .map_err(Failure::model)?
                .into_iter();
            let logits: NdTensor<f32, 3> = given
                .next()
                .ok_or_else(|| Failure::model("no output"))?
                .try_into()
                .map_err(Failure::model)?;
            for (index, value) in given.enumerate() {
                // The encoder's half is computed in the first step only.
                if step == 0 || index % 4 < 2 {
                    cache[index] = value;
                }
            }
            token = best(&logits.to_vec());
            if token == END {
                break;
            }
            tokens.push(token);
        }
        Ok(self.text(&tokens))
    }

    fn text(&self, tokens: &[i32]) -> String {
        let bytes: Vec<u8> = tokens
            .iter()
            .filter_map(|token| self.words.get(usize::try_from(*token).ok()?))
            .flatten()
            .copied()
            .collect();
        mend(
            String::from_utf8_lossy(&bytes)
                .replace('\u{2581}', " ")
                .trim(),
        )
    }
}

impl Nodes {
    fn find(encoder: &Model, decoder: &Model, size: Size) -> Result<Self, rten::RunError> {
        let cached = |prefix: &str| -> Result<Vec<NodeId>, rten::RunError> {
            let mut nodes = Vec::with_capacity(size.layers() * 4);
            for layer in 0..size.layers() {
                for part in [
                    "decoder.key",
                    "decoder.value",
                    "encoder.key",
                    "encoder.value",
                ] {
                    nodes.push(decoder.node_id(&format!("{prefix}.{layer}.{part}"))?);
                }
            }
            Ok(nodes)
        };
        Ok(Self {
            samples: encoder.node_id("input_values")?,
            samples_mask: encoder.find_node("attention_mask"),
            encoded: encoder.node_id("last_hidden_state")?,
            token: decoder.node_id("input_ids")?,
            hidden: decoder.node_id("encoder_hidden_states")?,
            hidden_mask: decoder.find_node("encoder_attention_mask"),
            use_cache: decoder.node_id("use_cache_branch")?,
            logits: decoder.node_id("logits")?,
            past: cached("past_key_values")?,
            present: cached("present")?,
        })
    }
}

/// Spells farewells as everyone does, since a call's end may hang on them: the model, which learnt from
/// old books, writes "good-by" and hears "by" for "bye".
fn mend(text: &str) -> String {
    let mut text = text.to_owned();
    // The longer spelling first: the shorter one is its beginning.
    for (odd, usual) in [
        ("ood-bye", "oodbye"),
        ("ood-by", "oodbye"),
        ("o-morrow", "omorrow"),
        ("o-day", "oday"),
    ] {
        text = text.replace(odd, usual);
    }
    let end = text.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
    let mut backwards = text[..end]
        .rsplit(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase);
    let last = backwards.next().unwrap_or_default();
    let before = backwards.next().unwrap_or_default();
    drop(backwards);
    if last == "by" && BEFORE_BYE.contains(&before.as_str()) {
        text.insert(end, 'e');
    }
    text
}

/// Words after which a last "by" is a farewell; or it stands alone.
const BEFORE_BYE: [&str; 11] = [
    "", "all", "by", "bye", "good", "now", "ok", "okay", "thanks", "then", "you",
];

pub(super) fn load(path: &Path) -> Result<Model, Failure> {
    Model::load_file(path).map_err(|cause| Failure::model(format!("{}: {cause}", path.display())))
}

/// The index of the highest value.
fn best(values: &[f32]) -> i32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, value) in values.iter().enumerate() {
        if *value > best.1 {
            best = (index, *value);
        }
    }
    i32::try_from(best.0).unwrap_or(END)
}

/// For each id a length (one byte, or two when its highest bit is set: second * 128 + the low 7 bits)
/// and so many bytes.
fn vocabulary(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::with_capacity(32_768);
    while let [first, rest @ ..] = bytes {
        let (length, rest) = match (first & 0x80 != 0, rest) {
            (true, [second, rest @ ..]) => {
                (usize::from(*second) * 128 + usize::from(first & 0x7F), rest)
            }
            _ => (usize::from(*first), rest),
        };
        let Some((word, rest)) = rest.split_at_checked(length) else {
            break;
        };
        words.push(word.to_vec());
        bytes = rest;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_one_and_two_bytes_are_read() {
        let mut bytes = vec![1, b'a', 0, 0x80 | 2, 1];
        bytes.extend([b'z'; 130]);
        let words = vocabulary(&bytes);
        assert_eq!(words.len(), 3);
        assert_eq!(
            (words[0].as_slice(), words[1].len(), words[2].len()),
            (&b"a"[..], 0, 130)
        );
        assert_eq!(vocabulary(&[5, b'a']), Vec::<Vec<u8>>::new(), "cut off");
    }

    #[test]
    fn farewells_are_spelt_as_usual() {
        for (heard, meant) in [
            ("Thank you, good-by.", "Thank you, goodbye."),
            ("Good-bye.", "Goodbye."),
            ("That is all by,", "That is all bye,"),
            ("By.", "Bye."),
            ("It goes by", "It goes by"),
            ("By to-morrow.", "By tomorrow."),
            ("A stand-by ticket.", "A stand-by ticket."),
            ("", ""),
        ] {
            assert_eq!(mend(heard), meant);
        }
    }
}
