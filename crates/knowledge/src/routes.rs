//! Which route, if any, a caller's words belong to. Source: runtime.md R120, R128.

use bolo_agent::Route;

/// The utterances of an agent's routes as vectors, ready to be compared with a turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteIndex {
    dimensions: usize,
    /// One row an utterance, in order.
    vectors: Vec<f32>,
    /// Of each row: route, utterance within the route.
    places: Vec<(usize, usize)>,
    /// Of each route, on the embedder's raw scale.
    thresholds: Vec<f32>,
}

/// A route that a turn belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Index of the route.
    pub route: usize,
    /// Index of its best utterance.
    pub utterance: usize,
    /// Cosine, raw.
    pub score: f32,
}

/// The vectors don't fit the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Not as many vectors as utterances.
    Count {
        /// Utterances of all routes.
        utterances: usize,
        /// Vectors given.
        vectors: usize,
    },
    /// A vector is empty, of another length than the first, or not made of numbers.
    Vector {
        /// Which, from 0.
        index: usize,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count {
                utterances,
                vectors,
            } => {
                write!(f, "{vectors} vectors for {utterances} utterances of routes")
            }
            Self::Vector { index } => {
                write!(
                    f,
                    "vector {index} is empty, not finite or of another length than the first"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

impl RouteIndex {
    /// The texts to embed, in the order in which [`RouteIndex::new`] wants their vectors.
    pub fn texts(routes: &[Route]) -> Vec<String> {
        routes
            .iter()
            .flat_map(|route| route.utterances.iter().cloned())
            .collect()
    }

    /// One vector for each of [`RouteIndex::texts`]. `raw_threshold` turns a route's threshold, which is
    /// on the reference model's scale, into a raw score of the model that made the vectors.
    pub fn new(
        routes: &[Route],
        vectors: &[Vec<f32>],
        raw_threshold: impl Fn(f32) -> f32,
    ) -> Result<Self, Error> {
        let places: Vec<(usize, usize)> = routes
            .iter()
            .enumerate()
            .flat_map(|(route, found)| (0..found.utterances.len()).map(move |at| (route, at)))
            .collect();
        if places.len() != vectors.len() {
            return Err(Error::Count {
                utterances: places.len(),
                vectors: vectors.len(),
            });
        }
        let dimensions = vectors.first().map_or(0, Vec::len);
        let mut rows = Vec::with_capacity(dimensions * vectors.len());
        for (index, vector) in vectors.iter().enumerate() {
            let length = length(vector);
            if vector.len() != dimensions || !length.is_finite() || length == 0.0 {
                return Err(Error::Vector { index });
            }
            rows.extend(vector.iter().map(|value| value / length));
        }
        let thresholds = routes
            .iter()
            .map(|route| raw_threshold(route.score_threshold))
            .collect();
        Ok(Self {
            dimensions,
            vectors: rows,
            places,
            thresholds,
        })
    }

    /// Whether there is nothing to hit.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The route to take: of those whose best utterance reaches their own threshold the one with the
    /// best score, the first of equals. `None` for a vector of another length, too.
    pub fn best(&self, vector: &[f32]) -> Option<Hit> {
        self.pick(vector, |hit| {
            self.thresholds
                .get(hit.route)
                .is_some_and(|threshold| hit.score >= *threshold)
        })
    }

    /// The nearest utterance of all, whether or not its route is hit; for the log.
    pub fn nearest(&self, vector: &[f32]) -> Option<Hit> {
        self.pick(vector, |_| true)
    }

    fn pick(&self, vector: &[f32], counts: impl Fn(&Hit) -> bool) -> Option<Hit> {
        let length = length(vector);
        if vector.len() != self.dimensions || !length.is_finite() || length == 0.0 {
            return None;
        }
        let rows = self.vectors.chunks_exact(self.dimensions);
        let mut best: Option<Hit> = None;
        for (row, &(route, utterance)) in rows.zip(&self.places) {
            let dot: f32 = row.iter().zip(vector).map(|(a, b)| a * b).sum();
            let hit = Hit {
                route,
                utterance,
                score: dot / length,
            };
            // Strictly better: on a tie the first stays.
            if best.is_none_or(|best| hit.score > best.score) && counts(&hit) {
                best = Some(hit);
            }
        }
        best
    }
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn route(name: &str, utterances: usize, score_threshold: f32) -> Route {
        Route {
            name: name.to_owned(),
            utterances: (0..utterances).map(|n| format!("{name} {n}")).collect(),
            responses: vec![String::new()],
            score_threshold,
        }
    }

    /// A unit vector at an angle of so many degrees.
    fn at(degrees: f32) -> Vec<f32> {
        vec![degrees.to_radians().cos(), degrees.to_radians().sin()]
    }

    fn index(routes: &[(usize, f32)], angles: &[f32]) -> RouteIndex {
        let routes: Vec<Route> = routes
            .iter()
            .map(|(count, threshold)| route("r", *count, *threshold))
            .collect();
        let vectors: Vec<Vec<f32>> = angles.iter().map(|angle| at(*angle)).collect();
        RouteIndex::new(&routes, &vectors, |threshold| threshold).unwrap()
    }

    #[test]
    fn the_best_utterance_decides() {
        let index = index(&[(2, 0.9), (2, 0.9)], &[0.0, 90.0, 40.0, 60.0]);
        let hit = index.best(&at(62.0)).unwrap();
        assert_eq!((hit.route, hit.utterance), (1, 1));
        assert!((hit.score - 2_f32.to_radians().cos()).abs() < 1e-5);
    }

    #[test]
    fn below_the_threshold_there_is_no_hit_but_a_nearest() {
        let index = index(&[(1, 0.9)], &[0.0]);
        assert_eq!(index.best(&at(60.0)), None);
        assert_eq!(index.nearest(&at(60.0)).unwrap().route, 0);
    }

    #[test]
    fn a_nearer_route_that_misses_its_own_threshold_does_not_hide_another() {
        let index = index(&[(1, 0.99), (1, 0.5)], &[0.0, 40.0]);
        assert_eq!(index.best(&at(15.0)).unwrap().route, 1);
        assert_eq!(index.nearest(&at(15.0)).unwrap().route, 0);
    }

    #[test]
    fn the_first_of_equals_wins() {
        let index = index(&[(1, 0.5), (1, 0.5)], &[30.0, 30.0]);
        assert_eq!(index.best(&at(30.0)).unwrap().route, 0);
    }

    #[test]
    fn thresholds_are_put_on_the_models_scale_and_lengths_do_not_matter() {
        let routes = [route("a", 1, 0.85)];
        let index = RouteIndex::new(&routes, &[vec![3.0, 0.0]], |_| 0.5).unwrap();
        assert_eq!(index.best(&[0.6 * 7.0, 0.8 * 7.0]).unwrap().route, 0);
        assert_eq!(index.best(&[0.4, 0.916]), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let routes = [route("a", 2, 0.85)];
        let new = |vectors: &[Vec<f32>]| RouteIndex::new(&routes, vectors, |t| t).unwrap_err();
        assert_eq!(
            new(&[at(0.0)]),
            Error::Count {
                utterances: 2,
                vectors: 1
            }
        );
        assert_eq!(new(&[at(0.0), vec![1.0]]), Error::Vector { index: 1 });
        assert_eq!(new(&[vec![0.0, 0.0], at(0.0)]), Error::Vector { index: 0 });
        assert_eq!(
            new(&[at(0.0), vec![f32::NAN, 0.0]]),
            Error::Vector { index: 1 }
        );
        let index = index(&[(1, 0.1)], &[0.0]);
        assert_eq!(index.best(&[1.0]), None);
        assert_eq!(RouteIndex::default().best(&[]), None);
        assert!(RouteIndex::default().is_empty());
    }
}
