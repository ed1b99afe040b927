//! Counts many requests in two buckets, of which the elder fades.

use super::counter::Verdict;

/// A window that slides over two buckets as wide as itself: of the one before, only the share that it still covers
/// counts, as if those requests had come evenly.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// When the current bucket began.
    start: u64,
    width: u64,
    before: u64,
    current: u64,
}

impl Buckets {
    /// Buckets that begin now with what was counted until now.
    pub(super) fn new(counted: u64, width: u64, now: u64) -> Self {
        Self { start: now, width, before: 0, current: counted }
    }

    pub(super) fn width(&self) -> u64 {
        self.width
    }

    /// How long a request can count: until the bucket after its own has ended.
    pub(super) fn lifetime(&self) -> u64 {
        2 * self.width
    }

    /// Counts a request, if it is allowed.
    pub(super) fn ask(&mut self, requests: u64, now: u64) -> Verdict {
        let counted = self.within(self.width, now);
        let into = now - self.start;
        if counted < requests {
            self.current += 1;
            // On average until one of the bucket before leaves; where it is empty, until this one begins to.
            let reset = self.width.checked_div(self.before).unwrap_or(self.width - into).max(1);
            return Verdict { allowed: true, remaining: requests - counted - 1, reset };
        }
        let most = requests.saturating_sub(1);
        let reset = match most.checked_sub(self.current) {
            Some(room) => fades(self.before, room, self.width).saturating_sub(into),
            // This bucket alone is over: it has to end, and then fade.
            None => self.width - into + fades(self.current, most, self.width),
        };
        Verdict { allowed: false, remaining: 0, reset: reset.max(1) }
    }

    /// Forgets a request that was counted.
    pub(super) fn take_back(&mut self) {
        self.current = self.current.saturating_sub(1);
    }

    /// How many came in a window that ends now, as if those of each bucket had come evenly.
    pub(super) fn within(&mut self, window: u64, now: u64) -> u64 {
        self.advance(now);
        let into = now - self.start;
        match window.checked_sub(into) {
            Some(rest) => share(self.before, rest.min(self.width), self.width) + self.current,
            None => share(self.current, window, into),
        }
    }

    /// Goes on to the bucket that `now` is in.
    fn advance(&mut self, now: u64) {
        let passed = (now - self.start) / self.width;
        if passed > 0 {
            self.before = if passed == 1 { self.current } else { 0 };
            self.current = 0;
            self.start += passed * self.width;
        }
    }
}

/// How far into a bucket no more than `room` of the `before` in the one before it still count.
fn fades(before: u64, room: u64, width: u64) -> u64 {
    let left = u128::from(room) * u128::from(width) / u128::from(before.max(1));
    width.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX))
}

/// `count × part ÷ whole`, rounded up, so that what is counted is never less than what came.
pub(super) fn share(count: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(count) * u128::from(part);
    u64::try_from(product.div_ceil(u128::from(whole.max(1)))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Held against the definition, worked out anew from every request that was allowed, ever.
        #[test]
        fn buckets_are_weighted_as_defined(steps in prop::collection::vec(0u64..30, 1..1000), requests in 65u64..120, width in 100u64..2000) {
            let (mut buckets, mut allowed, mut now) = (Buckets::new(0, width, 0), Vec::<u64>::new(), 0);
            for step in steps {
                now += step;
                let (bucket, into) = (now / width, now % width);
                let came_in = |bucket| allowed.iter().filter(|time| Some(**time / width) == bucket).count() as u64;
                let (before, current) = (came_in(bucket.checked_sub(1)), came_in(Some(bucket)));
                let counted = (before * (width - into)).div_ceil(width) + current;
                let verdict = buckets.ask(requests, now);
                prop_assert_eq!(verdict.allowed, counted < requests);
                if verdict.allowed {
                    allowed.push(now);
                    prop_assert_eq!(verdict.remaining, requests - counted - 1);
                } else {
                    // The time it names is the first at which a request is allowed.
                    prop_assert!(!buckets.clone().ask(requests, now + verdict.reset - 1).allowed);
                    prop_assert!(buckets.clone().ask(requests, now + verdict.reset).allowed);
                }
                let recent = allowed.iter().filter(|time| **time + width > now).count() as u64;
                // It can be wrong by what was uneven within the bucket before: never by more than that one.
                prop_assert!(recent < 2 * requests);
            }
        }
    }

    #[test]
    fn another_window_holds_its_share() {
        // 80 in the bucket before, 20 in this one, 50 into it.
        let buckets = Buckets { start: 100, width: 100, before: 80, current: 20 };
        for (window, counted) in [(10, 4), (25, 10), (50, 20), (60, 28), (100, 60), (150, 100), (1000, 100)] {
            assert_eq!(buckets.clone().within(window, 150), counted, "{window}");
        }
    }
}
