//! Counts one key's requests in a window that slides.

use std::collections::VecDeque;

/// The most requests a window counts one by one; above that two weighted buckets are as good and far smaller.
pub(super) const EXACT: u64 = 64;

/// How many requests in what time. All times are milliseconds since the limiter was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) requests: u64,
    pub(super) window: u64,
    /// For how long a key that went over is refused altogether; 0 only refuses what is over.
    pub(super) block_for: u64,
}

/// What a limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    /// Requests that would still be allowed at once.
    pub(super) remaining: u64,
    /// Until the quota grows again; where nothing remains, until the next request is allowed.
    pub(super) reset: u64,
}

/// What was counted of one key. The quota is no part of it, so that a changed one binds at once and refills nothing.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    counted: Counted,
    blocked_until: u64,
    /// When it was last asked.
    pub(super) seen: u64,
}

#[derive(Clone, Debug)]
enum Counted {
    /// When each request came, the oldest first.
    Exactly(VecDeque<u64>),
    /// How many came in this bucket, which began at `start`, and in the one before it.
    Weighted { start: u64, width: u64, before: u64, current: u64 },
}

impl Counter {
    pub(super) fn new(now: u64) -> Self {
        Self { counted: Counted::Exactly(VecDeque::new()), blocked_until: 0, seen: now }
    }

    /// Whether nothing that was counted matters any more.
    pub(super) fn is_over(&self, quota: &Quota, now: u64) -> bool {
        let width = match &self.counted {
            Counted::Exactly(_) => quota.window,
            // A bucket counts until the one after it has ended.
            Counted::Weighted { width, .. } => (2 * width).max(quota.window),
        };
        self.blocked_until <= now && self.seen.saturating_add(width) <= now
    }

    /// Counts a request, if it is allowed.
    pub(super) fn ask(&mut self, quota: &Quota, now: u64) -> Verdict {
        self.seen = now;
        if self.blocked_until > now {
            return Verdict { allowed: false, remaining: 0, reset: self.blocked_until - now };
        }
        self.adapt(quota, now);
        let mut verdict = match &mut self.counted {
            Counted::Exactly(times) => exactly(times, quota, now),
            Counted::Weighted { start, width, before, current } => {
                advance(start, *width, before, current, now);
                weighted(now - *start, *width, *before, current, quota.requests)
            }
        };
        if !verdict.allowed && quota.block_for > 0 {
            self.blocked_until = now + quota.block_for;
            verdict.reset = quota.block_for;
        }
        verdict
    }

    /// Takes over what was counted where the quota is now counted another way.
    fn adapt(&mut self, quota: &Quota, now: u64) {
        let exact = quota.requests <= EXACT;
        match &mut self.counted {
            Counted::Exactly(times) => {
                forget(times, quota.window, now);
                if !exact {
                    let current = times.len() as u64;
                    self.counted = Counted::Weighted { start: now, width: quota.window, before: 0, current };
                }
            }
            Counted::Weighted { start, width, before, current } => {
                if exact || *width != quota.window {
                    advance(start, *width, before, current, now);
                    let mut counted = estimate(now - *start, *width, *before, *current);
                    if quota.window < *width {
                        // As if they had come evenly: a shorter window holds its share of them.
                        counted = share(counted, quota.window, *width);
                    }
                    self.counted = if exact {
                        Counted::Exactly(spread(counted.min(EXACT), quota.window, now))
                    } else {
                        Counted::Weighted { start: now, width: quota.window, before: 0, current: counted }
                    };
                }
            }
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

/// As many times as were counted, evenly over the window that ends now.
fn spread(count: u64, window: u64, now: u64) -> VecDeque<u64> {
    (0..count).map(|index| now.saturating_sub(window - 1 - share(index, window - 1, count))).collect()
}

/// Goes on to the bucket that `now` is in.
fn advance(start: &mut u64, width: u64, before: &mut u64, current: &mut u64, now: u64) {
    let passed = (now - *start) / width;
    if passed > 0 {
        *before = if passed == 1 { *current } else { 0 };
        *current = 0;
        *start += passed * width;
    }
}

/// Requests in the window that ends `into` milliseconds into the bucket.
fn estimate(into: u64, width: u64, before: u64, current: u64) -> u64 {
    share(before, width - into, width) + current
}

fn weighted(into: u64, width: u64, before: u64, current: &mut u64, requests: u64) -> Verdict {
    let counted = estimate(into, width, before, *current);
    if counted < requests {
        *current += 1;
        let reset = width.checked_div(before).unwrap_or(2 * width - into).max(1);
        return Verdict { allowed: true, remaining: requests - counted - 1, reset };
    }
    let reset = match (requests - 1).checked_sub(*current) {
        // The bucket before fades until there is room.
        Some(room) => fades(before, room, width).saturating_sub(into),
        // This bucket alone is over: it has to end, and then fade.
        None => width - into + fades(*current, requests - 1, width),
    };
    Verdict { allowed: false, remaining: 0, reset: reset.max(1) }
}

/// How far into a bucket no more than `room` of the `before` in the one before it still count.
fn fades(before: u64, room: u64, width: u64) -> u64 {
    let left = u128::from(room) * u128::from(width) / u128::from(before.max(1));
    width.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
}

/// `count × part ÷ whole`, rounded up, so that what is counted is never less than what came.
fn share(count: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(count) * u128::from(part);
    u64::try_from(product.div_ceil(u128::from(whole.max(1)))).unwrap_or(u64::MAX)
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

        /// Above that, what is counted is at least what an even flow would have left, and a refusal names a time that
        /// is late enough.
        #[test]
        fn large_windows_keep_to_their_rate(steps in prop::collection::vec(0u64..30, 1..2000), requests in 65u64..200, window in 100u64..2000) {
            let (mut counter, mut allowed, mut now) = (Counter::new(0), Vec::<u64>::new(), 0);
            for step in steps {
                now += step;
                let verdict = counter.ask(&quota(requests, window), now);
                if verdict.allowed {
                    allowed.push(now);
                } else {
                    prop_assert!(counter.clone().ask(&quota(requests, window), now + verdict.reset).allowed);
                }
                let recent = allowed.iter().filter(|time| **time + window > now).count() as u64;
                // Two buckets can be wrong by what was uneven within the one before: never by more than that one.
                prop_assert!(recent <= 2 * requests);
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
            (quota(100, 1000), quota(100, 500), 50),
            (quota(100, 1000), quota(64, 500), 14),
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
}
