//! A neural voice: a Piper model (VITS) that makes sound of the symbols of speech. English only, since only
//! English text can be turned into symbols here without a GPL'd program.

mod letters;
mod sounds;
mod spoken;

use std::{collections::HashMap, fs};

use rten::{Model, NodeId, RunOptions};
use rten_tensor::{NdTensor, prelude::*};
use serde::Deserialize;

use super::{Failure, moonshine::load};
pub(super) use sounds::Sounds;
pub(super) use spoken::parts;

/// Slower or faster is not understood any more.
const SPEED: std::ops::RangeInclusive<f32> = 0.5..=2.5;
/// The loudest sample, of 1.
const PEAK: f32 = 0.9;
/// Symbols that stand for the begin, the end, and between all others.
const BEGIN: char = '^';
const END: char = '$';
const BETWEEN: char = '_';

/// Shared by all threads.
pub(super) struct Neural {
    model: Model,
    symbols: NodeId,
    length: NodeId,
    scales: NodeId,
    sound: NodeId,
    ids: HashMap<char, i32>,
    inference: Inference,
    /// Hz.
    pub(super) rate: u32,
}

/// What stands beside a Piper model.
#[derive(Deserialize)]
struct Config {
    audio: Audio,
    inference: Inference,
    phoneme_id_map: HashMap<char, Vec<i32>>,
}

#[derive(Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Deserialize)]
struct Inference {
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
}

impl Neural {
    /// Loads the voice of this name.
    pub(super) fn load(models: &bolo_models::Store, voice: &str) -> Result<Self, Failure> {
        let config = fs::read(models.path(voice, "voice.json")?).map_err(Failure::model)?;
        let config: Config = serde_json::from_slice(&config).map_err(Failure::model)?;
        let model = load(&models.path(voice, "voice.onnx")?)?;
        let node = |name| model.node_id(name).map_err(Failure::model);
        let ids = config.phoneme_id_map.into_iter();
        Ok(Self {
            symbols: node("input")?,
            length: node("input_lengths")?,
            scales: node("scales")?,
            sound: node("output")?,
            ids: ids
                .filter_map(|(symbol, ids)| Some((symbol, *ids.first()?)))
                .collect(),
            inference: config.inference,
            rate: config.audio.sample_rate,
            model,
        })
    }

    /// The sound of one of [`parts`]'s parts at `speed` (1 = as recorded), whole.
    pub(super) fn speak(
        &self,
        sounds: &Sounds,
        text: &str,
        speed: f32,
        options: &RunOptions,
    ) -> Result<Vec<i16>, Failure> {
        let ids = self.ids(&sounds.of(text)?);
        let count = ids.len();
        let speed = match speed.is_finite() {
            true => speed.clamp(*SPEED.start(), *SPEED.end()),
            false => 1.0,
        };
        let Inference {
            noise_scale,
            length_scale,
            noise_w,
        } = self.inference;
        let scales = vec![noise_scale, length_scale / speed, noise_w];
        let [sound] = self
            .model
            .run_n(
                vec![
                    (self.symbols, NdTensor::from_data([1, count], ids).into()),
                    (
                        self.length,
                        NdTensor::from_data([1], vec![i32::try_from(count).unwrap_or(i32::MAX)])
                            .into(),
                    ),
                    (self.scales, NdTensor::from_data([3], scales).into()),
                ],
                [self.sound],
                Some(options.clone()),
            )
            .map_err(Failure::model)?;
        let sound: NdTensor<f32, 4> = sound.try_into().map_err(Failure::model)?;
        Ok(levelled(&sound.to_vec()))
    }

    /// What the model reads; symbols that it does not know are left out.
    fn ids(&self, symbols: &str) -> Vec<i32> {
        let id = |symbol| self.ids.get(&symbol).copied();
        let between = id(BETWEEN);
        let mut ids: Vec<i32> = id(BEGIN).into_iter().chain(between).collect();
        for known in symbols.chars().filter_map(id) {
            ids.push(known);
            ids.extend(between);
        }
        ids.extend(id(END));
        ids
    }
}

/// As loud as all others: what the model makes differs from part to part.
fn levelled(sound: &[f32]) -> Vec<i16> {
    let loudest = sound.iter().fold(0.01_f32, |peak, s| peak.max(s.abs()));
    let gain = PEAK / loudest * f32::from(i16::MAX);
    sound.iter().map(|sample| (sample * gain) as i16).collect()
}
