//! Closes a connection so that its client can read the last answer.
//!
//! A client that is still sending its body when it was refused would meet a reset: the kernel sends one for bytes that
//! nobody read, and what the client received and has not read yet is lost to it. So the last bytes are read and thrown
//! away for a while after the answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBuf};
use tokio::time::Sleep;

/// How long at most.
const TIME: Duration = Duration::from_secs(3);
/// How many bytes at most; who sends more does not listen.
const BYTES: usize = 64 << 20;

/// Reads what still comes.
#[derive(Default)]
pub(crate) struct Linger {
    timer: Option<Pin<Box<Sleep>>>,
    read: usize,
}

impl Linger {
    pub(crate) fn begun(&self) -> bool {
        self.timer.is_some()
    }

    /// Ready when the client has closed its side, or it took too long.
    pub(crate) fn poll<T: Read + Unpin>(
        &mut self,
        inner: &mut T,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(TIME)));
        let mut scratch = [0; 16 * 1024];
        while self.read < BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *inner).poll_read(context, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.read += buffer.filled().len(),
                // An error is as good an end as any.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(timer.as_mut().poll(context));
                    break;
                }
            }
            if timer.is_elapsed() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
