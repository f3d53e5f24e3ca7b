//! How long a search through 100,000 passages takes: `cargo run --release -p bolo-knowledge --example
//! search_speed`.

use std::time::Instant;

use bolo_knowledge::VectorIndex;

/// As many dimensions as the local embedding model has.
const DIMENSIONS: usize = 384;
const PASSAGES: usize = 100_000;
const SEARCHES: usize = 50;

fn main() {
    let mut state = 1_u32;
    let mut vector = || -> Vec<f32> {
        (0..DIMENSIONS)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect()
    };
    let mut index = VectorIndex::default();
    for _ in 0..PASSAGES {
        if let Err(error) = index.push(&vector()) {
            eprintln!("{error}");
            return;
        }
    }
    let mut times: Vec<_> = (0..SEARCHES)
        .map(|_| {
            let question = vector();
            let began = Instant::now();
            let found = index.nearest(&question, 15, -1.0);
            assert_eq!(found.len(), 15);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "{PASSAGES} passages of {DIMENSIONS} dimensions, {} MB: p50 {:?}, p90 {:?}",
        index.bytes() / 1_000_000,
        times[SEARCHES / 2],
        times[SEARCHES * 9 / 10]
    );
}
