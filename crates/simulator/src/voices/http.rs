//! The answer of a vendor that speaks over HTTP: audio at a vendor's pace, with the fault of this request.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{sync::mpsc, time::sleep};

use super::{
    Desk, Fault,
    sound::{Encoding, chunks},
};

/// Chunks in the connection.
const CHUNKS: usize = 4;

/// Speaks a text, and bills it. The work ends when the client leaves.
pub(super) fn speech(
    desk: &Arc<Desk>,
    fault: Option<Fault>,
    text: &str,
    encoding: Encoding,
) -> Response {
    if fault == Some(Fault::NoAudio) {
        return StatusCode::OK.into_response();
    }
    desk.bill(text.trim().chars().count() as u64);
    let (give, take) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let (own, chunks) = (desk.clone(), chunks(text, encoding));
    let mut dice = desk.dice(desk.options.jitter);
    // Ends with the fake, or when the answer is dropped.
    tokio::spawn(async move {
        let work = async {
            sleep(dice.delay(own.options.first_byte)).await;
            if let Some(Fault::DelayFirst(ms)) = fault {
                sleep(Duration::from_millis(ms)).await;
            }
            for (count, chunk) in (0_u32..).zip(chunks) {
                match fault {
                    Some(Fault::PausesAfter(sent, ms)) if count == sent => {
                        sleep(Duration::from_millis(ms)).await;
                    }
                    Some(Fault::StallAfter(sent)) if count >= sent => {
                        return give.closed().await;
                    }
                    Some(
                        Fault::LostAfter(sent)
                        | Fault::CloseAfter(sent, _)
                        | Fault::FailsAfter(sent),
                    ) if count >= sent => {
                        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
                        // A client that is gone needs no loss.
                        let _ = give.send(Err(lost)).await;
                        return;
                    }
                    _ => {}
                }
                let pause = Duration::from_secs_f64(chunk.ms as f64 / 1000.0 / own.options.speed);
                if give.send(Ok(chunk.audio.into())).await.is_err() {
                    return;
                }
                sleep(pause).await;
            }
        };
        own.session(work).await;
    });
    let body = stream::unfold(take, async |mut take| Some((take.recv().await?, take)));
    Response::new(Body::from_stream(body))
}

/// Never answers.
pub(super) async fn half_open(desk: &Desk) -> Infallible {
    desk.session(std::future::pending()).await;
    // The fake is gone; so is its server.
    std::future::pending().await
}
