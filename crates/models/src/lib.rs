//! The local speech models: files, sums, licences, where they are found and how more are fetched.
//!
//! **Invariant:** runs no model and knows no crate of ours.

mod catalogue;
mod convert;
mod error;
mod pull;
mod store;

pub use error::Error;
pub use pull::{Progress, Pull};
pub use store::{Listed, Store};
