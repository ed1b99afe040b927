//! Waits for what seldom happens beside what often does.
//!
//! All that a task waits for is polled whenever any of it wakes the task. A connection is woken by each request, and what
//! else it waits for would each time register its waker anew, with a timer and with a list that all connections share.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Wakes a task, and notes for whom.
struct Alarm {
    rang: AtomicBool,
    task: Waker,
}

/// Polls a future first, and then only when that future was what woke.
pub(crate) async fn when_woken<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut alarm: Option<Arc<Alarm>> = None;
    poll_fn(|context| {
        let known = alarm.take().filter(|alarm| alarm.task.will_wake(context.waker()));
        let alarm = alarm.insert(known.unwrap_or_else(|| Alarm::ringing(context.waker())));
        if !alarm.rang.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(alarm))))
    })
    .await
}

// === impl Alarm ===

impl Alarm {
    fn ringing(task: &Waker) -> Arc<Self> {
        Arc::new(Self { rang: AtomicBool::new(true), task: task.clone() })
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::atomic::AtomicUsize};

    use tokio::sync::oneshot;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_again_only_when_it_woke() {
        let task = Arc::new(Task::default());
        let (sender, mut receiver) = oneshot::channel();
        let mut polls = 0;
        let seldom = poll_fn(|context| {
            polls += 1;
            Pin::new(&mut receiver).poll(context)
        });
        {
            let mut seldom = pin!(seldom);
            let mut waited = pin!(when_woken(seldom.as_mut()));
            let waker = Waker::from(Arc::clone(&task));
            let mut context = Context::from_waker(&waker);
            for _ in 0..10 {
                assert!(waited.as_mut().poll(&mut context).is_pending());
            }
            sender.send(7).unwrap();
            assert_eq!(task.0.load(Ordering::Relaxed), 1);
            assert_eq!(waited.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
        }
        assert_eq!(polls, 2);
    }

    #[test]
    fn a_task_that_takes_it_over_is_the_one_that_is_woken() {
        let tasks = [Arc::new(Task::default()), Arc::new(Task::default())];
        let (sender, receiver) = oneshot::channel();
        let mut receiver = pin!(receiver);
        let mut waited = pin!(when_woken(receiver.as_mut()));
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            assert!(waited.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        sender.send(()).unwrap();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [0, 1]);
    }
}
