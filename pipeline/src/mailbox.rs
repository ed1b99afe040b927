//! Where those who want a reload leave their wish.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The right, and the duty, to meet what waits: one holds it at a time.
pub(crate) struct Duty {
    mailbox: Arc<Mailbox>,
    done: bool,
}

// === impl Mailbox ===

impl Mailbox {
    /// Leaves a wish. Its outcome never comes where the work is cut off. With a duty, the caller has to see to it that
    /// the work is done.
    pub(crate) fn leave(self: &Arc<Self>, trigger: Trigger) -> (oneshot::Receiver<Outcome>, Option<Duty>) {
        let (caller, outcome) = oneshot::channel();
        let mut slot = self.slot();
        let wish = slot.waiting.get_or_insert_with(|| Wish { trigger, callers: Vec::new() });
        wish.trigger = trigger;
        wish.callers.push(caller);
        let idle = !std::mem::replace(&mut slot.at_work, true);
        (outcome, idle.then(|| Duty { mailbox: Arc::clone(self), done: false }))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Duty ===

impl Duty {
    /// The next wish. With `None` the duty is done.
    pub(crate) fn next(&mut self) -> Option<Wish> {
        let mut slot = self.mailbox.slot();
        let wish = slot.waiting.take();
        slot.at_work = wish.is_some();
        self.done = wish.is_none();
        wish
    }
}

impl Drop for Duty {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Outcome = Outcome::Unchanged { generation: 1 };

    #[test]
    fn what_comes_while_an_attempt_is_at_work_is_met_by_one_attempt_for_the_latest() {
        let mailbox = Arc::new(Mailbox::default());
        let (mut first, duty) = mailbox.leave(Trigger::Admin);
        let mut duty = duty.unwrap();
        let at_work = duty.next().unwrap();
        let (mut second, none) = mailbox.leave(Trigger::Signal);
        assert!(none.is_none());
        let (mut third, none) = mailbox.leave(Trigger::Watch);
        assert!(none.is_none());
        at_work.answer(&DONE);
        assert!(first.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        let together = duty.next().unwrap();
        assert_eq!(together.trigger, Trigger::Watch);
        together.answer(&DONE);
        assert!(second.try_recv().is_ok() && third.try_recv().is_ok());
        assert!(duty.next().is_none());
    }

    #[test]
    fn a_duty_that_is_done_takes_nothing_from_the_next() {
        let mailbox = Arc::new(Mailbox::default());
        let (_first, duty) = mailbox.leave(Trigger::Admin);
        let mut duty = duty.unwrap();
        assert!(duty.next().is_some() && duty.next().is_none());
        let (mut second, next) = mailbox.leave(Trigger::Admin);
        drop(duty);
        next.unwrap().next().unwrap().answer(&DONE);
        assert!(second.try_recv().is_ok());
    }

    #[test]
    fn a_duty_that_is_cut_off_passes_to_the_next_who_comes() {
        let mailbox = Arc::new(Mailbox::default());
        let (_first, duty) = mailbox.leave(Trigger::Admin);
        let (mut second, _) = mailbox.leave(Trigger::Admin);
        drop(duty);
        assert_eq!(second.try_recv().unwrap_err(), oneshot::error::TryRecvError::Closed);
        assert!(mailbox.leave(Trigger::Admin).1.is_some());
    }
}
