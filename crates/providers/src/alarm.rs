//! A deadline that moves with each message of a busy socket. To set a timer anew fifty times a second
//! and call costs more than the message; this one is set when it goes off early, or to go off sooner.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// See the module.
pub(crate) struct Alarm {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            at,
            timer: Box::pin(sleep_until(at)),
        }
    }

    /// Moves the deadline.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Waits for the deadline; safe to drop and call again.
    pub(crate) async fn rings(&mut self) {
        loop {
            self.timer.as_mut().await;
            if self.at <= self.timer.deadline() {
                return;
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_last_deadline_set_later_or_sooner() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun + Duration::from_secs(4));
        tokio::time::sleep(Duration::from_secs(1)).await;
        alarm.set(begun + Duration::from_secs(9));
        alarm.rings().await;
        assert_eq!(begun.elapsed().as_secs(), 9);
        alarm.set(begun + Duration::from_secs(30));
        alarm.set(begun + Duration::from_secs(12));
        alarm.rings().await;
        assert_eq!(begun.elapsed().as_secs(), 12);
    }
}
