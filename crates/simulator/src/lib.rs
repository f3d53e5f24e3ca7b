//! Wire-exact fakes at the internet's edge: carriers, vendors, scripted callers with real audio, and a
//! load generator. Used by `bolo demo`, `bolo simulate` and the tests.
//!
//! **Invariant:** depends on no crate of ours and spells every wire message again: shared structs would
//! let both ends be wrong together.
