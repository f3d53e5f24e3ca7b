//! The one socket option that no crate of ours offers.

// A call into the C library.
#![allow(unsafe_code)]

use std::{io, os::fd::AsRawFd};

use tokio::net::TcpStream;

/// A reader is woken only once so many bytes lie there (`SO_RCVLOWAT`, socket(7)), or the stream ends. Lowering it
/// wakes a reader who has enough by that.
pub fn tell(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes.max(1)).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open as long as `stream` is borrowed; the option is a C int, and its size is told.
    let told = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match told {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::tell;
    use futures_util::FutureExt;
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    #[tokio::test]
    async fn a_reader_is_woken_for_enough_or_the_end_and_for_what_is_enough_by_now() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        far.set_nodelay(true).unwrap();
        let (near, _) = listener.accept().await.unwrap();
        // Nothing is there: from here on readiness is what the kernel tells.
        near.try_read(&mut [0]).unwrap_err();
        let mut buffer = [0; 64];
        tell(&near, 5).unwrap();
        far.write_all(&[1; 4]).await.unwrap();
        // The runtime looks for news of sockets at the latest by every 61st task.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(near.readable().now_or_never().is_none(), "woken too early");
        far.write_all(&[1]).await.unwrap();
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buffer).unwrap(), 5);

        far.write_all(&[1; 3]).await.unwrap();
        tell(&near, 0).unwrap();
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buffer).unwrap(), 3);

        tell(&near, 5).unwrap();
        far.write_all(&[1]).await.unwrap();
        drop(far);
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buffer).unwrap(), 1);
    }
}
