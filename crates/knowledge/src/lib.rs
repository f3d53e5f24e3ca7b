//! Pure search over vectors it is given: semantic routes.
//!
//! **Invariant:** no network, no database, no model.

mod routes;

pub use routes::{Error, Hit, RouteIndex};
