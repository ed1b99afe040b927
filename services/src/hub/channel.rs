//! One environment's events and their readers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use jiff::Timestamp;

use super::{Event, EventKind, StreamCounters};
use crate::keys::KeyGrant;

/// Events kept per environment for readers that come back.
const RING: usize = 256;
/// Events a reader may be behind.
const QUEUE: usize = 64;

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Its SDK key was revoked or has expired.
    KeyRevoked,
    /// Its environment or project was deleted.
    EnvironmentDeleted,
    /// The server stops; the reader should come back.
    Shutdown,
}

/// What a stream yields.
#[derive(Debug, Clone)]
pub enum StreamItem {
    /// Something happened.
    Event(Arc<Event>),
    /// Nothing more will come. Every later look gets the same answer.
    Ended(EndReason),
}

/// The readers of one environment and its last events.
pub(crate) struct Channel {
    state: Mutex<State>,
    counters: Arc<StreamCounters>,
}

struct State {
    revision: u64,
    /// Ids up to this one may be of changes that a replaced database does not have.
    disowned: Option<u64>,
    ring: VecDeque<Arc<Event>>,
    readers: HashMap<u64, Reader>,
    next_reader: u64,
    ended: Option<EndReason>,
}

struct Reader {
    key: Arc<KeyGrant>,
    queue: Arc<Queue>,
}

/// What waits for one reader.
#[derive(Default)]
struct Queue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    events: VecDeque<Arc<Event>>,
    ended: Option<EndReason>,
    waker: Option<Waker>,
}

impl Channel {
    /// A channel of an environment that stands at `revision`.
    pub(crate) fn new(revision: u64, counters: Arc<StreamCounters>) -> Self {
        let state = State {
            revision,
            disowned: None,
            ring: VecDeque::new(),
            readers: HashMap::new(),
            next_reader: 0,
            ended: None,
        };
        Self { state: Mutex::new(state), counters }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reader, who first gets what came after `last_event_id`, or a `refetch` where that is not known.
    fn subscribe(
        &self,
        key: &Arc<KeyGrant>,
        last_event_id: Option<u64>,
        now: Timestamp,
    ) -> (u64, Arc<Queue>) {
        let mut state = self.state();
        let queue = Arc::new(Queue::default());
        {
            let mut waiting = queue.state();
            if let Some(last) = last_event_id {
                waiting.events = state.missed(last, now);
            }
            // Whoever revokes a key marks it before it looks for its readers here.
            waiting.ended = state.ended.or_else(|| key.is_revoked().then_some(EndReason::KeyRevoked));
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Reader { key: key.clone(), queue: queue.clone() });
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        (id, queue)
    }

    fn unsubscribe(&self, id: u64) {
        self.state().readers.remove(&id);
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Hands an event to every reader. Events come in the order of their revisions.
    pub(crate) fn publish(&self, event: &Arc<Event>, now: Timestamp) {
        self.counters.events.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if event.revision <= state.revision {
            state.disowned = state.disowned.max(Some(state.revision));
        }
        state.revision = event.revision;
        // After a gap nobody can be told what was in between.
        if state.ring.back().is_some_and(|last| last.revision + 1 != event.revision) {
            state.ring.clear();
        }
        if state.ring.len() == RING {
            state.ring.pop_front();
        }
        state.ring.push_back(event.clone());
        let mut refetch = None;
        for reader in state.readers.values() {
            let mut waiting = reader.queue.state();
            if waiting.events.len() < QUEUE {
                waiting.events.push_back(event.clone());
            } else {
                self.counters.overflows.fetch_add(1, Ordering::Relaxed);
                let refetch = refetch.get_or_insert_with(|| {
                    Arc::new(Event::new(event.revision, EventKind::Refetch, None, now))
                });
                waiting.events.clear();
                waiting.events.push_back(refetch.clone());
            }
            waiting.wake();
        }
    }

    /// Ends the streams of one key, at once.
    pub(crate) fn end_key(&self, key: &KeyGrant) {
        for reader in self.state().readers.values().filter(|reader| std::ptr::eq(&*reader.key, key)) {
            let mut waiting = reader.queue.state();
            waiting.events.clear();
            waiting.end(EndReason::KeyRevoked);
        }
    }

    /// Ends all streams, those to come included; what waits for a reader is still handed over.
    pub(crate) fn end(&self, reason: EndReason) {
        let mut state = self.state();
        state.ended = Some(reason);
        for reader in state.readers.values() {
            reader.queue.state().end(reason);
        }
    }
}

impl State {
    fn missed(&self, last: u64, now: Timestamp) -> VecDeque<Arc<Event>> {
        let owned = self.disowned.is_none_or(|disowned| last > disowned);
        if owned && last == self.revision {
            return VecDeque::new();
        }
        let known = owned
            && self.ring.front().is_some_and(|first| first.revision <= last.saturating_add(1))
            && last < self.revision;
        let missed: VecDeque<_> =
            self.ring.iter().filter(|event| event.revision > last).take(QUEUE + 1).cloned().collect();
        if known && missed.len() <= QUEUE {
            return missed;
        }
        VecDeque::from([Arc::new(Event::new(self.revision, EventKind::Refetch, None, now))])
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn end(&mut self, reason: EndReason) {
        self.ended.get_or_insert(reason);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One reader's end of a stream. Dropping it leaves the stream.
pub struct Subscription {
    key: Arc<KeyGrant>,
    id: u64,
    queue: Arc<Queue>,
}

impl Subscription {
    /// Opens a stream on the key's environment. With `last_event_id` (the wire's `Last-Event-ID`) the first items
    /// are what came after it, or one `refetch` where that is no longer, or not yet, known.
    pub fn open(key: &Arc<KeyGrant>, last_event_id: Option<u64>, now: Timestamp) -> Self {
        let (id, queue) = key.environment.channel.subscribe(key, last_event_id, now);
        Self { key: key.clone(), id, queue }
    }

    /// The next item.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<StreamItem> {
        let mut waiting = self.queue.state();
        if let Some(event) = waiting.events.pop_front() {
            return Poll::Ready(StreamItem::Event(event));
        }
        if let Some(reason) = waiting.ended {
            return Poll::Ready(StreamItem::Ended(reason));
        }
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The next item.
    pub async fn next(&mut self) -> StreamItem {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.key.environment.channel.unsubscribe(self.id);
    }
}
