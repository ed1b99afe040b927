//! The grammars of keys (R43). A key that does not fit is refused, never rewritten.

use crate::limits::KEY_BYTES;

/// What [`is_key`] takes, as a regular expression of JSON Schema.
pub const KEY_PATTERN: &str = "^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$";
/// What [`is_project_key`] takes, as a regular expression of JSON Schema.
pub const PROJECT_KEY_PATTERN: &str = "^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$";

/// Whether `key` may name a flag, a variant or a segment: letters, digits, `.`, `_` and `-`, 100 at most,
/// beginning and ending with a letter or digit; case counts.
pub fn is_key(key: &str) -> bool {
    fits(key, KEY_BYTES, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether `key` may name a project or an environment: small letters, digits and `-`, 50 at most, beginning
/// and ending with a letter or digit.
pub fn is_project_key(key: &str) -> bool {
    fits(key, 50, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), |byte| byte == b'-')
}

fn fits(key: &str, longest: usize, at_ends: fn(u8) -> bool, inside: fn(u8) -> bool) -> bool {
    let bytes = key.as_bytes();
    let ends =
        bytes.first().is_some_and(|byte| at_ends(*byte)) && bytes.last().is_some_and(|byte| at_ends(*byte));
    ends && bytes.len() <= longest && bytes.iter().all(|byte| at_ends(*byte) || inside(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_flags() {
        for good in ["a", "A", "0", "new-checkout", "a.b_c-d", &"x".repeat(100)] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "a/b", "..", "é", "a\0", &"x".repeat(101)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn keys_of_projects() {
        for good in ["a", "7", "my-project", &"x".repeat(50)] {
            assert!(is_project_key(good), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a.b", &"x".repeat(51)] {
            assert!(!is_project_key(bad), "{bad}");
        }
    }
}
