//! Lines that were spoken before, kept as audio: process-wide, bounded by bytes, oldest use first out
//! (R94).

use std::sync::Arc;

use bolo_audio::Format;
use bolo_providers::SynthesizerSpec;
use bytes::Bytes;
use tokio::sync::OnceCell;

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
    /// A cell is empty as long as its line is being rendered.
    clips: moka::sync::Cache<ClipKey, Arc<OnceCell<Bytes>>>,
}

impl Clips {
    /// Holds at most `bytes` of audio.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |key: &ClipKey, cell: &Arc<OnceCell<Bytes>>| {
            let clip = cell.get().map_or(0, Bytes::len);
            (clip + key.text.len() + 256).try_into().unwrap_or(u32::MAX)
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
        let clip = self.clips.get(key).and_then(|cell| cell.get().cloned());
        metrics::counter!(figures::CLIPS, "hit" => if clip.is_some() { "true" } else { "false" })
            .increment(1);
        clip
    }

    /// Whether a clip is there; counts nothing.
    pub(crate) fn has(&self, key: &ClipKey) -> bool {
        self.clips.get(key).is_some_and(|cell| cell.initialized())
    }

    /// Keeps a clip.
    pub(crate) fn put(&self, key: ClipKey, clip: Bytes) {
        if !clip.is_empty() {
            self.clips
                .insert(key, Arc::new(OnceCell::new_with(Some(clip))));
        }
    }

    /// Makes sure that a clip is there. Of calls that want the same line at once one renders it and the
    /// others wait; if that one ends before, the next takes over.
    pub(crate) async fn ensure<E>(
        &self,
        key: ClipKey,
        render: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<(), E> {
        let cell = self.clips.get_with(key.clone(), Arc::default);
        if !cell.initialized() {
            cell.get_or_try_init(|| render).await?;
            // Again, since now it has its weight.
            self.clips.insert(key, cell);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{FutureExt, future::join_all};
    use tokio::sync::Notify;

    use super::*;
    use crate::bench::voice_spec;

    fn key(text: &str) -> ClipKey {
        ClipKey::new("fake", &voice_spec(), text).unwrap()
    }

    #[tokio::test]
    async fn of_calls_that_want_a_line_at_once_one_renders_it() {
        let (clips, rendered) = (Clips::new(1 << 20), AtomicUsize::new(0));
        let want = || {
            clips.ensure(key("One moment."), async {
                tokio::task::yield_now().await;
                rendered.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from_static(b"audio"))
            })
        };
        join_all([want(), want(), want()]).await;
        want().await.unwrap();
        assert_eq!(rendered.into_inner(), 1);
        assert_eq!(clips.get(&key("One moment.")).unwrap(), "audio");
    }

    #[tokio::test]
    async fn a_call_that_ends_while_it_renders_leaves_the_line_to_the_next() {
        let (clips, never) = (Clips::new(1 << 20), Notify::new());
        let stuck = clips.ensure(key("One moment."), async {
            never.notified().await;
            Ok::<_, Infallible>(Bytes::new())
        });
        let mut stuck = Box::pin(stuck);
        assert!((&mut stuck).now_or_never().is_none());
        assert!(!clips.has(&key("One moment.")), "not before it is whole");
        let mut next = Box::pin(clips.ensure(key("One moment."), async {
            Ok::<_, Infallible>(Bytes::from_static(b"audio"))
        }));
        assert!((&mut next).now_or_never().is_none(), "waits its turn");
        drop(stuck);
        next.await.unwrap();
        assert!(clips.has(&key("One moment.")));
    }

    #[test]
    fn the_cache_is_bounded_by_bytes_of_audio() {
        let clips = Clips::new(10_000);
        for number in 0..50 {
            clips.put(key(&format!("line {number}")), vec![0; 1000].into());
        }
        clips.clips.run_pending_tasks();
        assert!((1..=10).contains(&clips.clips.entry_count()));
    }
}
