//! Attributes inside attributes: JSON Pointers (RFC 6901).

use crate::json::Json;

/// The unescaped steps of a pointer; `None` where it is none (RFC 6901 §3).
pub(crate) fn parse(pointer: &str) -> Option<Box<[Box<str>]>> {
    pointer.strip_prefix('/')?.split('/').map(unescape).collect()
}

fn unescape(step: &str) -> Option<Box<str>> {
    let mut plain = String::with_capacity(step.len());
    let mut characters = step.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain.into_boxed_str())
}

/// What a pointer's steps after the first lead to.
pub(crate) fn follow<'v, 'b>(steps: &[Box<str>], start: &'v Json<'b>) -> Option<&'v Json<'b>> {
    steps.iter().try_fold(start, |value, step| match value {
        Json::Object(object) => object.get(step),
        Json::Array(elements) => elements.get(index(step)?),
        _ => None,
    })
}

/// An array index: ASCII digits without leading zeros (RFC 6901 §4).
fn index(step: &str) -> Option<usize> {
    let digits = step.bytes().all(|byte| byte.is_ascii_digit()) && (step == "0" || !step.starts_with('0'));
    step.parse().ok().filter(|_| digits)
}
