//! The guaranteed end of a call: its task is watched from outside, so that no call outlives its cap and
//! no record stays open, whether the task ends, panics or hangs (lessons: calls that bill for ever).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::{ending::End, figures, ledger::Ledger};

/// Beyond `call_terminate`: the speech that may end (5 s), the goodbye and its watchdog (10 s), and the
/// 2 s within which the end must have come.
pub(crate) const GRACE: Duration = Duration::from_secs(17);
/// A task that was aborted and does not end is left to itself: it is blocked.
const ABORT: Duration = Duration::from_secs(1);

/// Waits for the call's task until `limit` at the latest; enters into the ledger how it ended. `false` if
/// it is blocked and can't be ended.
pub(crate) async fn watch(
    mut task: AbortOnDropHandle<()>,
    limit: Instant,
    ledger: &Arc<Ledger>,
) -> bool {
    let joined = tokio::select! {
        joined = &mut task => joined,
        () = tokio::time::sleep_until(limit) => {
            metrics::counter!(figures::CALLS_ABORTED, "why" => "overdue").increment(1);
            tracing::error!("the call outlived its cap and is ended from outside");
            ledger.books().ended(End::Aborted("the call outlived its cap".into()));
            task.abort();
            match tokio::time::timeout(ABORT, &mut task).await {
                Ok(joined) => joined,
                Err(_) => return false,
            }
        }
    };
    if let Err(error) = joined
        && error.is_panic()
    {
        metrics::counter!(figures::CALLS_ABORTED, "why" => "panic").increment(1);
        tracing::error!("the call's task died");
        ledger
            .books()
            .ended(End::Aborted("the call's task died".into()));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_ends_is_ended_at_the_limit() {
        let ledger = Arc::new(Ledger::default());
        let begun = Instant::now();
        let task = AbortOnDropHandle::new(tokio::spawn(std::future::pending::<()>()));
        watch(task, begun + Duration::from_secs(317), &ledger).await;
        assert_eq!(begun.elapsed().as_secs(), 317);
        assert!(matches!(ledger.books().end, Some(End::Aborted(_))));
    }

    #[tokio::test]
    async fn a_panic_is_an_end_too() {
        let ledger = Arc::new(Ledger::default());
        let dies = async { std::panic::resume_unwind(Box::new("on purpose")) };
        let task = AbortOnDropHandle::new(tokio::spawn(dies));
        watch(task, Instant::now() + Duration::from_secs(60), &ledger).await;
        assert!(matches!(ledger.books().end, Some(End::Aborted(_))));
    }

    #[tokio::test]
    async fn the_first_cause_stays() {
        let ledger = Arc::new(Ledger::default());
        ledger.books().ended(End::Remote);
        let dies = async { std::panic::resume_unwind(Box::new("on purpose")) };
        let task = AbortOnDropHandle::new(tokio::spawn(dies));
        watch(task, Instant::now() + Duration::from_secs(60), &ledger).await;
        assert_eq!(ledger.books().end, Some(End::Remote));
    }
}
