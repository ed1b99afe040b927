use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::exchange::Exchange;

/// One generation of a pipeline, as those who still run on it hold it. Its strong count is what is in flight.
pub struct Generation {
    number: u64,
    streams: Mutex<Streams>,
}

/// Decides whether a stream that began on an older generation may go on.
pub trait Readmission: Send + Sync {
    /// Whether the rules that hold now would let it in.
    fn readmits(&self, stream: &Exchange) -> bool;
}

#[derive(Default)]
struct Streams {
    /// By where they are in memory, which none leaves before it is taken off the list.
    open: HashMap<usize, Weak<Exchange>>,
    /// Whom to ask, once the generation is replaced.
    readmission: Option<Weak<dyn Readmission>>,
}

// === impl Generation ===

impl Generation {
    /// A generation that nothing runs on yet.
    pub fn new(number: u64) -> Arc<Self> {
        Arc::new(Self { number, streams: Mutex::default() })
    }

    /// Its number; the first is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The streams that began on it and are still open.
    pub fn streams(&self) -> usize {
        self.lock().open.len()
    }

    /// It was replaced: a request that still runs on it may begin a stream only where the rules of now let it in. To be
    /// called once they hold, before [`recheck`](Self::recheck).
    pub fn retire(&self, readmission: Weak<dyn Readmission>) {
        self.lock().readmission = Some(readmission);
    }

    /// Ends those of its streams that the rules of now would not let in.
    pub fn recheck(&self, readmission: &dyn Readmission) {
        // Whoever ends at this moment takes itself off the list, for which it must not be locked.
        let open: Vec<Arc<Exchange>> = self.lock().open.values().filter_map(Weak::upgrade).collect();
        for stream in open {
            stream.recheck(readmission);
        }
    }

    pub(super) fn begin_stream(&self, stream: &Arc<Exchange>) {
        let mut streams = self.lock();
        streams.open.insert(Arc::as_ptr(stream).addr(), Arc::downgrade(stream));
        // Either a recheck finds the stream on the list, or it was before, and what it asked is asked here.
        let readmission = streams.readmission.as_ref().and_then(Weak::upgrade);
        drop(streams);
        if let Some(readmission) = readmission {
            stream.recheck(&*readmission);
        }
    }

    pub(super) fn end_stream(&self, stream: &Exchange) {
        self.lock().open.remove(&std::ptr::from_ref(stream).addr());
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::kernel::Matched;

    /// Lets in what was asked by this path.
    struct Only(&'static str);

    impl Readmission for Only {
        fn readmits(&self, stream: &Exchange) -> bool {
            stream.path() == self.0
        }
    }

    fn exchange(path: &str, generation: &Arc<Generation>) -> Arc<Exchange> {
        Arc::new(Exchange::new(Method::GET, path, Matched::NotFound).with_generation(Arc::clone(generation)))
    }

    #[test]
    fn a_stream_is_counted_once_and_until_it_is_dropped() {
        let generation = Generation::new(1);
        let stream = exchange("/", &generation);
        stream.mark_stream();
        stream.mark_stream();
        assert_eq!(generation.streams(), 1);
        drop(stream);
        assert_eq!(generation.streams(), 0);
        assert_eq!(Arc::strong_count(&generation), 1);
    }

    #[test]
    fn only_those_who_would_be_refused_are_ended() {
        let generation = Generation::new(1);
        let (first, second) = (exchange("/a", &generation), exchange("/b", &generation));
        let (first_end, second_end) = (first.mark_stream(), second.mark_stream());
        generation.recheck(&Only("/a"));
        assert!(!first_end.is_cancelled() && second_end.is_cancelled());
        assert_eq!(generation.streams(), 2, "they are open until they are gone");
    }

    #[test]
    fn a_request_of_a_replaced_generation_begins_no_stream_that_the_rules_of_now_refuse() {
        let generation = Generation::new(1);
        let rules: Arc<dyn Readmission> = Arc::new(Only("/a"));
        let (first, second) = (exchange("/a", &generation), exchange("/b", &generation));
        generation.retire(Arc::downgrade(&rules));
        assert!(!first.mark_stream().is_cancelled());
        assert!(second.mark_stream().is_cancelled());
        drop(rules);
        assert!(!exchange("/c", &generation).mark_stream().is_cancelled(), "nobody is left to ask");
    }
}
