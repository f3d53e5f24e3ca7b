//! What the driver itself keeps in mind of a call.

use std::{collections::VecDeque, pin::Pin};

use bolo_conversation::Input;
use bolo_telephony::MediaCommand;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::Bells;
use crate::{fallback::Crew, media::Socket, playout::Sent};

/// Vendors as logs and usage name them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) hearing: Crew,
    pub(crate) speaking: Crew,
    /// When the call was answered, before `At(0)`, ms.
    pub(crate) answered_before: Option<u64>,
    /// Used before this node took the call over (R202).
    pub(crate) characters_before: u64,
    /// Likewise.
    pub(crate) seconds_before: f64,
}

/// What the driver itself keeps in mind.
pub(crate) struct State {
    pub(super) bells: Bells,
    pub(super) timer: Pin<Box<Sleep>>,
    /// What the timer is set to; `None` once it went off.
    pub(super) armed: Option<Instant>,
    /// Facts that carrying out a decision made at once.
    pub(crate) facts: VecDeque<Input>,
    pub(crate) commands: Vec<MediaCommand>,
    pub(super) sent: Vec<Sent>,
    pub(super) frame_at: Instant,
    pub(super) frozen_told: bool,
    pub(super) stopping: bool,
    pub(super) no_commands: bool,
    /// Since when we are hanging up.
    pub(crate) hanging: Option<Instant>,
    /// The machine knows that the media ended.
    pub(super) stopped: bool,
    /// Until when the machine may wait for a last final.
    pub(super) last_words: Option<Instant>,
    pub(crate) noted: String,
    /// What the model thought aloud for the answer that is just done.
    pub(crate) thought: Option<String>,
    pub(crate) log_broken: bool,
    /// A socket given up for a transfer, saying goodbye.
    pub(super) leaving: Option<AbortOnDropHandle<()>>,
    /// A customer's controller was told to take the caller over.
    pub(crate) controlled: bool,
    /// Without a socket until then, the controller has the caller.
    pub(super) taken_at: Option<Instant>,
    /// Nothing is said or done until the record has said whether the call is still ours.
    pub(super) doubt: Option<oneshot::Receiver<bool>>,
    /// A socket that waits for that.
    pub(super) arrived: Option<Socket>,
    /// It is another node's.
    pub(super) taken_over: bool,
}

impl State {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bells: Bells::new(),
            timer: Box::pin(tokio::time::sleep_until(now)),
            armed: Some(now),
            facts: VecDeque::new(),
            commands: Vec::new(),
            sent: Vec::new(),
            frame_at: now,
            frozen_told: false,
            stopping: false,
            no_commands: false,
            hanging: None,
            stopped: false,
            last_words: None,
            noted: String::new(),
            thought: None,
            log_broken: false,
            leaving: None,
            controlled: false,
            taken_at: None,
            doubt: None,
            arrived: None,
            taken_over: false,
        }
    }
}
