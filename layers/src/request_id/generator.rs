use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::kernel::RequestId;

/// Makes ids of 128 bits in 32 hexadecimal digits: a counter under two keyed hashes, whose keys the operating system
/// gave when the process began. No two are alike and none tells of another; there is no system call and no allocation.
#[derive(Debug)]
pub(super) struct Generator {
    high: RandomState,
    low: RandomState,
}

/// How many numbers a thread takes at once, so that threads seldom meet at the counter.
const BLOCK: u64 = 1024;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The next number of this thread's block, and where the block ends.
    static NUMBERS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

impl Generator {
    pub(super) fn new() -> Self {
        Self { high: RandomState::new(), low: RandomState::new() }
    }

    pub(super) fn generate(&self) -> RequestId {
        let number = next_number();
        RequestId::from(u128::from(self.high.hash_one(number)) << 64 | u128::from(self.low.hash_one(number)))
    }
}

fn next_number() -> u64 {
    NUMBERS.with(|numbers| {
        let (mut next, mut end) = numbers.get();
        if next == end {
            next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
            end = next + BLOCK;
        }
        numbers.set((next + 1, end));
        next
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc, thread};

    use super::*;

    #[test]
    fn ids_of_many_threads_are_all_different() {
        let generator = Arc::new(Generator::new());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let generator = generator.clone();
                thread::spawn(move || {
                    (0..5_000).map(|_| generator.generate().to_string()).collect::<Vec<_>>()
                })
            })
            .collect();
        let ids: HashSet<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn neighbouring_ids_and_other_generators_have_nothing_in_common() {
        let (one, other) = (Generator::new(), Generator::new());
        let ids: Vec<u128> = [one.generate(), one.generate(), other.generate()]
            .map(|id| u128::from_str_radix(id.as_str(), 16).unwrap())
            .into();
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            // Of 128 random bits 64 differ; fewer than 20 is a chance of less than 1 in 10^15.
            assert!((ids[a] ^ ids[b]).count_ones() > 20, "{ids:x?}");
        }
    }
}
