//! A stretch of network between a fake and the server: every byte takes its time, each way, and none overtakes
//! another.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// Pieces on their way; more are not read.
const ROOM: usize = 4096;
/// Read at once.
const PIECE: usize = 16 << 10;

/// Connects to `host` through a network that takes `delay` each way. The connection ends with the handle.
pub(crate) async fn connect(
    host: (&str, u16),
    delay: Duration,
) -> io::Result<(TcpStream, AbortOnDropHandle<()>)> {
    let far = TcpStream::connect(host).await?;
    let listener = TcpListener::bind(crate::server::ANY).await?;
    let addr = listener.local_addr()?;
    let (near, accepted) = tokio::try_join!(TcpStream::connect(addr), listener.accept())?;
    let (inner, _) = accepted;
    for stream in [&far, &near, &inner] {
        stream.set_nodelay(true)?;
    }
    let carrying = tokio::spawn(async move {
        let (from_near, to_near) = inner.into_split();
        let (from_far, to_far) = far.into_split();
        tokio::join!(
            carry(from_near, to_far, delay),
            carry(from_far, to_near, delay)
        );
    });
    Ok((near, AbortOnDropHandle::new(carrying)))
}

/// One way, until either end is gone.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (on_the_way, mut due) = mpsc::channel::<(Instant, Bytes)>(ROOM);
    let reading = async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        while from.read_buf(&mut piece).await.is_ok_and(|read| read > 0) {
            let arrives = Instant::now() + delay;
            if on_the_way
                .send((arrives, piece.split().freeze()))
                .await
                .is_err()
            {
                return;
            }
            piece.reserve(PIECE);
        }
    };
    let writing = async {
        while let Some((arrives, bytes)) = due.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        due.close();
        // The other end may be gone before.
        let _closed = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn bytes_take_their_time_both_ways_and_keep_their_order() {
        let listener = TcpListener::bind(crate::server::ANY).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let delay = Duration::from_millis(40);
        let (near, far) = tokio::join!(connect(("127.0.0.1", port), delay), listener.accept());
        let ((mut near, _line), (mut far, _)) = (near.unwrap(), far.unwrap());
        let sent = Instant::now();
        near.write_all(b"one").await.unwrap();
        near.write_all(b"two").await.unwrap();
        let mut six = [0; 6];
        far.read_exact(&mut six).await.unwrap();
        assert_eq!(&six, b"onetwo");
        assert!(sent.elapsed() >= delay);
        far.write_all(b"six").await.unwrap();
        near.read_exact(&mut six[..3]).await.unwrap();
        assert!(sent.elapsed() >= 2 * delay);
        drop(near);
        assert_eq!(far.read(&mut six).await.unwrap(), 0);
    }
}
