//! Sockets that become no call.

use bolo_execution::Status;

use crate::{figures, media::Socket, prepare::PrepareError, replay};

/// Why a socket is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("this node is shutting down")]
    Draining,
    #[error("this node runs as many calls as it may")]
    Full,
    #[error("the stream did not start")]
    NoStart,
    #[error("the call is {0}")]
    Over(Status),
    #[error("the store failed: {0}")]
    Store(#[from] bolo_store::Error),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("the call could not be rebuilt: {0}")]
    Log(#[from] replay::Difference),
}

impl Refused {
    fn label(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::NoStart => "no_start",
            Self::Over(_) => "over",
            Self::Store(_) | Self::Prepare(_) | Self::Log(_) => "fault",
        }
    }
}

pub(super) async fn refuse(socket: Socket, why: &Refused) {
    metrics::counter!(figures::SOCKETS_REFUSED, "why" => why.label()).increment(1);
    match why {
        Refused::Store(_) | Refused::Prepare(_) | Refused::Log(_) => {
            tracing::error!(%why, "media socket turned away");
        }
        _ => tracing::info!(%why, "media socket turned away"),
    }
    match why {
        Refused::Draining | Refused::Full | Refused::Store(_) => {
            socket.turn_away("try again").await
        }
        _ => socket.close("no call here").await,
    }
}
