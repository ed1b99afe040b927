//! What an operator and its values become: a matcher with nothing left to parse.

mod compile;
mod members;

use std::cmp::Ordering;

use self::members::Members;
use crate::instant::{self, Nanoseconds};
use crate::json::Json;
use crate::model::Cast;
use crate::number::Number;
use crate::resolved::Attribute;
use crate::subject::{Subject, fold};
use crate::version::{Version, VersionPattern, VersionRange};
use ipnet::IpNet;
use regex::Regex;

/// Decides whether an attribute's value matches.
#[derive(Debug)]
pub(crate) struct Matcher {
    cast: Option<Cast>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    /// No values match nothing.
    Never,
    IsSet,
    IsNotSet,
    IsType(Box<[JsonType]>),
    Equal {
        members: Members,
        wanted: bool,
    },
    /// Arrays as a whole.
    Elements {
        members: Members,
        quantity: Quantity,
    },
    Size(Box<[usize]>),
    /// Arrays element by element.
    Scalar {
        test: ScalarTest,
        every_element: bool,
    },
}

#[derive(Debug)]
enum ScalarTest {
    Text { place: Place, needles: Box<[Box<str>]>, ignore_case: bool },
    Pattern(Box<[Regex]>),
    Order { wanted: Wanted, numbers: Box<[Number]>, texts: Box<[Box<str>]> },
    Between(Number, Number),
    Modulo { divisor: i128, remainder: i128 },
    Version { wanted: Wanted, versions: Box<[Version<Box<str>>]> },
    OtherVersion(Box<[Version<Box<str>>]>),
    VersionRange(Box<[VersionRange]>),
    VersionPattern(Box<[VersionPattern]>),
    Time { wanted: Wanted, times: Box<[Nanoseconds]> },
    Age { older: bool, ages: Box<[Nanoseconds]> },
    Network(Box<[IpNet]>),
}

#[derive(Clone, Copy, Debug)]
enum Quantity {
    Any,
    All,
    None,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Anywhere,
    Start,
    End,
}

/// How the attribute has to stand to a value.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonType {
    String,
    Number,
    Integer,
    Boolean,
    Object,
    Array,
}

impl Matcher {
    /// Whether the attribute matches; `None` is an attribute that is missing.
    pub(crate) fn matches(&self, attribute: Option<&Attribute<'_>>, now: Nanoseconds) -> bool {
        let Some(attribute) = attribute.filter(|attribute| !attribute.is_null()) else {
            return matches!(self.test, Test::IsNotSet);
        };
        match &self.test {
            Test::Never | Test::IsNotSet => false,
            Test::IsSet => true,
            Test::IsType(types) => types.iter().any(|wanted| wanted.is_of(attribute.value)),
            Test::Equal { members, wanted } => self.equals(members, attribute, *wanted),
            Test::Elements { members, quantity } => {
                attribute.elements().is_some_and(|elements| self.has(members, elements, *quantity))
            }
            Test::Size(sizes) => attribute.elements().is_some_and(|elements| sizes.contains(&elements.len())),
            Test::Scalar { test, every_element } => {
                let holds = |subject: &Subject<'_>| test.holds(subject, now);
                let each = |element| self.converted(element, holds).unwrap_or_default();
                match attribute.elements() {
                    Some(elements) if *every_element => elements.iter().all(each),
                    Some(elements) => elements.iter().any(each),
                    None => self.whole(attribute, holds).unwrap_or_default(),
                }
            }
        }
    }

    /// Whether answers depend on the time.
    pub(crate) fn uses_now(&self) -> bool {
        matches!(self.test, Test::Scalar { test: ScalarTest::Age { .. }, .. })
    }

    /// `eq`, or where not `wanted` `neq`: of an array, itself or one of its elements may be equal.
    fn equals(&self, members: &Members, attribute: &Attribute<'_>, wanted: bool) -> bool {
        let holds = |subject: &Subject<'_>| members.contain(subject) == wanted;
        let whole = self.whole(attribute, holds);
        match attribute.elements() {
            Some(elements) => {
                // An array cannot be converted, so with `as` only its elements count.
                let mut each =
                    elements.iter().map(|element| self.converted(element, holds).unwrap_or_default());
                if wanted {
                    whole.unwrap_or_default() || each.any(|it| it)
                } else {
                    whole.unwrap_or(true) && each.all(|it| it)
                }
            }
            None => whole.unwrap_or_default(),
        }
    }

    /// Tests an attribute as a whole; `None` where it cannot be converted.
    fn whole(&self, attribute: &Attribute<'_>, test: impl Fn(&Subject<'_>) -> bool) -> Option<bool> {
        match self.cast {
            None => attribute.subject.as_ref().map(test),
            Some(_) => self.converted(attribute.value, test),
        }
    }

    #[inline(never)]
    fn converted(&self, value: &Json<'_>, test: impl Fn(&Subject<'_>) -> bool) -> Option<bool> {
        Subject::of(value, self.cast).as_ref().map(test)
    }

    fn has(&self, members: &Members, elements: &[Json<'_>], quantity: Quantity) -> bool {
        let mut subjects = elements.iter().map(|element| Subject::of(element, self.cast));
        match quantity {
            Quantity::Any => subjects.any(|subject| subject.is_some_and(|subject| members.contain(&subject))),
            Quantity::None => {
                subjects.all(|subject| subject.is_some_and(|subject| !members.contain(&subject)))
            }
            Quantity::All => members.are_all_among(subjects.flatten()),
        }
    }
}

impl ScalarTest {
    fn holds(&self, subject: &Subject<'_>, now: Nanoseconds) -> bool {
        match (self, subject) {
            (Self::Text { place, needles, ignore_case }, Subject::Text(text)) => {
                let text = if *ignore_case { fold(text.as_str()) } else { text.as_str().into() };
                needles.iter().any(|needle| place.has(&text, needle))
            }
            (Self::Pattern(patterns), Subject::Text(text)) => {
                patterns.iter().any(|pattern| pattern.is_match(text.as_str()))
            }
            (Self::Order { wanted, numbers, .. }, Subject::Number(number)) => {
                numbers.iter().any(|value| wanted.is(number.cmp(value)))
            }
            (Self::Order { wanted, texts, .. }, Subject::Text(text)) => {
                // UTF-8 sorts by code point.
                texts.iter().any(|value| wanted.is(text.as_str().cmp(value)))
            }
            (Self::Between(low, high), Subject::Number(number)) => (low..=high).contains(&number),
            (Self::Modulo { divisor, remainder }, Subject::Number(number)) => {
                number.integer().and_then(|integer| integer.checked_rem_euclid(*divisor)) == Some(*remainder)
            }
            (Self::Time { wanted, times }, subject) => {
                time_of(subject).is_some_and(|time| times.iter().any(|value| wanted.is(time.cmp(value))))
            }
            (Self::Age { older, ages }, subject) => time_of(subject).is_some_and(|time| {
                ages.iter()
                    .any(|age| if *older { time < now - age } else { (now - age..=now).contains(&time) })
            }),
            (Self::Network(networks), Subject::Text(text)) => compile::address(text.as_str())
                .is_some_and(|address| networks.iter().any(|network| network.contains(&address))),
            (test, Subject::Text(text)) => text.version().is_some_and(|version| test.version_holds(version)),
            _ => false,
        }
    }

    fn version_holds(&self, version: &Version<Box<str>>) -> bool {
        match self {
            Self::Version { wanted, versions } => {
                versions.iter().any(|value| wanted.is(version.precedence(value)))
            }
            Self::OtherVersion(versions) => versions.iter().all(|value| version.precedence(value).is_ne()),
            Self::VersionRange(ranges) => ranges.iter().any(|range| range.contains(version)),
            Self::VersionPattern(patterns) => patterns.iter().any(|pattern| pattern.matches(version)),
            _ => false,
        }
    }
}

fn time_of(subject: &Subject<'_>) -> Option<Nanoseconds> {
    match subject {
        Subject::Text(text) => instant::of_text(text.as_str()),
        Subject::Number(number) => instant::of_number(*number),
        _ => None,
    }
}

impl Place {
    fn has(self, text: &str, needle: &str) -> bool {
        match self {
            Self::Anywhere => text.contains(needle),
            Self::Start => text.starts_with(needle),
            Self::End => text.ends_with(needle),
        }
    }
}

impl Wanted {
    fn is(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }
}

impl JsonType {
    const NAMES: [(&'static str, Self); 6] = [
        ("string", Self::String),
        ("number", Self::Number),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("object", Self::Object),
        ("array", Self::Array),
    ];

    fn is_of(self, value: &Json<'_>) -> bool {
        match (self, value) {
            (Self::Integer, Json::Number(number)) => Number::of(number).is_some_and(Number::is_whole),
            (Self::String, Json::Text(_))
            | (Self::Number, Json::Number(_))
            | (Self::Boolean, Json::Boolean(_))
            | (Self::Object, Json::Object(_))
            | (Self::Array, Json::Array(_)) => true,
            _ => false,
        }
    }
}
