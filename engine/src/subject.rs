//! An attribute's value as tests and draws see it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt::Write as _;

use serde_json::Value;

use crate::buckets::Murmur3;
use crate::json::Json;
use crate::model::Cast;
use crate::number::Number;
use crate::version::Version;

/// A value, converted where a leaf asks for it.
#[derive(Debug)]
pub(crate) enum Subject<'v> {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Text<'v>),
    /// An array or an object.
    Structure(&'v Json<'v>),
}

/// A text with what comparisons found out about it, which those of other flags ask again.
#[derive(Debug)]
pub(crate) struct Text<'v> {
    text: Cow<'v, str>,
    fingerprint: OnceCell<u32>,
    version: OnceCell<Option<Version<Box<str>>>>,
}

impl<'v> Subject<'v> {
    /// `None` where the value cannot be converted.
    pub(crate) fn of(value: &'v Json<'_>, cast: Option<Cast>) -> Option<Self> {
        let plain = match value {
            Json::Null => Self::Null,
            Json::Boolean(boolean) => Self::Boolean(*boolean),
            Json::Number(number) => Self::Number(Number::of(number)?),
            Json::Text(text) => Self::Text(text.as_ref().into()),
            Json::Array(_) | Json::Object(_) => Self::Structure(value),
        };
        match (cast, plain) {
            (None, plain)
            | (Some(Cast::String), plain @ Self::Text(_))
            | (Some(Cast::Number), plain @ Self::Number(_)) => Some(plain),
            (Some(Cast::String), Self::Number(number)) => Some(Self::Text(number.to_string().into())),
            (Some(Cast::String), Self::Boolean(boolean)) => {
                Some(Self::Text(if boolean { "true" } else { "false" }.into()))
            }
            (Some(Cast::Number), Self::Text(text)) => Number::parse(text.as_str()).map(Self::Number),
            (Some(_), _) => None,
        }
    }
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The [`fingerprint`] of the text.
    pub(crate) fn fingerprint(&self) -> u32 {
        *self.fingerprint.get_or_init(|| fingerprint(&self.text))
    }

    /// The version that it is.
    pub(crate) fn version(&self) -> Option<&Version<Box<str>>> {
        self.version.get_or_init(|| Version::parse(&self.text).map(Version::into_owned)).as_ref()
    }
}

impl<'v, T: Into<Cow<'v, str>>> From<T> for Text<'v> {
    fn from(text: T) -> Self {
        Self { text: text.into(), fingerprint: OnceCell::new(), version: OnceCell::new() }
    }
}

/// A number that is the same for equal texts, and hardly ever for others.
pub(crate) fn fingerprint(text: &str) -> u32 {
    Murmur3::default().chain(text.as_bytes()).finish()
}

/// The text a value is drawn or targeted by: a string as it is, an integer in decimal.
#[derive(Debug)]
pub(crate) enum Identity<'v> {
    Text(&'v str),
    Decimal(Decimal),
}

/// The decimal digits of an integer, without allocation.
#[derive(Debug)]
pub(crate) struct Decimal {
    length: usize,
    digits: [u8; Decimal::LONGEST],
}

impl<'v> Identity<'v> {
    /// `None` for values of other types, which count as missing.
    pub(crate) fn of(value: &'v Json<'_>) -> Option<Self> {
        match value {
            Json::Text(text) => Some(Self::Text(text)),
            Json::Number(number) => {
                let mut decimal = Decimal { length: 0, digits: [0; Decimal::LONGEST] };
                write!(decimal, "{}", Number::of(number)?.integer()?).ok()?;
                Some(Self::Decimal(decimal))
            }
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            // Only ever written to as text.
            Self::Decimal(decimal) => decimal
                .digits
                .get(..decimal.length)
                .and_then(|digits| str::from_utf8(digits).ok())
                .unwrap_or_default(),
        }
    }
}

impl Decimal {
    /// The length of -2^127.
    const LONGEST: usize = 40;
}

impl std::fmt::Write for Decimal {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.digits.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Text in which letters that differ by case only are the same: each character in lower case by Unicode's
/// mapping, independent of language and of its neighbours.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
}

/// A text that is the same for equal values: members sorted, whole numbers without fraction.
pub(crate) fn canonical(value: &Json<'_>) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Json<'_>, text: &mut String) {
    match value {
        Json::Number(number) => {
            // Writing to a String cannot fail.
            let _ = match Number::of(number) {
                Some(number) => write!(text, "{number}"),
                None => write!(text, "{number}"),
            };
        }
        Json::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(element, text);
            }
            text.push(']');
        }
        Json::Object(object) => {
            text.push('{');
            for (index, (name, member)) in object.members().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::from(name));
                write_canonical(member, text);
            }
            text.push('}');
        }
        scalar => {
            let _ = write!(text, "{}", Value::from(scalar));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identities() {
        let identity =
            |value: Value| Identity::of(&Json::from(&value)).map(|identity| identity.as_str().to_owned());
        assert_eq!(identity(json!("ünï")), Some("ünï".to_owned()));
        assert_eq!(identity(json!("")), Some(String::new()));
        assert_eq!(identity(json!(42)), Some("42".to_owned()));
        assert_eq!(identity(json!(42.0)), Some("42".to_owned()));
        assert_eq!(identity(json!(u64::MAX)), Some("18446744073709551615".to_owned()));
        assert_eq!(identity(json!(i64::MIN)), Some("-9223372036854775808".to_owned()));
        assert_eq!(identity(json!(-0.0)), Some("0".to_owned()));
        for none in [json!(null), json!(true), json!(1.5), json!(1e300), json!([]), json!({})] {
            assert_eq!(identity(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn canonical_text_is_the_same_for_equal_values() {
        let canonical = |text: &str| canonical(&Json::read(text.as_bytes()).unwrap());
        let one = canonical(r#"{"b":[1.0,{"y":2,"x":null}],"a":"\u00e9"}"#);
        assert_eq!(one, canonical(r#"{"a":"é","b":[1,{"x":null,"y":2e0}]}"#));
        assert_ne!(canonical(r#"{"a":"1"}"#), canonical(r#"{"a":1}"#));
        assert_ne!(canonical("[[1],2]"), canonical("[[1,2]]"));
    }
}
