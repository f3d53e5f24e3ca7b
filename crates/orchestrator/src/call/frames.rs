//! What comes through the carrier's socket.

use std::task::Poll;

use bolo_conversation::Input;
use bolo_telephony::MediaEvent;
use tokio::time::Instant;

use super::{Call, Machine, bells::Source};
use crate::media::Arrived;

/// Frames that are heard without a look at anything else: as many as are read at once while nobody speaks.
const IN_ONE_GO: usize = 5;

impl<M: Machine> Call<M> {
    /// What the socket has, if it rang.
    pub(super) fn poll_socket(&mut self, now: Instant) -> Option<Arrived> {
        self.look(Source::Socket, |call, cx| match &mut call.socket {
            Some(socket) => socket.poll(cx, now),
            None => Poll::Pending,
        })
    }

    /// A message of the carrier and the frames that lie there behind it: one look around does for all of them.
    pub(super) fn arrived(&mut self, first: Arrived, now: Instant) {
        let mut arrived = first;
        for more in (0..IN_ONE_GO).rev() {
            let is_frame = matches!(arrived, Arrived::Event(MediaEvent::Audio { .. }));
            match arrived {
                Arrived::Event(event) => self.media(event, now),
                Arrived::Closed => self.closed(now),
                Arrived::Blocked => self.lost(now),
            }
            if !is_frame || more == 0 || self.machine.is_over() {
                return;
            }
            match self.poll_socket(now) {
                Some(next) => arrived = next,
                None => return,
            }
        }
    }

    fn media(&mut self, event: MediaEvent, now: Instant) {
        match event {
            MediaEvent::Audio {
                payload,
                timestamp_ms,
            } => {
                self.state.frame_at = now;
                self.state.frozen_told = false;
                self.ears.into_speech = self.playout.is_heard(now);
                let frame = self.ears.hear(&payload, timestamp_ms, now);
                self.tape.caller(&payload, frame.gap_ms, now);
                if let Some(socket) = &mut self.socket {
                    socket.rest(self.ears.frames_at_once(&payload), now);
                }
                for speech in frame.edges {
                    self.give(now, Input::Vad { speech });
                }
            }
            MediaEvent::Dtmf(digit) => self.give(now, Input::Dtmf { digit }),
            MediaEvent::Typed(text) => self.give(now, Input::Typed { text }),
            MediaEvent::Mark(name) => self.give(now, Input::Mark { name }),
            MediaEvent::Stop => self.remote_end(now),
            MediaEvent::Cleared | MediaEvent::Start { .. } => {}
        }
    }
}
