use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How many requests are under way, and how many wait. It knows no maximum, so a reload that changes it goes on counting
/// what is under way.
#[derive(Debug, Default)]
pub(super) struct Permits {
    taken: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
}

/// A place in the queue.
pub(super) struct Turn(Arc<Permits>);

impl Permits {
    /// Takes a permit, unless all are taken or somebody waits for one already.
    pub(super) fn try_take(&self, max: usize) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0 && self.take(max)
    }

    fn take(&self, max: usize) -> bool {
        let one_more = |taken| (taken < max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        self.freed.notify_one();
    }

    /// A place in the queue, unless it is full.
    pub(super) fn queue_up(self: &Arc<Self>, places: usize) -> Option<Turn> {
        let one_more = |waiting| (waiting < places).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Turn(self.clone()))
    }
}

impl Turn {
    /// Waits until a permit could be taken.
    pub(super) async fn taken(self, max: usize) {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // From here on no permit that is given back is missed.
            freed.as_mut().enable();
            if self.0.take(max) {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        // Somebody may have been notified who is gone, or one who waits may fit in beside this one.
        self.0.freed.notify_one();
    }
}
