//! From recognised characters to the words that were heard.

use std::sync::Arc;

use super::Note;

/// Texts heard one after the other, each with the characters of it that sounded.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
struct Piece {
    text: Arc<str>,
    heard: Vec<bool>,
}

impl Transcript {
    /// Adds what a frame said.
    pub fn add(&mut self, note: &Note) {
        let same = |piece: &&mut Piece| !note.fresh && piece.text == note.text;
        if let Some(piece) = self.pieces.last_mut().filter(same) {
            piece.heard[note.position] = true;
            return;
        }
        let mut heard = vec![false; note.text.chars().count()];
        heard[note.position] = true;
        self.pieces.push(Piece {
            text: note.text.clone(),
            heard,
        });
    }

    /// Whether nothing was heard.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    /// The words of which at least half was heard, in order.
    pub fn words(&self) -> Vec<&str> {
        self.pieces.iter().flat_map(Piece::words).collect()
    }

    /// [`Self::words`] with a space between them.
    pub fn text(&self) -> String {
        self.words().join(" ")
    }

    /// Whether the last text was heard to its last character.
    pub fn is_whole(&self) -> bool {
        self.pieces
            .last()
            .is_some_and(|piece| piece.heard.last().copied().unwrap_or_default())
    }
}

impl Piece {
    fn words(&self) -> impl Iterator<Item = &str> {
        let mut at = 0;
        self.text.split(' ').filter(move |word| {
            let length = word.chars().count();
            let heard = self.heard[at..at + length].iter().filter(|heard| **heard);
            let enough = length > 0 && heard.count() * 2 >= length;
            at += length + 1;
            enough
        })
    }
}
