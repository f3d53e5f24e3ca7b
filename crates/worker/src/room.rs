//! How many more calls may be placed without one that is answered finding no node with room
//! (`limits.max_calls`).

use std::time::Instant;

use bolo_store::{Error, SILENT, Watch};

use crate::Worker;

impl Worker {
    /// What the nodes that live say they may still take, less what rings already.
    pub(crate) async fn room(&self, watch: &mut Watch) -> Result<usize, Error> {
        let (instances, ringing) = self.store.instances_and_ringing().await?;
        let now = Instant::now();
        watch.look(&instances, now);
        let lives = |name: &str| {
            // A node alone tells of itself only while it has calls.
            name == self.store.instance()
                || watch
                    .silence(name, now)
                    .is_some_and(|silence| silence < SILENT)
        };
        let told = instances
            .iter()
            .filter(|instance| lives(&instance.name))
            .map(|instance| instance.room)
            .reduce(i64::saturating_add);
        let Some(room) = told else {
            return Ok(usize::MAX); // nobody has told: nothing runs yet
        };
        let free = room.saturating_sub(ringing);
        Ok(usize::try_from(free.max(0)).unwrap_or(usize::MAX))
    }
}
