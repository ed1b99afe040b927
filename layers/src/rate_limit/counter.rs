//! Counts one key's requests in a window that slides.

use std::collections::VecDeque;

use super::buckets::{Buckets, share};

/// The most requests a window counts one by one; above that two weighted buckets are as good and far smaller.
pub(super) const EXACT: u64 = 64;

/// How many requests in what time. All times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The most requests in a window.
    pub requests: u64,
    /// How long a window is; at least 1.
    pub window: u64,
    /// For how long a key that went over is refused altogether; 0 only refuses what is over.
    pub block_for: u64,
}

/// What a limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may pass.
    pub allowed: bool,
    /// Requests that would still be allowed at once.
    pub remaining: u64,
    /// Milliseconds until the quota grows again; where nothing remains, until the next request is allowed.
    pub reset: u64,
}

/// What was counted of one key. The quota is no part of it, so that a changed one binds at once and refills nothing.
///
/// Times are milliseconds since any moment, as long as it is always the same one. Who shares counters between servers
/// ([`SharedCounters`](super::SharedCounters)) answers as this does.
#[derive(Clone, Debug)]
pub struct Counter {
    counted: Counted,
    /// When it went over a limit that blocks.
    over_since: Option<u64>,
    /// When it was last asked.
    pub(super) seen: u64,
}

#[derive(Clone, Debug)]
enum Counted {
    /// When each request came, the oldest first.
    Exactly(VecDeque<u64>),
    Weighted(Buckets),
}

impl Counter {
    /// Nothing was counted.
    pub fn new(now: u64) -> Self {
        Self { counted: Counted::Exactly(VecDeque::new()), over_since: None, seen: now }
    }

    /// Whether nothing that was counted matters any more.
    pub(super) fn is_over(&self, quota: &Quota, now: u64) -> bool {
        let width = match &self.counted {
            Counted::Exactly(_) => quota.window,
            Counted::Weighted(buckets) => buckets.lifetime().max(quota.window),
        };
        self.blocked_for(quota, now) == 0 && self.seen.saturating_add(width) <= now
    }

    /// Counts a request, if it is allowed.
    pub fn ask(&mut self, quota: &Quota, now: u64) -> Verdict {
        // Threads read the clock before they wait for each other: time must not go back.
        let now = now.max(self.seen);
        self.seen = now;
        let blocked_for = self.blocked_for(quota, now);
        if blocked_for > 0 {
            return Verdict { allowed: false, remaining: 0, reset: blocked_for };
        }
        self.over_since = None;
        self.adapt(quota, now);
        let mut verdict = match &mut self.counted {
            Counted::Exactly(times) => exactly(times, quota, now),
            Counted::Weighted(buckets) => buckets.ask(quota.requests, now),
        };
        if !verdict.allowed && quota.block_for > 0 {
            self.over_since = Some(now);
            verdict.reset = quota.block_for;
        }
        verdict
    }

    /// Forgets the request that was counted last.
    pub(super) fn take_back(&mut self) {
        match &mut self.counted {
            Counted::Exactly(times) => drop(times.pop_back()),
            Counted::Weighted(buckets) => buckets.take_back(),
        }
    }

    fn blocked_for(&self, quota: &Quota, now: u64) -> u64 {
        self.over_since.map_or(0, |since| since.saturating_add(quota.block_for).saturating_sub(now))
    }

    /// Takes over what was counted where the quota is now counted another way.
    fn adapt(&mut self, quota: &Quota, now: u64) {
        let exact = quota.requests <= EXACT;
        match &mut self.counted {
            Counted::Exactly(times) if !exact => {
                forget(times, quota.window, now);
                self.counted = Counted::Weighted(Buckets::new(times.len() as u64, quota.window, now));
            }
            Counted::Weighted(buckets) if exact => {
                let counted = buckets.within(quota.window, now);
                self.counted = Counted::Exactly(spread(counted, quota.window, now));
            }
            Counted::Weighted(buckets) if buckets.width() != quota.window => {
                *buckets = Buckets::new(buckets.within(quota.window, now), quota.window, now);
            }
            _ => {}
        }
    }
}

fn exactly(times: &mut VecDeque<u64>, quota: &Quota, now: u64) -> Verdict {
    forget(times, quota.window, now);
    let counted = times.len() as u64;
    let allowed = counted < quota.requests;
    if allowed {
        times.push_back(now);
    }
    // A quota that became smaller may be over by several: then more than the oldest must leave.
    let leaving = usize::try_from(counted.saturating_sub(quota.requests)).unwrap_or(usize::MAX);
    let next = times.get(if allowed { 0 } else { leaving }).copied().unwrap_or(now);
    Verdict {
        allowed,
        remaining: quota.requests.saturating_sub(times.len() as u64),
        reset: (next + quota.window).saturating_sub(now),
    }
}

fn forget(times: &mut VecDeque<u64>, window: u64, now: u64) {
    while times.front().is_some_and(|first| first + window <= now) {
        times.pop_front();
    }
}

/// The latest of so many times, evenly over the window that ends now: those that leave last.
fn spread(count: u64, window: u64, now: u64) -> VecDeque<u64> {
    let time = |index| now.saturating_sub(window - 1 - share(index, window - 1, count));
    (count.saturating_sub(EXACT)..count).map(time).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(requests: u64, window: u64) -> Quota {
        Quota { requests, window, block_for: 0 }
    }

    proptest! {
        /// Up to 64 requests the window slides exactly: held against every request that was allowed, ever.
        #[test]
        fn small_windows_are_exact(steps in prop::collection::vec(0u64..40, 1..200), requests in 1u64..=10, window in 1u64..200) {
            let (mut counter, mut allowed, mut now) = (Counter::new(0), Vec::<u64>::new(), 0);
            for step in steps {
                now += step;
                let recent = allowed.iter().filter(|time| **time + window > now).count() as u64;
                let verdict = counter.ask(&quota(requests, window), now);
                prop_assert_eq!(verdict.allowed, recent < requests);
                if verdict.allowed {
                    allowed.push(now);
                    prop_assert_eq!(verdict.remaining, requests - recent - 1);
                } else {
                    // The time it names is the first at which a request is allowed.
                    prop_assert!(!counter.clone().ask(&quota(requests, window), now + verdict.reset - 1).allowed);
                    prop_assert!(counter.clone().ask(&quota(requests, window), now + verdict.reset).allowed);
                }
            }
        }

        #[test]
        fn nothing_overflows(times in prop::collection::vec(0u64..u64::MAX / 8, 1..50), requests in 1u64..u64::MAX, window in 1u64..u64::MAX / 8) {
            let (mut counter, mut times) = (Counter::new(0), times);
            times.sort_unstable();
            for now in times {
                counter.ask(&Quota { requests, window, block_for: 5 }, now);
            }
        }
    }

    #[test]
    fn a_burst_never_exceeds_the_limit() {
        for requests in [1, 10, 64, 65, 1000] {
            let mut counter = Counter::new(0);
            let allowed = (0..2000).filter(|_| counter.ask(&quota(requests, 1000), 5).allowed).count() as u64;
            assert_eq!(allowed, requests);
        }
    }

    #[test]
    fn a_quota_that_changes_takes_over_what_was_counted() {
        // Counted one by one, in buckets, and from each to the other; longer, shorter, larger and smaller.
        for (first, second, left) in [
            (quota(10, 1000), quota(5, 1000), 0),
            (quota(10, 1000), quota(20, 1000), 10),
            (quota(10, 1000), quota(100, 1000), 90),
            (quota(100, 1000), quota(200, 1000), 100),
            (quota(100, 1000), quota(50, 1000), 0),
            (quota(100, 1000), quota(110, 5000), 10),
            (quota(100, 1000), quota(120, 500), 20),
            (quota(100, 1000), quota(64, 500), 0),
        ] {
            let mut counter = Counter::new(0);
            assert_eq!((0..200).filter(|_| counter.ask(&first, 10).allowed).count() as u64, first.requests);
            let allowed = (0..300).filter(|_| counter.ask(&second, 10).allowed).count();
            assert_eq!(allowed, left, "{first:?} {second:?}");
        }
    }

    #[test]
    fn who_goes_over_is_blocked_for_as_long_as_it_says() {
        let quota = Quota { requests: 2, window: 100, block_for: 1000 };
        let mut counter = Counter::new(0);
        assert!(counter.ask(&quota, 0).allowed && counter.ask(&quota, 0).allowed);
        assert_eq!(counter.ask(&quota, 50), Verdict { allowed: false, remaining: 0, reset: 1000 });
        assert_eq!(counter.ask(&quota, 1000).reset, 50, "asking does not prolong it");
        assert!(!counter.is_over(&quota, 1049));
        assert!(counter.ask(&quota, 1050).allowed);
    }

    #[test]
    fn threads_that_come_out_of_order_lose_no_count() {
        for requests in [10, 100] {
            let quota = quota(requests, 1000);
            let mut counter = Counter::new(10);
            assert!((0..requests).all(|_| counter.ask(&quota, 10).allowed));
            assert!(!counter.ask(&quota, 9).allowed, "{requests}");
            assert!(!counter.ask(&quota, 10).allowed, "{requests}");
        }
    }

    #[test]
    fn a_changed_block_binds_at_once() {
        let blocked = |block_for| Quota { requests: 1, window: 10, block_for };
        let mut counter = Counter::new(0);
        assert!(counter.ask(&blocked(1000), 0).allowed);
        assert_eq!(counter.ask(&blocked(1000), 5).reset, 1000);
        assert_eq!(counter.clone().ask(&blocked(2000), 105).reset, 1900, "longer");
        assert_eq!(counter.clone().ask(&blocked(200), 105).reset, 100, "shorter");
        assert!(counter.clone().ask(&blocked(0), 105).allowed, "none any more");
        assert!(counter.ask(&blocked(1000), 1005).allowed);
        assert!(!counter.clone().ask(&blocked(9000), 1006).allowed, "over again");
        assert!(counter.ask(&blocked(9000), 1016).allowed, "a block that was served does not come back");
    }

    #[test]
    fn a_shorter_window_forgives_no_burst_and_few_requests_free_no_room_early() {
        let mut counter = Counter::new(0);
        assert!((0..100).all(|_| counter.ask(&quota(100, 1000), 10).allowed));
        assert!(!counter.clone().ask(&quota(100, 500), 10).allowed, "all came within the shorter window");
        let mut many = Counter::new(0);
        assert!((0..1000).all(|time| many.ask(&quota(1000, 1000), time).allowed));
        // Ten of a thousand in a second: only when nearly all of them have left is there room again.
        assert!(!many.clone().ask(&quota(10, 1000), 1000).allowed);
        let reset = many.ask(&quota(10, 1000), 1000).reset;
        assert!((980..=1000).contains(&reset), "{reset}");
    }
}
