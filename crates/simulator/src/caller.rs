//! A caller: what is said and when ([`CallerScript`]), what is heard, and the verbs by which a test
//! speaks through one ([`CallHandle`]).

mod actor;
mod handle;
mod hearing;
mod lines;
mod script;
mod timeline;

pub use handle::{CallHandle, Missed};
pub use lines::{Ears, Voice};
pub use script::{AnsweredBy, CallerScript, Line, Outcome, Step, Then};
pub use timeline::{Event, Timed};

pub(crate) use actor::{Act, Actor, LiveStep};
pub(crate) use hearing::{Hearing, find, plain};
pub(crate) use lines::{Lines, ReadyStep};
pub(crate) use timeline::Timeline;
