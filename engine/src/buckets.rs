//! Draws: which share of the population a value belongs to. The same value always draws the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::limits::WHOLE;

/// How a draw is made. What is not listed here is refused when written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashScheme {
    /// murmur3 x86 32-bit, seed 0, over `salt ":" purpose ":" value`: `(hash × range) >> 32`. Who is in and
    /// which variant they get are independent draws.
    #[default]
    Murmur3,
    /// SHA-256 over salt and value without anything between; the first 8 bytes, big-endian, modulo 100:
    /// percents, one draw for both purposes. Its own salt is the flag's key, as is ours by default.
    Togglerino,
}

/// What is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Whether somebody takes part.
    In,
    /// Which variant they get.
    Variant,
}

impl HashScheme {
    pub(crate) const NAMES: [(&'static str, Self); 2] =
        [("murmur3", Self::Murmur3), ("togglerino", Self::Togglerino)];
}

/// Draws for one salt, with everything hashed ahead that does not depend on the value.
#[derive(Clone, Debug)]
pub(crate) enum Drawer {
    Murmur3 { membership: Murmur3, variant: Murmur3 },
    Togglerino { salted: Box<Sha256> },
}

impl Drawer {
    pub(crate) fn new(scheme: HashScheme, salt: &str) -> Self {
        match scheme {
            HashScheme::Murmur3 => {
                let salted = Murmur3::default().chain(salt.as_bytes());
                Self::Murmur3 { membership: salted.chain(b":in:"), variant: salted.chain(b":variant:") }
            }
            HashScheme::Togglerino => Self::Togglerino { salted: Box::new(Sha256::new_with_prefix(salt)) },
        }
    }

    /// A number below `range` (at most 100,000), always the same for the same value.
    pub(crate) fn draw(&self, purpose: Purpose, value: &str, range: u32) -> u32 {
        let (numerator, denominator) = match self {
            Self::Murmur3 { membership, variant } => {
                let start = if purpose == Purpose::In { membership } else { variant };
                (u64::from(start.chain(value.as_bytes()).finish()), 1 << 32)
            }
            Self::Togglerino { salted } => {
                let digest = Sha256::clone(salted).chain_update(value).finalize();
                let first = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
                (first % 100, 100)
            }
        };
        // Below `range`, which is a u32, since the numerator is below the denominator.
        u32::try_from(numerator * u64::from(range) / denominator).unwrap_or_default()
    }
}

/// The number below 100,000 that decides who is in, and the one below `range` that decides the variant.
///
/// For tools that explain or check assignments; evaluation uses the same code with the salt hashed ahead.
pub fn draw(scheme: HashScheme, salt: &str, purpose: Purpose, value: &str, range: u32) -> u32 {
    Drawer::new(scheme, salt).draw(purpose, value, range.min(WHOLE))
}

/// murmur3 x86 32-bit with seed 0, fed piece by piece (Austin Appleby's public-domain algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Murmur3 {
    hash: u32,
    /// Up to three bytes that do not fill a block yet, the first in the lowest place.
    rest: u32,
    /// All bytes fed, modulo 2^32.
    length: u32,
}

impl Murmur3 {
    pub(crate) fn chain(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.rest |= u32::from(*byte) << (8 * (self.length % 4));
            self.length = self.length.wrapping_add(1);
            if self.length.is_multiple_of(4) {
                self.hash ^= scramble(self.rest);
                self.hash = self.hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
                self.rest = 0;
            }
        }
        self
    }

    pub(crate) fn finish(self) -> u32 {
        let mut hash = self.hash ^ scramble(self.rest) ^ self.length;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn murmur3(text: &str) -> u32 {
        Murmur3::default().chain(text.as_bytes()).finish()
    }

    /// Vectors published with the algorithm's reference implementations.
    #[test]
    fn murmur3_agrees_with_published_vectors() {
        assert_eq!(murmur3(""), 0);
        assert_eq!(murmur3("test"), 0xba6b_d213);
        assert_eq!(murmur3("Hello, world!"), 0xc036_3e43);
        assert_eq!(murmur3("The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
        assert_eq!(Murmur3::default().chain(&[0x21, 0x43, 0x65, 0x87]).finish(), 0xf55b_516b);
        assert_eq!(Murmur3::default().chain(&[0, 0, 0]).finish(), 0x85f0_b427);
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let text = "salt:variant:ünï-1";
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            let pieces = Murmur3::default().chain(&text.as_bytes()[..cut]).chain(&text.as_bytes()[cut..]);
            assert_eq!(pieces.finish(), murmur3(text));
        }
    }

    /// The vectors of togglerino's own tests and of another implementation of its description.
    #[test]
    fn togglerino_keeps_its_buckets() {
        let vectors = [
            ("rollout-flag", "user-xyz", 28),
            ("rollout-flag", "user-abc", 89),
            ("hash-test", "user-42", 27),
            ("rollout-flag", "user-1", 80),
            ("new-checkout", "user-123", 11),
            ("dark-mode", "user-1", 43),
            ("dark-mode", "user-2", 88),
            ("test-flag", "", 18),
            ("ab", "c", 74),
            ("a", "bc", 74),
            ("flag", "ünï-1", 93),
        ];
        for (flag, user, bucket) in vectors {
            for purpose in [Purpose::In, Purpose::Variant] {
                assert_eq!(draw(HashScheme::Togglerino, flag, purpose, user, 100), bucket, "{flag}/{user}");
                assert_eq!(draw(HashScheme::Togglerino, flag, purpose, user, WHOLE), bucket * 1_000);
            }
        }
    }

    #[test]
    fn draws_stay_below_their_range() {
        for range in [0, 1, 2, 100, WHOLE] {
            for value in 0..1_000 {
                let drawn = draw(HashScheme::Murmur3, "salt", Purpose::Variant, &value.to_string(), range);
                assert!(drawn < range.max(1));
            }
        }
    }
}
