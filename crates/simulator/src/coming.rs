//! What the next connections or requests of a fake vendor meet.

use std::collections::VecDeque;

/// A way to fail that says 429 as the vendor does.
pub(crate) trait TooMany {
    /// It.
    fn too_many() -> Self;
}

/// Faults in turn, and a limit.
#[derive(Debug)]
pub(crate) struct Coming<F> {
    faults: VecDeque<F>,
    /// One request in so many is one too many; 0: none is.
    too_many_every: u64,
    asked: u64,
}

impl<F> Default for Coming<F> {
    fn default() -> Self {
        Self {
            faults: VecDeque::new(),
            too_many_every: 0,
            asked: 0,
        }
    }
}

impl<F> Coming<F> {
    /// These too, one each.
    pub fn add(&mut self, faults: impl IntoIterator<Item = F>) {
        self.faults.extend(faults);
    }

    /// From now on; 0: no limit.
    pub fn rate_limit_every(&mut self, number: u64) {
        (self.too_many_every, self.asked) = (number, 0);
    }

    /// Nothing more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the one that has just come meets.
    pub fn next(&mut self) -> Option<F>
    where
        F: TooMany,
    {
        self.asked += 1;
        let every = self.too_many_every;
        let is_over = every > 0 && self.asked.is_multiple_of(every);
        let fault = self.faults.pop_front();
        fault.or_else(|| is_over.then(F::too_many))
    }
}
