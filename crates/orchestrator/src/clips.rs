//! Lines that were spoken before, kept as audio: process-wide, bounded by bytes, oldest use first out
//! (R94).

use bolo_audio::Format;
use bolo_providers::SynthesizerSpec;
use bytes::Bytes;

use crate::figures;

/// Longer texts are not kept.
const LONGEST_TEXT: usize = 300;

/// Everything that decides how a line sounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClipKey {
    vendor: &'static str,
    model: String,
    voice: String,
    language: String,
    /// Bits of the `f32`, and the vendor's options as JSON text.
    speed: u32,
    options: String,
    format: Format,
    text: String,
}

impl ClipKey {
    /// The key of a line, unless it is too long to keep.
    pub(crate) fn new(vendor: &'static str, spec: &SynthesizerSpec, text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > LONGEST_TEXT {
            return None;
        }
        Some(Self {
            vendor,
            model: spec.model.clone(),
            voice: spec.voice_id.clone(),
            language: spec.language.clone(),
            speed: spec.speed.to_bits(),
            options: serde_json::Value::Object(spec.options.clone()).to_string(),
            format: spec.format,
            text: text.to_owned(),
        })
    }
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clips {
    clips: moka::sync::Cache<ClipKey, Bytes>,
}

impl Clips {
    /// Holds at most `bytes` of audio.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |key: &ClipKey, clip: &Bytes| {
            (clip.len() + key.text.len() + 256)
                .try_into()
                .unwrap_or(u32::MAX)
        };
        Self {
            clips: moka::sync::Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .build(),
        }
    }

    /// A clip, if it is there.
    pub(crate) fn get(&self, key: &ClipKey) -> Option<Bytes> {
        let clip = self.clips.get(key);
        metrics::counter!(figures::CLIPS, "hit" => if clip.is_some() { "true" } else { "false" })
            .increment(1);
        clip
    }

    /// Whether a clip is there; counts nothing.
    pub(crate) fn has(&self, key: &ClipKey) -> bool {
        self.clips.contains_key(key)
    }

    /// Keeps a clip.
    pub(crate) fn put(&self, key: ClipKey, clip: Bytes) {
        if !clip.is_empty() {
            self.clips.insert(key, clip);
        }
    }
}
