//! Moments and choices that nobody made, and that come again with the same seed.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Xorshift.
pub(crate) struct Random(u64);

// === impl Random ===

impl Random {
    /// Seeded by this variable, where it is set. Prints the seed.
    pub(crate) fn seeded(variable: &str) -> Self {
        let given = env::var(variable).ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(variable) | 1);
        println!("{variable}={seed}");
        Self(seed)
    }

    /// A time below `end`.
    pub(crate) fn below(&mut self, end: Duration) -> Duration {
        end.mul_f64((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// A number below `end`.
    pub(crate) fn index(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Another one, for somebody else.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next() | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
