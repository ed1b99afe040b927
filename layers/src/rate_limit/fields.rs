//! How an answer tells of limits (R28): the header fields of draft 6, or those of the newest draft.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::counter::{Quota, Verdict};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Values that most answers have, so that these cost no allocation.
static SMALL: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| (0..=5000u64).map(HeaderValue::from).collect());

/// What does not change from one answer to the next.
#[derive(Clone, Debug)]
pub(super) enum Fields {
    /// `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`: of several limits, the one that is nearest.
    Draft6 { limit: HeaderValue },
    /// `RateLimit` and `RateLimit-Policy`, one item for each limit.
    Ietf { name: String, policy: HeaderValue },
    /// Nothing but `Retry-After`.
    None,
}

impl Fields {
    pub(super) fn draft_6(quota: &Quota) -> Self {
        Self::Draft6 { limit: number(quota.requests) }
    }

    /// `name` becomes a structured string (RFC 9651): what such a string cannot hold is left out.
    pub(super) fn ietf(name: &str, quota: &Quota) -> Self {
        let allowed = |character: &char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
        let name: String = name.chars().filter(allowed).collect();
        let policy = format!("\"{name}\";q={};w={}", quota.requests, seconds(quota.window));
        // Printable ASCII only.
        let policy = HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("\"limit\""));
        Self::Ietf { name, policy }
    }

    /// Tells of a limit that was passed, or not.
    pub(super) fn write(&self, headers: &mut HeaderMap, verdict: &Verdict) {
        let reset = seconds(verdict.reset);
        match self {
            Self::Draft6 { limit } => {
                let nearer =
                    headers.get(&REMAINING).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
                if nearer.is_some_and(|remaining| remaining <= verdict.remaining) {
                    return;
                }
                headers.insert(LIMIT, limit.clone());
                headers.insert(REMAINING, number(verdict.remaining));
                headers.insert(RESET, number(reset));
            }
            Self::Ietf { name, policy } => {
                headers.append(RATE_LIMIT_POLICY, policy.clone());
                let item = format!("\"{name}\";r={};t={reset}", verdict.remaining);
                if let Ok(item) = HeaderValue::try_from(item) {
                    headers.append(RATE_LIMIT, item);
                }
            }
            Self::None => {}
        }
    }
}

/// Whole seconds, rounded up: nobody is told to come back too early.
pub(super) fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1000)
}

fn number(number: u64) -> HeaderValue {
    let small = usize::try_from(number).ok().and_then(|index| SMALL.get(index));
    small.cloned().unwrap_or_else(|| HeaderValue::from(number))
}
