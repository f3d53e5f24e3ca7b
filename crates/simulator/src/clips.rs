//! The spoken caller clips that come with the crate (`callers/`, see its README): 8 kHz mu-law.

use crate::wav;

static CLIPS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/clips.rs"));

/// A clip's mu-law audio by file name, with or without `.wav`; `turn03` takes the first voice.
/// `None` if there is no such clip.
pub fn clip(name: &str) -> Option<Vec<u8>> {
    let (_, file) = CLIPS.iter().find(|(file, _)| {
        let stem = file.trim_end_matches(".wav");
        let kind = stem.split('-').next().unwrap_or_default();
        [*file, stem, kind].contains(&name)
    })?;
    wav::to_mulaw(file).ok()
}

/// File names of all clips, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    CLIPS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_clip_reads() {
        assert!(names().count() > 150);
        for name in names() {
            assert!(clip(name).unwrap().len() > 2000, "{name}");
        }
        assert_eq!(clip("turn03"), clip("turn03-am_fenrir.wav"));
        assert_eq!(clip("nobody"), None);
    }
}
