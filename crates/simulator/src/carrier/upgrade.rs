//! How a media socket is opened, and what is told of it.

use std::{io, sync::Arc, time::Duration};

use tokio_tungstenite::tungstenite;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Shared,
    call::Call,
    dialect::StreamNews,
    document::Stream,
    faults::CallFaults,
    signing::Signer,
    webhook::{self, Webhook},
};
use crate::http::{self, Socket};

/// Bytes that wait to be read by a carrier that stops reading.
const WINDOW: u32 = 4096;

/// Tries as often as the carrier does. The error is what its debugger would show.
pub(super) async fn connect(
    shared: &Shared,
    call: &Call,
    url: &str,
    faults: &CallFaults,
) -> Result<(Socket, Option<AbortOnDropHandle<()>>), String> {
    let dialect = &shared.dialect;
    let mut tries = dialect.upgrade_tries();
    let mut lost = faults.lost_upgrades;
    loop {
        tries -= 1;
        let signer = Signer {
            token: dialect.token(),
            signing: faults.signing,
            nonce: call.chance.draw() as u64,
        };
        let headers = dialect.upgrade_headers(&signer, url);
        let delay = Duration::from_millis(shared.options.delays.network_ms);
        let limit = Duration::from_secs(5);
        // Who stops reading is to be felt soon.
        let window = faults.stop_reading_after_ms.map(|_| WINDOW);
        let opened = match lost.checked_sub(1) {
            Some(more) => {
                lost = more;
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
            None => http::open_through(url, &headers, 4096, limit, delay, window).await,
        };
        let fault = match opened {
            Ok(open) => return Ok(open),
            Err(tungstenite::Error::Http(response)) => {
                let status = response.status();
                dialect.no_socket(Some(status.as_u16()), &status.to_string())
            }
            Err(fault) => dialect.no_socket(None, &fault.to_string()),
        };
        if tries == 0 {
            return Err(fault);
        }
    }
}

pub(super) fn tell(
    shared: &Arc<Shared>,
    call: &Call,
    verb: &Stream,
    stream_id: &str,
    news: &StreamNews,
) {
    let Some(url) = verb.status_callback.clone() else {
        return;
    };
    let Some(form) = shared.dialect.stream_form(call, verb, stream_id, news) else {
        return;
    };
    let hook = Webhook::new(call, "stream", url, "POST".into(), form);
    let (shared, id) = (shared.clone(), call.id.clone());
    shared.clone().spawn(async move {
        webhook::send(&shared, &id, &hook).await;
    });
}
