//! Pure search over vectors it is given: semantic routes, passages of documents; and the text of documents in
//! chunks.
//!
//! **Invariant:** no network, no database, no model.

mod chunks;
mod passages;
mod routes;
pub mod text;

pub use chunks::{Size, chunks};
pub use passages::{Near, Unfit, VectorIndex};
pub use routes::{Error, Hit, RouteIndex};
