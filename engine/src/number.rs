//! JSON numbers, compared exactly.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number as JsonNumber;

/// A number that is never NaN or infinite. One without a fraction is an integer however it was written, so
/// `1`, `1.0` and `1e0` are the same; from 2^100 up it is a float.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Integer(i128),
    Float(f64),
}

/// Floats below it that have no fraction convert to `i128` exactly.
const INTEGERS_BELOW: f64 = 1_267_650_600_228_229_401_496_703_205_376.0;

impl Number {
    pub(crate) fn of(number: &JsonNumber) -> Option<Self> {
        if let Some(integer) = number.as_i64() {
            return Some(Self::Integer(integer.into()));
        }
        if let Some(integer) = number.as_u64() {
            return Some(Self::Integer(integer.into()));
        }
        let float = number.as_f64().filter(|float| float.is_finite())?;
        if float.fract() == 0.0 && float.abs() < INTEGERS_BELOW {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^100")]
            return Some(Self::Integer(float as i128));
        }
        Some(Self::Float(float))
    }

    /// Reads text that is a JSON number and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::of(&text.parse().ok()?)
    }

    pub(crate) fn integer(self) -> Option<i128> {
        match self {
            Self::Integer(integer) => Some(integer),
            Self::Float(_) => None,
        }
    }

    /// For a comparison with a float. That is either not whole, then below 2^53 where integers convert exactly
    /// (and larger ones stay larger); or from 2^100 up, above all integers that come from anywhere but a float.
    #[cold]
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    fn float(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }

    /// Whether it has no fraction.
    pub(crate) fn is_whole(self) -> bool {
        match self {
            Self::Integer(_) => true,
            Self::Float(float) => float.fract() == 0.0,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(one), Self::Integer(two)) => one.cmp(two),
            _ => self.float().partial_cmp(&other.float()).unwrap_or(Ordering::Equal),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

/// The shortest decimal that reads back the same, without exponent; without fraction where it is whole.
impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(formatter, "{integer}"),
            Self::Float(float) => write!(formatter, "{float}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn whole_floats_are_integers() {
        for (one, two) in
            [("1", "1.0"), ("0", "-0.0"), ("1e2", "100"), ("1e29", "100000000000000000000000000000")]
        {
            assert_eq!(number(one), number(two), "{one} {two}");
        }
        assert_eq!(number("1e2").to_string(), "100");
        assert_eq!(number("0.1").to_string(), "0.1");
        assert_eq!(number("1e-7").to_string(), "0.0000001");
        assert_eq!(number("1e300").to_string(), format!("1{}", "0".repeat(300)));
    }

    #[test]
    fn order_is_exact_beyond_the_integers_of_a_double() {
        let ascending = [
            "-1e300",
            "-1e30",
            "-9223372036854775808",
            "-1",
            "-0.5",
            "0",
            "5e-324",
            "0.5",
            "4503599627370495.5",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "1e30",
            "2e30",
            "1e300",
        ];
        for (index, one) in ascending.iter().enumerate() {
            for (other_index, other) in ascending.iter().enumerate() {
                assert_eq!(number(one).cmp(&number(other)), index.cmp(&other_index), "{one} {other}");
            }
        }
    }

    #[test]
    fn only_json_numbers_are_read() {
        for text in
            ["", " 1", "1 ", "+1", "01", "1.", ".5", "0x1", "inf", "NaN", "1e400", "1,5", "1_000", "--1"]
        {
            assert!(Number::parse(text).is_none(), "{text:?}");
        }
    }
}
