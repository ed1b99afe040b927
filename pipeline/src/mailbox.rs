//! Where those who want a reload leave their wish.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::outcome::{Outcome, Trigger};

/// Wishes that wait. All that wait are met by one attempt, made for the latest; a wish that comes while an attempt is
/// at work is met by the next one, because the files may have changed since that one read them.
#[derive(Default)]
pub(crate) struct Mailbox {
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    waiting: Option<Wish>,
    at_work: bool,
}

/// What one attempt is made for.
pub(crate) struct Wish {
    pub(crate) trigger: Trigger,
    callers: Vec<oneshot::Sender<Outcome>>,
}

/// The right, and the duty, to meet what waits. Whoever holds it gives it back by dropping it.
pub(crate) struct Duty<'a> {
    mailbox: &'a Mailbox,
    done: bool,
}

// === impl Mailbox ===

impl Mailbox {
    /// Leaves a wish. The outcome comes to nothing where the runtime shuts down first. The second part tells whether
    /// somebody has to [take the duty](Self::duty) now.
    pub(crate) fn leave(&self, trigger: Trigger) -> (oneshot::Receiver<Outcome>, bool) {
        let (caller, outcome) = oneshot::channel();
        let mut slot = self.slot();
        let wish = slot.waiting.get_or_insert_with(|| Wish { trigger, callers: Vec::new() });
        wish.trigger = trigger;
        wish.callers.push(caller);
        let needed = !std::mem::replace(&mut slot.at_work, true);
        (outcome, needed)
    }

    /// Takes up the work that [`leave`](Self::leave) said was needed.
    pub(crate) fn duty(&self) -> Duty<'_> {
        Duty { mailbox: self, done: false }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Duty ===

impl Duty<'_> {
    /// The next wish. With `None` the duty is done.
    pub(crate) fn next(&mut self) -> Option<Wish> {
        let mut slot = self.mailbox.slot();
        let wish = slot.waiting.take();
        slot.at_work = wish.is_some();
        self.done = wish.is_none();
        wish
    }
}

impl Drop for Duty<'_> {
    /// Where the work was cut off, the next one who leaves a wish takes it up; those who wait now learn of it.
    fn drop(&mut self) {
        if !self.done {
            *self.mailbox.slot() = Slot::default();
        }
    }
}

// === impl Wish ===

impl Wish {
    /// Tells the outcome to all who wait for it.
    pub(crate) fn answer(self, outcome: &Outcome) {
        for caller in self.callers {
            // A caller may have gone away.
            _ = caller.send(outcome.clone());
        }
    }
}
