use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    time::Duration,
};

use http::{Method, StatusCode};

use crate::kernel::Exchange;

/// The upper ends of the histogram's buckets in seconds, after which there is one without an end. An answer from memory
/// takes tens of microseconds, one with a password hash tens of milliseconds; 0.5 and 1 are what alerts look at.
pub(super) const BOUNDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What the label of a method can be.
pub(super) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "OTHER"];

/// Which histogram a request belongs to. All of it is known to the program: a client can make up none of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) status: Option<StatusCode>,
}

/// One histogram.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    pub(super) sum: Duration,
}

/// Histograms by key.
pub(super) type SeriesMap = HashMap<Key, Series, BuildHasherDefault<Mixer>>;

/// Mixes the few numbers of a [`Key`]. Nobody outside can choose them, so that it need not be more.
#[derive(Default)]
pub(super) struct Mixer(u64);

// === impl Key ===

impl Key {
    pub(super) fn new(exchange: &Exchange, status: Option<StatusCode>) -> Self {
        Self { method: label(exchange.method()), path: exchange.pattern().unwrap_or("unknown"), status }
    }
}

/// Texts of the program are told apart by where they are: one text in two places makes two entries, which are put
/// together again when they are read out.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.path, other.path)
            && std::ptr::eq(self.method, other.method)
            && self.status == other.status
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.path.as_ptr().addr());
        state.write_usize(self.path.len());
        state.write_usize(self.method.as_ptr().addr());
        state.write_u16(self.status.map_or(0, |status| status.as_u16()));
    }
}

fn label(method: &Method) -> &'static str {
    let [get, post, put, delete, patch, head, options, connect, trace, other] = METHODS;
    match *method {
        Method::GET => get,
        Method::POST => post,
        Method::PUT => put,
        Method::DELETE => delete,
        Method::PATCH => patch,
        Method::HEAD => head,
        Method::OPTIONS => options,
        Method::CONNECT => connect,
        Method::TRACE => trace,
        _ => other,
    }
}

// === impl Series ===

impl Series {
    pub(super) fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        // There is one bucket more than there are bounds.
        self.buckets[bucket] += 1;
        self.sum += duration;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

// === impl Mixer ===

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // The table looks at the highest and the lowest bits: the multiplication left the lowest ones weak.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        // 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
