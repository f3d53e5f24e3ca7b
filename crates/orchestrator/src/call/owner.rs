//! Whose the call is: a process that was stopped for a while, or gets a socket that was elsewhere meanwhile,
//! asks before it says or does anything (wire-telephony.md §6.2).

use std::time::Duration;

use tokio::time::Instant;

use super::{Call, Machine};
use crate::media::Socket;

/// A timer that goes off this late: the process was stopped, and another node may have the call by now.
const OVERSLEPT: Duration = Duration::from_secs(1);

impl<M: Machine> Call<M> {
    pub(super) fn doubt_after_sleep(&mut self, now: Instant) {
        if self
            .state
            .armed
            .is_some_and(|armed| now >= armed + OVERSLEPT)
        {
            tracing::info!("the call was not run for a while: is it still ours?");
            self.state.armed = None;
            self.state.doubt = Some(self.desk.ask_owner());
        }
    }

    /// Another node has the call: silence at once, and no word to carrier or record.
    pub(crate) fn taken_over(&mut self) {
        if !std::mem::replace(&mut self.state.taken_over, true) {
            tracing::warn!("another node has taken the call over: silent from here on");
            self.ledger.books().superseded();
        }
    }

    /// Another node shall go on: the carrier asks it when our socket closes, and what comes here until then
    /// counts for nothing.
    pub(super) fn left(&mut self) {
        if !std::mem::replace(&mut self.state.taken_over, true) {
            tracing::info!("left to another node");
            self.ledger.books().superseded();
        }
    }

    /// A socket came: the carrier may have been at another node in between.
    pub(super) fn socket_came(&mut self, socket: Socket) {
        self.state.arrived = Some(socket);
        self.state.doubt = Some(self.desk.ask_owner());
    }

    /// What the record says.
    pub(super) fn owner_known(&mut self, is_ours: bool, now: Instant) {
        if !is_ours {
            return self.taken_over();
        }
        self.state.doubt = None;
        if let Some(socket) = self.state.arrived.take() {
            self.toolbox.streams(socket.stream_id());
            self.attach(socket, now);
        }
    }
}
