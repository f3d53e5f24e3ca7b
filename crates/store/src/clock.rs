//! The time of rows. Where several nodes share a database it is the database's: a node whose clock is wrong,
//! or jumps, neither dials early nor takes others' calls for abandoned.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Error, Store, db::Engine};

/// The database's time, epoch ms, and when it was asked for it. `None` = this machine's clock counts.
static ASKED: Mutex<Option<(i64, Instant)>> = Mutex::new(None);

/// An answer that took longer may have been read long ago: a clock that runs already knows better.
const LATE: Duration = Duration::from_secs(1);

/// Now, epoch ms.
pub fn now() -> i64 {
    match *asked() {
        Some((time, at)) => time + ms(at.elapsed().as_millis()),
        None => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| ms(since.as_millis()))
        }
    }
}

fn asked() -> MutexGuard<'static, Option<(i64, Instant)>> {
    // Whole whenever it is written.
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ms(ms: u128) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl Store {
    /// Asks the database for its time; to be called at the start and now and then. A file has no clock.
    pub async fn set_clock(&self) -> Result<(), Error> {
        let Engine::Postgres(pool) = self.db().read() else {
            return Ok(());
        };
        let sent = Instant::now();
        let time: i64 =
            sqlx::query_scalar("SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT")
                .fetch_one(pool)
                .await?;
        let mut known = asked();
        *known = Some(better(*known, time, sent, sent.elapsed()));
        Ok(())
    }
}

fn better(
    known: Option<(i64, Instant)>,
    time: i64,
    sent: Instant,
    took: Duration,
) -> (i64, Instant) {
    match known {
        Some(known) if took > LATE => known,
        // It was read about halfway.
        _ => (time, sent + took / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_moves_no_clock_that_runs() {
        let (sent, known) = (Instant::now(), (5, Instant::now()));
        let soon = Duration::from_millis(20);
        let read = (9, sent + soon / 2);
        assert_eq!(better(None, 9, sent, soon), read);
        assert_eq!(better(Some(known), 9, sent, soon), read);
        assert_eq!(better(Some(known), 9, sent, LATE * 2), known);
        assert_eq!(better(None, 9, sent, LATE * 2), (9, sent + LATE));
    }
}
