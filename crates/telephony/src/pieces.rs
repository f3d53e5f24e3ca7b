//! Cuts audio into the pieces that a carrier can play without gaps.

use bytes::Bytes;

/// Holds back what does not fill a piece yet. The pieces may be any multiple of `unit`, at least `least` long,
/// the last one too, which is filled up with silence.
pub(crate) struct Pieces {
    unit: usize,
    least: usize,
    silence: u8,
    held: Vec<u8>,
}

impl Pieces {
    pub(crate) fn new(unit: usize, least: usize, silence: u8) -> Self {
        Self {
            unit,
            least,
            silence,
            held: Vec::new(),
        }
    }

    /// What can be played now.
    pub(crate) fn push(&mut self, audio: &Bytes) -> Option<Bytes> {
        if self.held.is_empty()
            && audio.len() >= self.least
            && audio.len().is_multiple_of(self.unit)
        {
            return Some(audio.clone());
        }
        self.held.extend_from_slice(audio);
        let whole = self.held.len() - self.held.len() % self.unit;
        if whole < self.least || whole == 0 {
            return None;
        }
        let rest = self.held.split_off(whole);
        Some(std::mem::replace(&mut self.held, rest).into())
    }

    /// Whether all that was pushed has left.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The rest, where nothing follows or a mark must.
    pub(crate) fn flush(&mut self) -> Option<Bytes> {
        if self.held.is_empty() {
            return None;
        }
        let whole = self.held.len().next_multiple_of(self.unit);
        let whole = whole.max(self.least);
        let mut rest = std::mem::take(&mut self.held);
        rest.resize(whole, self.silence);
        Some(rest.into())
    }

    /// Drops what was held back.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pieces_leave() {
        let mut pieces = Pieces::new(4, 8, 0);
        let audio = Bytes::from_static(&[1; 16]);
        assert_eq!(pieces.push(&audio.slice(..6)), None);
        assert_eq!(
            pieces.push(&audio.slice(..5)).map(|piece| piece.len()),
            Some(8)
        );
        assert!(!pieces.is_empty());
        let last = [1, 1, 1, 0, 0, 0, 0, 0];
        assert_eq!(pieces.flush().as_deref(), Some(&last[..]));
        assert!(pieces.is_empty());
        assert_eq!(pieces.flush(), None);
        assert_eq!(pieces.push(&audio).map(|piece| piece.len()), Some(16));
        assert_eq!(pieces.push(&audio.slice(..3)), None);
        pieces.clear();
        assert_eq!(pieces.flush(), None);
    }
}
