//! Bytes that are counted on their way, for whoever shows how far a copy is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Is told how many bytes have been moved so far, and of how many where that is known.
pub type Watch<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// A source or a sink that tells what passes through it.
pub struct Counted<'a, T> {
    inner: T,
    watch: Watch<'a>,
    moved: u64,
    total: Option<u64>,
}

impl<'a, T> Counted<'a, T> {
    /// Tells of all that passes through `inner`, of which there is so much, where it is known.
    pub fn new(inner: T, total: Option<u64>, watch: Watch<'a>) -> Self {
        Self { inner, watch, moved: 0, total }
    }

    fn count(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        (self.watch)(self.moved, self.total);
    }
}

impl<T> std::fmt::Debug for Counted<'_, T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Counted").field("moved", &self.moved).finish_non_exhaustive()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if polled.is_ready() {
            self.count(buffer.filled().len() - before);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.count(count);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
