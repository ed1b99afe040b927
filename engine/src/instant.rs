//! Points in time and durations, in nanoseconds.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::json::Json;
use crate::number::Number;

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub(crate) type Nanoseconds = i128;

const SECOND: i128 = 1_000_000_000;
const MILLISECOND: i128 = 1_000_000;
/// From here up an epoch number counts milliseconds (5138-11-16 in seconds, 1973-03-03 in milliseconds).
const MILLISECONDS_FROM: i128 = 100_000_000_000;
/// 10^15 milliseconds are 31,000 years: more is a mistake, and would not fit.
const EPOCH_BELOW: i128 = 1_000_000_000_000_000;

/// RFC 3339 text, or a number of milliseconds (from 10^11 up) or seconds since 1970.
pub(crate) fn of_value(value: &Json<'_>) -> Option<Nanoseconds> {
    match value {
        Json::Text(text) => of_text(text),
        Json::Number(number) => of_number(Number::of(number)?),
        _ => None,
    }
}

pub(crate) fn of_number(number: Number) -> Option<Nanoseconds> {
    match number {
        Number::Integer(integer) if integer.abs() >= EPOCH_BELOW => None,
        Number::Integer(integer) if integer >= MILLISECONDS_FROM => Some(integer * MILLISECOND),
        Number::Integer(integer) => Some(integer * SECOND),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "to the nanosecond is enough"
        )]
        Number::Float(float) => {
            let unit = if float >= MILLISECONDS_FROM as f64 { MILLISECOND } else { SECOND };
            (float.abs() < EPOCH_BELOW as f64).then_some((float * unit as f64) as i128)
        }
    }
}

/// RFC 3339 §5.6: date, time and offset are all there. Digits beyond nanoseconds are cut off, a leap second
/// counts as the second before it.
pub(crate) fn of_text(text: &str) -> Option<Nanoseconds> {
    let bytes = text.as_bytes();
    let digits = |from: usize, count: usize| {
        let part = text.get(from..from + count)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i16>().ok())?
    };
    let small = |from: usize| i8::try_from(digits(from, 2)?).ok();
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (fraction, offset_at) = match bytes.get(19) {
        Some(b'.') => fraction(text.get(20..)?)?,
        _ => (0, 19),
    };
    let offset = match bytes.get(offset_at)? {
        b'Z' | b'z' if bytes.len() == offset_at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == offset_at + 6 && is(offset_at + 3, b":") => {
            let (hours, minutes) = (digits(offset_at + 1, 2)?, digits(offset_at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let second = small(17)?;
    let second = if second == 60 { 59 } else { second };
    let local =
        DateTime::new(digits(0, 4)?, small(5)?, small(8)?, small(11)?, small(14)?, second, fraction).ok()?;
    // The offset is taken off here and not by jiff, whose first and last timestamps are inside year 9999.
    let utc = Offset::UTC.to_timestamp(local).ok()?.as_nanosecond();
    Some(utc - i128::from(offset) * SECOND)
}

/// Nanoseconds of the digits at the beginning (at least one), and where in the whole text they end.
fn fraction(text: &str) -> Option<(i32, usize)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let nanoseconds = text.bytes().take(count).chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = nanoseconds.fold(0, |number, digit| number * 10 + i32::from(digit - b'0'));
    (count > 0).then_some((nanoseconds, 20 + count))
}

/// A whole number and a unit: `ms s m h d w`. Days have 24 hours.
pub(crate) fn duration(text: &str) -> Option<Nanoseconds> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit {
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 86_400 * SECOND,
        "w" => 7 * 86_400 * SECOND,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| i128::from(number) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339() {
        assert_eq!(of_text("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(of_text("1970-01-01t00:00:01.5z"), Some(1_500_000_000));
        assert_eq!(of_text("1970-01-01 01:00:00+01:00"), Some(0));
        assert_eq!(of_text("1969-12-31T18:30:00-05:30"), Some(0));
        assert_eq!(of_text("1970-01-01T00:00:00.1234567891Z"), Some(123_456_789));
        assert_eq!(of_text("2024-02-29T00:00:00Z"), Some(1_709_164_800 * SECOND));
        assert_eq!(of_text("2016-12-31T23:59:60Z"), of_text("2016-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2024-01-01",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+01",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00Z[UTC]",
            "2024-01-01T00:00:00Z ",
            "+024-01-01T00:00:00Z",
            "２024-01-01T00:00:00Z",
            "2024-01-01T00:00:00é",
            "yesterday",
        ] {
            assert_eq!(of_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn epochs() {
        assert_eq!(of_number(Number::Integer(99_999_999_999)), Some(99_999_999_999 * SECOND));
        assert_eq!(of_number(Number::Integer(100_000_000_000)), Some(100_000_000 * SECOND));
        assert_eq!(of_number(Number::Integer(-1)), Some(-SECOND));
        assert_eq!(of_number(Number::Float(0.5)), Some(SECOND / 2));
        assert_eq!(of_number(Number::Integer(1 << 90)), None);
        assert_eq!(of_number(Number::Float(1e300)), None);
    }

    #[test]
    fn durations() {
        assert_eq!(duration("7d"), Some(7 * 86_400 * SECOND));
        assert_eq!(duration("250ms"), Some(250 * MILLISECOND));
        assert_eq!(duration("0s"), Some(0));
        for text in ["", "7", "d", "7 d", "-7d", "1.5h", "7D", "1y", "7d12h", "99999999999d"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }
}
