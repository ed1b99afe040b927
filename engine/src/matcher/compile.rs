//! From a leaf to its matcher. What never fits is a fault, with its place.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{JsonType, Matcher, Members, Place, Quantity, ScalarTest, Test, Wanted};
use crate::fault::Faults;
use crate::instant;
use crate::limits;
use crate::model::{Cast, Leaf};
use crate::number::Number;
use crate::operator::Operator;
use crate::version::{Version, VersionPattern, VersionRange};

impl Matcher {
    /// Compiles a leaf. Faults are noted relative to the leaf, where `faults` has to stand.
    pub(crate) fn compile(leaf: &Leaf, faults: &mut Faults) -> Option<Self> {
        let before = faults.len();
        check_switches(leaf, faults);
        let test = faults.within("values", |faults| compile_test(leaf, faults))?;
        let test = if leaf.values.is_empty() && !matches!(test, Test::IsSet | Test::IsNotSet) {
            Test::Never
        } else {
            test
        };
        (faults.len() == before).then_some(Self { cast: leaf.cast, test })
    }
}

/// An address; an IPv4 address written as IPv6 is the IPv4 address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// What the operator's attributes have to be once converted.
fn takes_cast(op: Operator, cast: Cast) -> bool {
    use Operator as Op;
    match op {
        Op::IsSet | Op::IsNotSet | Op::IsType | Op::Size => false,
        Op::NumEq | Op::Between | Op::Modulo => cast == Cast::Number,
        Op::Contains
        | Op::StartsWith
        | Op::EndsWith
        | Op::Matches
        | Op::IpInCidr
        | Op::SemverEq
        | Op::SemverNeq
        | Op::SemverGt
        | Op::SemverGte
        | Op::SemverLt
        | Op::SemverLte
        | Op::SemverTilde
        | Op::SemverCaret
        | Op::SemverWildcard => cast == Cast::String,
        _ => true,
    }
}

fn takes_ignore_case(op: Operator) -> bool {
    use Operator as Op;
    matches!(
        op,
        Op::Eq
            | Op::Neq
            | Op::In
            | Op::NotIn
            | Op::AnyOf
            | Op::AllOf
            | Op::NoneOf
            | Op::Contains
            | Op::StartsWith
            | Op::EndsWith
            | Op::Matches
    )
}

fn check_switches(leaf: &Leaf, faults: &mut Faults) {
    let op = leaf.op.as_str();
    if leaf.cast.is_some_and(|cast| !takes_cast(leaf.op, cast)) {
        faults.within("as", |faults| {
            faults.push("never_fits", format!("what this converts to never fits the operator `{op}`"));
        });
    }
    if leaf.ignore_case && !takes_ignore_case(leaf.op) {
        faults.within("ignore_case", |faults| {
            faults.push("never_fits", format!("the operator `{op}` does not compare strings for equality"));
        });
    }
}

fn compile_test(leaf: &Leaf, faults: &mut Faults) -> Option<Test> {
    use Operator as Op;
    let scalar = |test: Option<ScalarTest>| test.map(|test| Test::Scalar { test, every_element: false });
    let elements = |members, quantity| Some(Test::Elements { members, quantity });
    match leaf.op {
        Op::IsSet | Op::IsNotSet => {
            if !leaf.values.is_empty() {
                faults.push("never_fits", format!("the operator `{}` takes no values", leaf.op.as_str()));
            }
            Some(if leaf.op == Op::IsSet { Test::IsSet } else { Test::IsNotSet })
        }
        Op::Eq | Op::In => Some(Test::Equal { members: members(leaf, faults), wanted: true }),
        Op::Neq | Op::NotIn => Some(Test::Equal { members: members(leaf, faults), wanted: false }),
        Op::AnyOf => elements(members(leaf, faults), Quantity::Any),
        Op::AllOf => elements(members(leaf, faults), Quantity::All),
        Op::NoneOf => elements(members(leaf, faults), Quantity::None),
        Op::IsType => {
            let wanted = "one of string, number, integer, boolean, object, array";
            each(leaf, faults, wanted, |value| {
                let name = value.as_str()?;
                JsonType::NAMES.iter().find(|(known, _)| *known == name).map(|(_, json_type)| *json_type)
            })
            .map(Test::IsType)
        }
        Op::Size => {
            let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
            each(leaf, faults, "a whole number from 0 up", size).map(Test::Size)
        }
        Op::SemverNeq => {
            let test = ScalarTest::OtherVersion(versions(leaf, faults)?);
            Some(Test::Scalar { test, every_element: true })
        }
        Op::Contains | Op::StartsWith | Op::EndsWith => scalar(text_test(leaf, faults)),
        Op::Matches => scalar(patterns(leaf, faults).map(ScalarTest::Pattern)),
        Op::Gt | Op::Gte | Op::Lt | Op::Lte | Op::NumEq | Op::Between | Op::Modulo => {
            scalar(number_test(leaf, faults))
        }
        Op::Before | Op::After | Op::DateEq | Op::WithinLast | Op::OlderThan => {
            scalar(time_test(leaf, faults))
        }
        Op::IpInCidr => {
            let wanted = "an IP address or a network such as 10.0.0.0/8 or 2001:db8::/32";
            scalar(each(leaf, faults, wanted, |value| network(value.as_str()?)).map(ScalarTest::Network))
        }
        _ => scalar(version_test(leaf, faults)),
    }
}

/// All values read, or a fault for each that is not what is wanted.
fn each<T>(
    leaf: &Leaf,
    faults: &mut Faults,
    wanted: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<Box<[T]>> {
    let mut all = Vec::with_capacity(leaf.values.len());
    for (index, value) in leaf.values.iter().enumerate() {
        match read(value) {
            Some(read) => all.push(read),
            None => faults.within(index, |faults| {
                faults.push("never_fits", format!("the operator `{}` takes {wanted}", leaf.op.as_str()));
            }),
        }
    }
    (all.len() == leaf.values.len()).then(|| all.into_boxed_slice())
}

/// A fault where a list that is not one of alternatives has another length.
fn exactly_two<T: Copy>(values: &[T], wanted: &str, faults: &mut Faults) -> Option<(T, T)> {
    match values {
        [one, two] => Some((*one, *two)),
        _ => {
            faults.push("never_fits", format!("must be exactly two values: {wanted}"));
            None
        }
    }
}

fn members(leaf: &Leaf, faults: &mut Faults) -> Members {
    let (wanted, fits): (_, fn(&Value) -> bool) = match leaf.cast {
        None => ("values other than null", |value| !value.is_null()),
        Some(Cast::String) => ("strings only, as the attribute is converted to one", Value::is_string),
        Some(Cast::Number) => ("numbers only, as the attribute is converted to one", Value::is_number),
    };
    each(leaf, faults, wanted, |value| fits(value).then_some(()));
    Members::new(&leaf.values, leaf.ignore_case)
}

fn texts(leaf: &Leaf, faults: &mut Faults) -> Option<Box<[Box<str>]>> {
    each(leaf, faults, "strings", |value| {
        let text = value.as_str()?;
        Some(if leaf.ignore_case { crate::subject::fold(text).into() } else { text.into() })
    })
}

fn text_test(leaf: &Leaf, faults: &mut Faults) -> Option<ScalarTest> {
    let place = match leaf.op {
        Operator::StartsWith => Place::Start,
        Operator::EndsWith => Place::End,
        _ => Place::Anywhere,
    };
    Some(ScalarTest::Text { place, needles: texts(leaf, faults)?, ignore_case: leaf.ignore_case })
}

fn patterns(leaf: &Leaf, faults: &mut Faults) -> Option<Box<[Regex]>> {
    let mut patterns = Vec::with_capacity(leaf.values.len());
    for (index, value) in leaf.values.iter().enumerate() {
        faults.within(index, |faults| {
            let Some(text) = value.as_str() else {
                return faults.push("never_fits", "the operator `matches` takes strings");
            };
            let built = RegexBuilder::new(text)
                .case_insensitive(leaf.ignore_case)
                .size_limit(limits::PATTERN_COMPILED_BYTES)
                .dfa_size_limit(limits::PATTERN_COMPILED_BYTES)
                .nest_limit(64)
                .build();
            match built {
                Ok(pattern) => patterns.push(pattern),
                Err(regex::Error::CompiledTooBig(_)) => {
                    faults
                        .push("too_large", "the regular expression is too large once compiled; repeat less");
                }
                Err(error) => {
                    // The last line says what is wrong, those before draw a picture of it.
                    let message = error.to_string();
                    let reason =
                        message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                    faults.push("invalid_pattern", format!("no regular expression: {reason}"));
                }
            }
        });
    }
    (patterns.len() == leaf.values.len()).then(|| patterns.into_boxed_slice())
}

fn number(value: &Value) -> Option<Number> {
    value.as_number().and_then(Number::of)
}

fn number_test(leaf: &Leaf, faults: &mut Faults) -> Option<ScalarTest> {
    match leaf.op {
        Operator::NumEq => {
            let numbers = each(leaf, faults, "numbers", number)?;
            Some(ScalarTest::Order { wanted: Wanted::Equal, numbers, texts: Box::default() })
        }
        Operator::Between | Operator::Modulo if leaf.values.is_empty() => {
            // No values match nothing, so these ends never count.
            Some(ScalarTest::Between(Number::Integer(0), Number::Integer(0)))
        }
        Operator::Between => {
            let (low, high) = exactly_two(&each(leaf, faults, "numbers", number)?, "the two ends", faults)?;
            if low > high {
                faults.push("never_fits", "the lower end comes first");
            }
            Some(ScalarTest::Between(low, high))
        }
        Operator::Modulo => {
            let integers = each(leaf, faults, "integers", |value| number(value)?.integer())?;
            let (divisor, remainder) = exactly_two(&integers, "divisor and remainder", faults)?;
            if divisor < 1 || !(0..divisor).contains(&remainder) {
                faults.push("never_fits", "the divisor must be 1 or more, the remainder from 0 to below it");
            }
            Some(ScalarTest::Modulo { divisor, remainder })
        }
        _ => order_test(leaf, faults),
    }
}

fn order_test(leaf: &Leaf, faults: &mut Faults) -> Option<ScalarTest> {
    let wanted = match leaf.op {
        Operator::Gt => Wanted::Greater,
        Operator::Gte => Wanted::GreaterOrEqual,
        Operator::Lt => Wanted::Less,
        _ => Wanted::LessOrEqual,
    };
    let kinds = match leaf.cast {
        None => "numbers and strings",
        Some(Cast::String) => "strings only, as the attribute is converted to one",
        Some(Cast::Number) => "numbers only, as the attribute is converted to one",
    };
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    let all = each(leaf, faults, kinds, |value| match value {
        Value::Number(_) if leaf.cast != Some(Cast::String) => number(value).map(Ok),
        Value::String(text) if leaf.cast != Some(Cast::Number) => Some(Err(Box::<str>::from(text.as_str()))),
        _ => None,
    })?;
    for value in all {
        match value {
            Ok(number) => numbers.push(number),
            Err(text) => texts.push(text),
        }
    }
    Some(ScalarTest::Order { wanted, numbers: numbers.into(), texts: texts.into() })
}

fn versions(leaf: &Leaf, faults: &mut Faults) -> Option<Box<[Version<Box<str>>]>> {
    each(leaf, faults, "versions such as 1.2.3", |value| {
        Version::parse(value.as_str()?).map(Version::into_owned)
    })
}

fn version_test(leaf: &Leaf, faults: &mut Faults) -> Option<ScalarTest> {
    let wanted = match leaf.op {
        Operator::SemverTilde => {
            let ranges =
                each(leaf, faults, "versions such as 1.2.3", |value| VersionRange::tilde(value.as_str()?));
            return ranges.map(ScalarTest::VersionRange);
        }
        Operator::SemverCaret => {
            let ranges =
                each(leaf, faults, "versions such as 1.2.3", |value| VersionRange::caret(value.as_str()?));
            return ranges.map(ScalarTest::VersionRange);
        }
        Operator::SemverWildcard => {
            let patterns =
                each(leaf, faults, "patterns such as 1.2.x", |value| VersionPattern::parse(value.as_str()?));
            return patterns.map(ScalarTest::VersionPattern);
        }
        Operator::SemverGt => Wanted::Greater,
        Operator::SemverGte => Wanted::GreaterOrEqual,
        Operator::SemverLt => Wanted::Less,
        Operator::SemverLte => Wanted::LessOrEqual,
        _ => Wanted::Equal,
    };
    Some(ScalarTest::Version { wanted, versions: versions(leaf, faults)? })
}

fn time_test(leaf: &Leaf, faults: &mut Faults) -> Option<ScalarTest> {
    let wanted = match leaf.op {
        Operator::WithinLast | Operator::OlderThan => {
            let ages = each(leaf, faults, "durations such as 7d, 12h, 30m", |value| {
                instant::duration(value.as_str()?)
            })?;
            return Some(ScalarTest::Age { older: leaf.op == Operator::OlderThan, ages });
        }
        Operator::Before => Wanted::Less,
        Operator::After => Wanted::Greater,
        _ => Wanted::Equal,
    };
    let times = "times such as 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970";
    Some(ScalarTest::Time {
        wanted,
        times: each(leaf, faults, times, |value| instant::of_value(&value.into()))?,
    })
}

/// A network, or an address as the network of itself alone.
fn network(text: &str) -> Option<IpNet> {
    if !text.contains('/') {
        return address(text).map(IpNet::from);
    }
    match text.parse().ok()? {
        IpNet::V6(net) => Some(match (net.addr().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
            (Some(v4), Some(prefix)) => Ipv4Net::new(v4, prefix).map_or(IpNet::V6(net), IpNet::V4),
            _ => IpNet::V6(net),
        }),
        net => Some(net),
    }
}
