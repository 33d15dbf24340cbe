//! Bytes that are a result as they are, for a reader who may leave.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Whether a reader left. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Left(Arc<AtomicBool>);

impl Left {
    /// Whether one did since this was asked for the last time.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A writer that notes when nobody reads it any more.
#[derive(Debug)]
pub(super) struct Stream<W> {
    inner: W,
    reader: Left,
}

impl<W: AsyncWrite + Unpin> Stream<W> {
    pub(super) fn new(inner: W, reader: Left) -> Self {
        Self { inner, reader }
    }

    fn noted<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            self.reader.0.store(true, Ordering::Relaxed);
        }
        done
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Stream<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.noted(done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_flush(context);
        self.noted(done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_shutdown(context);
        self.noted(done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reader_who_leaves_is_noted_once() {
        let (ours, theirs) = tokio::io::duplex(1);
        let left = Left::default();
        let mut stream = Stream::new(ours, left.clone());
        stream.write_all(b"x").await.unwrap();
        assert!(!left.take());
        drop(theirs);
        assert!(stream.write_all(b"y").await.is_err());
        assert!(left.take() && !left.take());
    }
}
