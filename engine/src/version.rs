//! Versions by SemVer 2.0 precedence, read leniently: a leading `v`, missing parts and leading zeros are fine.

use std::cmp::Ordering;

/// A version. `P` is the text of its pre-release, borrowed from an attribute or owned by an operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<P> {
    /// Major, minor and patch; missing ones are 0.
    core: [u64; 3],
    /// How many of them were written.
    parts: usize,
    pre_release: P,
}

/// The versions `low <= version` whose core is below `end`.
#[derive(Clone, Debug)]
pub(crate) struct VersionRange {
    low: Version<Box<str>>,
    end: [u64; 3],
}

/// A version of which only some leading parts count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionPattern {
    core: [u64; 3],
    parts: usize,
}

impl<'t> Version<&'t str> {
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let text = without_v(text);
        let (text, build) = split(text, '+');
        let (numbers, pre_release) = split(text, '-');
        if ![build, pre_release].into_iter().flatten().all(are_identifiers) {
            return None;
        }
        let mut core = [0; 3];
        let mut parts = 0;
        for part in numbers.split('.') {
            *core.get_mut(parts)? = number(part)?;
            parts += 1;
        }
        Some(Self { core, parts, pre_release: pre_release.unwrap_or_default() })
    }

    pub(crate) fn into_owned(self) -> Version<Box<str>> {
        Version { core: self.core, parts: self.parts, pre_release: self.pre_release.into() }
    }
}

impl<P: AsRef<str>> Version<P> {
    /// By precedence: build metadata does not count.
    pub(crate) fn precedence<Q: AsRef<str>>(&self, other: &Version<Q>) -> Ordering {
        let pre_release = || compare_pre_releases(self.pre_release.as_ref(), other.pre_release.as_ref());
        self.core.cmp(&other.core).then_with(pre_release)
    }
}

impl VersionRange {
    /// `~1.2.3` is below 1.3, `~1` below 2.
    pub(crate) fn tilde(text: &str) -> Option<Self> {
        let low = Version::parse(text)?.into_owned();
        let [major, minor, _] = low.core;
        let end = if low.parts == 1 {
            [major.saturating_add(1), 0, 0]
        } else {
            [major, minor.saturating_add(1), 0]
        };
        Some(Self { low, end })
    }

    /// `^1.2.3` is below 2, `^0.2.3` below 0.3, `^0.0.3` below 0.0.4; `^0.0` below 0.1, `^0` below 1.
    pub(crate) fn caret(text: &str) -> Option<Self> {
        let low = Version::parse(text)?.into_owned();
        let end = match (low.core, low.parts) {
            ([0, 0, patch], 3) => [0, 0, patch.saturating_add(1)],
            ([0, minor, _], 2 | 3) => [0, minor.saturating_add(1), 0],
            ([major, ..], _) => [major.saturating_add(1), 0, 0],
        };
        Some(Self { low, end })
    }

    /// Pre-releases of the end are outside: `2.0.0-rc.1` is no `^1.2`.
    pub(crate) fn contains<P: AsRef<str>>(&self, version: &Version<P>) -> bool {
        version.precedence(&self.low).is_ge() && version.core < self.end
    }
}

impl VersionPattern {
    /// `1.2.x`, `1.*`, `1`, `*`: parts from the first `x`, `X` or `*` on, and missing ones, may be anything.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut pattern = Self { core: [0; 3], parts: 0 };
        let mut open = false;
        for (index, part) in without_v(text).split('.').enumerate() {
            let place = pattern.core.get_mut(index)?;
            if matches!(part, "x" | "X" | "*") {
                open = true;
            } else if open {
                return None;
            } else {
                *place = number(part)?;
                pattern.parts += 1;
            }
        }
        Some(pattern)
    }

    /// A pre-release belongs to its core: `1.2.0-rc.1` is a `1.2.x`.
    pub(crate) fn matches<P>(&self, version: &Version<P>) -> bool {
        version.core.iter().zip(self.core).take(self.parts).all(|(part, wanted)| *part == wanted)
    }
}

fn without_v(text: &str) -> &str {
    text.strip_prefix(['v', 'V']).unwrap_or(text)
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn number(part: &str) -> Option<u64> {
    part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn are_identifiers(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.split('.').all(|identifier| !identifier.is_empty() && identifier.bytes().all(plain))
}

/// SemVer 2.0 §11: without a pre-release is later; identifiers one by one, more of them later.
fn compare_pre_releases(one: &str, two: &str) -> Ordering {
    match (one.is_empty(), two.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let (mut one, mut two) = (one.split('.'), two.split('.'));
            loop {
                let ordering = match (one.next(), two.next()) {
                    (None, None) => return Ordering::Equal,
                    (None, Some(_)) => Ordering::Less,
                    (Some(_), None) => Ordering::Greater,
                    (Some(one), Some(two)) => compare_identifiers(one, two),
                };
                if ordering.is_ne() {
                    return ordering;
                }
            }
        }
    }
}

fn compare_identifiers(one: &str, two: &str) -> Ordering {
    // As text, so that there is no largest number.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (digits(one), digits(two)) {
        (true, true) => {
            let (one, two) = (one.trim_start_matches('0'), two.trim_start_matches('0'));
            one.len().cmp(&two.len()).then_with(|| one.cmp(two))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => one.cmp(two),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_specification() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2",
            "1.10",
            "2",
            "18446744073709551615.0.0",
        ];
        for (index, one) in ascending.iter().enumerate() {
            for (other_index, other) in ascending.iter().enumerate() {
                let (first, second) = (Version::parse(one).unwrap(), Version::parse(other).unwrap());
                assert_eq!(first.precedence(&second), index.cmp(&other_index), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in [
            "",
            "v",
            "1.",
            ".1",
            "1.2.3.4",
            "1..2",
            "a",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3+",
            "1.x",
            "-1",
            "+1",
            "1.2.3-é",
            " 1",
            "18446744073709551616",
            "vv1",
            "1.2.3-a_b",
        ] {
            assert!(Version::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn ranges_end_before_pre_releases_of_their_end() {
        let contains = |range: &VersionRange, text| range.contains(&Version::parse(text).unwrap());
        let caret = VersionRange::caret("1.2.3").unwrap();
        assert!(contains(&caret, "1.2.3") && contains(&caret, "1.99") && contains(&caret, "1.3.0-rc.1"));
        assert!(!contains(&caret, "2.0.0-rc.1") && !contains(&caret, "1.2.3-rc.1") && !contains(&caret, "2"));
        let tilde = VersionRange::tilde("1.2").unwrap();
        assert!(contains(&tilde, "1.2.9") && !contains(&tilde, "1.3.0-0") && !contains(&tilde, "1.1.9"));
    }

    #[test]
    fn patterns_fix_leading_parts_only() {
        for text in ["1.x.2", "1.2.3.4", "1.2-rc", "", "x.1", "1.y"] {
            assert!(VersionPattern::parse(text).is_none(), "{text:?}");
        }
    }
}
