//! The counters of all keys: bounded, sharded, cheap for keys that are known.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::counter::{Counter, Quota, Verdict};

/// Keys are spread over so many locks.
const SHARDS: usize = 16;

/// Counts requests by key. It outlives the layer: a reload's new limits bind on what was counted before.
pub(super) struct Counters {
    /// Keyed at random for each process, so that nobody can choose keys that collide.
    hasher: RandomState,
    shards: [Mutex<CounterMap>; SHARDS],
    clock: Clock,
}

/// Counters by the hashes of their keys.
type CounterMap = HashMap<u64, Counter, BuildHasherDefault<Hashed>>;

/// A hash as it is: it need not be hashed again.
#[derive(Default)]
struct Hashed(u64);

/// What a limit says of a request, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) verdict: Verdict,
    hash: u64,
}

impl Asked {
    /// What was said by counters that are not this server's.
    pub(super) fn elsewhere(verdict: Verdict) -> Self {
        Self { verdict, hash: 0 }
    }
}

/// Milliseconds since the counters were made.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}

impl Counters {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        Self::with_clock(Box::new(move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }

    pub(super) fn with_clock(clock: Clock) -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()), clock }
    }

    /// What a key is known by here.
    pub(super) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Counts a request of the key with this hash, if it is allowed. At most `max_keys` are remembered, but one for each
    /// lock at least.
    pub(super) fn ask(&self, hash: u64, quota: &Quota, max_keys: usize) -> Asked {
        let now = (self.clock)();
        let mut counters = self.shard(hash);
        if let Some(counter) = counters.get_mut(&hash) {
            return Asked { verdict: counter.ask(quota, now), hash };
        }
        make_room(&mut counters, (max_keys / SHARDS).max(1), quota, now);
        let verdict = counters.entry(hash).or_insert_with(|| Counter::new(now)).ask(quota, now);
        Asked { verdict, hash }
    }

    /// Forgets a request that was counted.
    pub(super) fn take_back(&self, asked: &Asked) {
        if let Some(counter) = self.shard(asked.hash).get_mut(&asked.hash) {
            counter.take_back();
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, CounterMap> {
        let [first, others @ ..] = &self.shards;
        // By other bits than those that a map takes, which are the lowest and the highest.
        let shard = usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or_default();
        let shard = shard.checked_sub(1).and_then(|index| others.get(index)).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

// === impl Hashed ===

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0 << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Lets go of keys where there are too many: those that are over, and then those seen longest ago until an eighth of the
/// room is free. So the work is done once in many new keys, however fast they come.
fn make_room(counters: &mut CounterMap, most: usize, quota: &Quota, now: u64) {
    if counters.len() < most {
        return;
    }
    counters.retain(|_, counter| !counter.is_over(quota, now));
    let Some(last) = counters.len().checked_sub(most - most.div_ceil(8) + 1) else { return };
    let mut seen: Vec<u64> = counters.values().map(|counter| counter.seen).collect();
    let (earlier, newest, _) = seen.select_nth_unstable(last);
    // Of those seen in the same millisecond as the last to leave, only as many as needed do.
    let newest = *newest;
    let mut of_newest = 1 + earlier.iter().filter(|seen| **seen == newest).count();
    counters.retain(|_, counter| {
        if counter.seen == newest && of_newest > 0 {
            of_newest -= 1;
            return false;
        }
        counter.seen >= newest
    });
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    /// Counters whose time stands still until it is moved.
    fn counters(now: &Arc<AtomicU64>) -> Counters {
        let now = Arc::clone(now);
        Counters::with_clock(Box::new(move || now.load(Ordering::Relaxed)))
    }

    #[test]
    fn no_more_keys_are_kept_than_allowed_and_the_oldest_go_first() {
        let now = Arc::new(AtomicU64::new(0));
        let counters = counters(&now);
        let quota = Quota { requests: 1, window: 1_000_000, block_for: 0 };
        for key in 0..10_000u64 {
            now.store(key, Ordering::Relaxed);
            counters.ask(counters.hash(key), &quota, 1_600);
            assert!(counters.len() <= 1_600);
        }
        assert!(counters.len() >= 1_000, "{}", counters.len());
        assert!(
            !counters.ask(counters.hash(9_999u64), &quota, 1_600).verdict.allowed,
            "the newest is remembered"
        );
        assert!(counters.ask(counters.hash(0u64), &quota, 1_600).verdict.allowed, "the oldest is forgotten");
    }

    #[test]
    fn keys_that_are_over_make_room_before_others_do() {
        let now = Arc::new(AtomicU64::new(0));
        let counters = counters(&now);
        let quota = Quota { requests: 1, window: 100, block_for: 0 };
        (0..1_000u64).for_each(|key| assert!(counters.ask(counters.hash(key), &quota, 16).verdict.allowed));
        now.store(1_000, Ordering::Relaxed);
        (0..100u64).for_each(|key| {
            assert!(counters.ask(counters.hash(("new", key)), &quota, 16_000).verdict.allowed)
        });
        assert!(counters.len() <= 116);
    }

    #[test]
    fn room_is_made_for_many_keys_at_once() {
        let quota = Quota { requests: 1, window: 1_000, block_for: 0 };
        let mut full: CounterMap = (0..800).map(|key| (key, Counter::new(1_000 + key))).collect();
        full.insert(800, Counter::new(0));
        make_room(&mut full, 801, &quota, 1_500);
        assert_eq!(full.len(), 700, "though one of them was over");
        assert!(full.contains_key(&799) && !full.contains_key(&99));
        make_room(&mut full, 80, &quota, 1_500);
        assert_eq!(full.len(), 70, "a smaller bound holds from the next key on");
        let mut one = CounterMap::from_iter([(1, Counter::new(1_500))]);
        make_room(&mut one, 1, &quota, 1_500);
        assert_eq!(one.len(), 0);
    }

    #[test]
    fn threads_together_get_no_more_than_the_limit() {
        for requests in [50, 500] {
            assert_eq!(allowed_to_eight_threads(requests), requests);
        }
    }

    fn allowed_to_eight_threads(requests: u64) -> u64 {
        let counters = Counters::new();
        let quota = Quota { requests, window: 3_600_000, block_for: 0 };
        let allowed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        allowed.fetch_add(
                            u64::from(counters.ask(counters.hash("key"), &quota, 1000).verdict.allowed),
                            Ordering::Relaxed,
                        );
                    }
                });
            }
        });
        allowed.into_inner()
    }
}
