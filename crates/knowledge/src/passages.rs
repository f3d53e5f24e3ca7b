//! The nearest of many vectors, by looking at all of them: exact, and fast enough up to some 100,000.

/// Vectors of one length, one beside the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorIndex {
    dimensions: usize,
    /// Of unit length each.
    rows: Vec<f32>,
}

/// A vector near the one asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// Which, in the order in which they were put in.
    pub row: usize,
    /// Cosine.
    pub score: f32,
}

/// The vector is empty, not made of numbers, or of another length than those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a vector is empty, not finite or of another length than the first")
    }
}

impl std::error::Error for Unfit {}

impl VectorIndex {
    /// Adds a vector of any length above zero; the first one tells how many dimensions all have.
    pub fn push(&mut self, vector: &[f32]) -> Result<(), Unfit> {
        if self.rows.is_empty() {
            self.dimensions = vector.len();
        }
        let length = length(vector);
        if vector.len() != self.dimensions || !length.is_finite() || length == 0.0 {
            return Err(Unfit);
        }
        self.rows.extend(vector.iter().map(|value| value / length));
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len().checked_div(self.dimensions).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that the vectors take.
    pub fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice())
    }

    /// At most `count`, the nearest first, none below `least`; the first put in of equals.
    pub fn nearest(&self, vector: &[f32], count: usize, least: f32) -> Vec<Near> {
        let length = length(vector);
        if vector.len() != self.dimensions || !length.is_finite() || length == 0.0 || count == 0 {
            return Vec::new();
        }
        let mut best: Vec<Near> = Vec::with_capacity(count + 1);
        for (row, values) in self.rows.chunks_exact(self.dimensions).enumerate() {
            let score = dot(values, vector) / length;
            let worst = match best.len() < count {
                true => least,
                // Only a better one takes the place of the last.
                false => best.last().map_or(least, |near| near.score.next_up()),
            };
            if score >= worst {
                let at = best.partition_point(|near| near.score >= score);
                best.insert(at, Near { row, score });
                best.truncate(count);
            }
        }
        best
    }
}

/// In eight sums, so that the processor adds eight at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn length(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn index(vectors: &[&[f32]]) -> VectorIndex {
        let mut index = VectorIndex::default();
        for vector in vectors {
            index.push(vector).unwrap();
        }
        index
    }

    #[test]
    fn the_nearest_come_first_and_far_ones_not_at_all() {
        let index = index(&[&[1.0, 0.0], &[0.0, 3.0], &[2.0, 2.0], &[-1.0, 0.0]]);
        let found = index.nearest(&[10.0, 1.0], 10, 0.05);
        let rows: Vec<usize> = found.iter().map(|near| near.row).collect();
        assert_eq!(rows, [0, 2, 1]);
        assert!((found[0].score - 0.995).abs() < 0.001);
        assert_eq!(index.nearest(&[10.0, 1.0], 2, -1.0).len(), 2);
        assert!(index.nearest(&[10.0, 1.0], 0, -1.0).is_empty());
        assert_eq!((index.len(), index.bytes()), (4, 32));
    }

    #[test]
    fn of_equals_the_first_is_kept() {
        let index = index(&[&[1.0, 0.0], &[2.0, 0.0], &[3.0, 0.0]]);
        let rows = |count| -> Vec<usize> {
            let found = index.nearest(&[1.0, 0.0], count, 0.0);
            found.iter().map(|near| near.row).collect()
        };
        assert_eq!((rows(1), rows(2)), (vec![0], vec![0, 1]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut index = index(&[&[1.0, 0.0]]);
        for bad in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[]] {
            assert_eq!(index.push(bad), Err(Unfit));
            assert!(index.nearest(bad, 1, 0.0).is_empty());
        }
        assert!(VectorIndex::default().nearest(&[1.0], 1, 0.0).is_empty());
    }

    #[test]
    fn every_dimension_counts() {
        let one = |at: usize| {
            let mut vector = vec![0.0; 19];
            vector[at] = 1.0;
            vector
        };
        for at in 0..19 {
            let found = index(&[&one(at)]).nearest(&one(at), 1, 0.0);
            assert_eq!(found, [Near { row: 0, score: 1.0 }]);
        }
    }
}
