//! The socket options that no crate of ours offers.

// A call into the C library.
#![allow(unsafe_code)]

use std::{io, os::fd::AsRawFd};

use tokio::net::TcpStream;

/// A reader is woken only once so many bytes lie there (`SO_RCVLOWAT`, socket(7)), or the stream ends. Lowering it
/// wakes a reader who has enough by that.
pub fn unread(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    tell(stream, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes.max(1))
}

/// A writer is told to wait once about so many bytes lie there unsent (`TCP_NOTSENT_LOWAT`, tcp(7)), however much room
/// the kernel has, and goes on at half of it. What is on its way, or waits in the peer's kernel, does not count.
#[cfg(target_os = "linux")]
pub fn unsent(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    tell(stream, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

/// Elsewhere the kernel takes what it likes.
#[cfg(not(target_os = "linux"))]
pub fn unsent(_: &TcpStream, _: usize) -> io::Result<()> {
    Ok(())
}

fn tell(
    stream: &TcpStream,
    level: libc::c_int,
    option: libc::c_int,
    bytes: usize,
) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open as long as `stream` is borrowed; both options are a C int, and its size is told.
    let told = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            level,
            option,
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

    use super::{unread, unsent};
    use futures_util::FutureExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket, TcpStream},
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
        unread(&near, 5).unwrap();
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
        unread(&near, 0).unwrap();
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buffer).unwrap(), 3);

        unread(&near, 5).unwrap();
        far.write_all(&[1]).await.unwrap();
        drop(far);
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut buffer).unwrap(), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_writer_waits_for_a_peer_that_reads_nothing_and_goes_on_when_it_does() {
        const UNSENT: usize = 32 * 1024;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpSocket::new_v4().unwrap();
        far.set_recv_buffer_size(4096).unwrap();
        let mut far = far.connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        unsent(&near, UNSENT).unwrap();
        let mut taken = 0;
        while let Ok(bytes) = near.try_write(&[1; 1000]) {
            taken += bytes;
            assert!(taken < 2 * UNSENT, "the kernel takes what nobody reads");
        }
        assert!(taken >= UNSENT, "a burst has room: {taken}");
        let mut read = vec![0; taken];
        far.read_exact(&mut read).await.unwrap();
        near.writable().await.unwrap();
        near.try_write(&[1]).unwrap();
    }
}
