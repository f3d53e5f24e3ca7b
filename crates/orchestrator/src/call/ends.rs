//! The media socket is lost, comes back, is given up; the call's end.

use std::time::Duration;

use bolo_conversation::{Input, TransferOutcome};
use bolo_execution::EndReason;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Call, Machine, bells::Source};
use crate::{asking::News, ending::End, media::Socket};

/// The machine waits 2 s for a last final (R10); the driver lets it.
const LAST_WORDS: Duration = Duration::from_millis(2500);
/// A hang-up that is not confirmed by then counts as done; the supervisor repeats it at the carrier.
const HANGING: Duration = Duration::from_secs(8);

impl<M: Machine> Call<M> {
    /// When the call ends, or [`Call::end_due`] has something to do, unless something else comes first.
    pub(super) fn end_due_at(&self) -> Option<Instant> {
        let state = &self.state;
        let hanging = state.hanging.map(|since| since + HANGING);
        [hanging, state.last_words, state.taken_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// What was waited for has not come.
    pub(super) fn end_due(&mut self, now: Instant) {
        let hanging = self.state.hanging;
        if hanging.is_some_and(|since| now >= since + HANGING) {
            self.state.hanging = None;
            self.media_stopped(now);
        }
        if self.state.taken_at.is_some_and(|at| now >= at) {
            self.caller_taken(now);
        }
    }

    pub(super) fn remote_end(&mut self, now: Instant) {
        let end = match self.is_controllers() {
            true => End::Ours(EndReason::CallTransferred),
            false => End::Remote,
        };
        self.ledger.books().ended(self.machine.end().unwrap_or(end));
        self.media_stopped(now);
    }

    /// The media is over for good: tells the machine once, then waits for the caller's last words.
    pub(super) fn media_stopped(&mut self, now: Instant) {
        if std::mem::replace(&mut self.state.stopped, true) {
            return;
        }
        self.tape.cleared(now);
        self.state.last_words = Some(now + LAST_WORDS);
        self.ears.finish();
        self.give(now, Input::MediaStop);
    }

    /// The far end closed the socket without a stop: a page that is left, or a carrier that may come back.
    pub(super) fn closed(&mut self, now: Instant) {
        if self.socket.as_ref().is_some_and(Socket::is_the_call) {
            self.remote_end(now);
        }
        self.lost(now);
    }

    /// The socket is gone without a stop (R199).
    pub(super) fn lost(&mut self, now: Instant) {
        if self.socket.take().is_none() || self.state.stopped {
            return;
        }
        if self.state.hanging.is_some() {
            // We are hanging up: its closing is the answer.
            self.media_stopped(now);
            return;
        }
        self.playout.lost(now);
        self.tape.cleared(now);
        self.give(now, Input::MediaLost);
        // Carriers that tell no stop only close the socket when the caller is taken from it.
        self.state.taken_at = self.is_controllers().then(|| now + self.back);
    }

    /// A customer's controller takes the caller away without a word to us.
    fn is_controllers(&self) -> bool {
        self.state.controlled && self.machine.has_handed_over()
    }

    /// The caller is the controller's: what he hears now is not ours to end.
    fn caller_taken(&mut self, now: Instant) {
        self.state.taken_at = None;
        let end = self.machine.end();
        let taken = End::Ours(EndReason::CallTransferred);
        self.ledger.books().ended(end.unwrap_or(taken));
        self.media_stopped(now);
    }

    /// The carrier takes the caller over when our socket closes: what it then asks for says to whom.
    pub(super) fn give_up_socket(&mut self, now: Instant) {
        if let Some(socket) = self.socket.take() {
            let closing = tokio::spawn(socket.close("the caller is transferred"));
            self.state.leaving = Some(AbortOnDropHandle::new(closing));
            self.playout.lost(now);
            self.tape.cleared(now);
            self.give(now, Input::MediaLost);
        }
    }

    /// The caller is not handed over.
    pub(crate) fn transfer_failed(&mut self, why: &str, now: Instant) {
        let why = why.to_owned();
        let outcome = TransferOutcome::Failed { why };
        self.give(now, Input::TransferChanged { outcome });
    }

    /// Another socket of this call: it takes over, the old one closes.
    pub(super) fn attach(&mut self, socket: Socket, now: Instant) {
        if self.state.stopped {
            return;
        }
        self.lost(now);
        self.state.taken_at = None;
        self.socket = Some(socket);
        self.state.bells.open(Source::Socket);
        self.state.frame_at = now;
        self.state.frozen_told = false;
        self.ears.new_stream();
        self.give(now, Input::MediaResumed);
    }

    /// Who was asked and is heard no more costs all the same.
    fn pay_the_rest(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Model { vendor, model } => self.mind.answered_by(vendor, model),
                News::Judged { id, used, .. } => {
                    self.mind.judged(id);
                    self.pay(used);
                }
                News::Input(Input::AnswerDone { answer, usage, .. }) => {
                    self.mind.ended(answer);
                    self.pay([usage]);
                }
                News::Input(Input::AnswerFailed { answer, .. }) => {
                    let tokens = self.mind.failed(answer);
                    self.pay(tokens);
                }
                _ => {}
            }
        }
        let cut = self.mind.cut();
        self.pay(cut);
    }

    pub(super) async fn close(&mut self) {
        let reason = match self.state.taken_over {
            true => "another node has this call",
            false => "the call is over",
        };
        let sockets = [self.socket.take(), self.state.arrived.take()];
        for socket in sockets.into_iter().flatten() {
            socket.close(reason).await;
        }
        self.ahead.stop();
        self.keep_figures();
        self.pay_the_rest();
        let mut books = self.ledger.books();
        books.transcript = self.machine.transcript();
        books.ended(self.machine.end().unwrap_or(End::Lost));
    }
}
