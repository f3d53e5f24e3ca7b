//! A live connection to a vendor.

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::Error;

/// Dropping it ends the work here and at the vendor; there is no other way to cancel.
#[derive(Debug)]
pub struct Session<In, Out> {
    /// Bounded. Dropping it alone says: no more input, finish and close.
    pub input: mpsc::Sender<In>,
    /// Ends after the first error, or when all input has been answered.
    pub output: mpsc::Receiver<Result<Out, Error>>,
    /// The session's task.
    pub task: AbortOnDropHandle<()>,
}
