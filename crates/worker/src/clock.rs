//! The time of rows.

/// Now, epoch ms: by the clock of the database, where several nodes share it.
pub(crate) fn now_ms() -> i64 {
    bolo_store::now()
}

/// A length of time in ms.
pub(crate) fn ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
