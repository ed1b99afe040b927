//! The small readers that the documents' readers are made of. Each notes its fault and answers `None`.

use serde_json::{Map, Value};

use crate::fault::Faults;
use crate::key::is_key;
use crate::nearest::did_you_mean;

/// The members of an object, all of known names.
#[derive(Clone, Copy)]
pub(super) struct Members<'v> {
    map: &'v Map<String, Value>,
}

impl<'v> Members<'v> {
    /// Opens an object; a member that is neither in `known` nor in `ignored` is a fault.
    pub(super) fn open(
        value: &'v Value,
        known: &[&str],
        ignored: &[&str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let Value::Object(map) = value else {
            wrong_type("an object", value, faults);
            return None;
        };
        for name in map.keys() {
            if !known.contains(&name.as_str()) && !ignored.contains(&name.as_str()) {
                faults.within(name.as_str(), |faults| {
                    faults.push(
                        "unknown_field",
                        format!("unknown member{}", did_you_mean(name, known.iter().copied())),
                    );
                });
            }
        }
        Some(Self { map })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A member that may be absent.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        faults: &mut Faults,
        read: impl FnOnce(&'v Value, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        let value = self.map.get(name)?;
        faults.within(name, |faults| read(value, faults))
    }

    /// A member that may be absent or null, which is the same.
    pub(super) fn nullable<T>(
        &self,
        name: &'static str,
        faults: &mut Faults,
        read: impl FnOnce(&'v Value, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        self.map.get(name).filter(|value| !value.is_null())?;
        self.optional(name, faults, read)
    }

    /// A member that has to be there.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        faults: &mut Faults,
        read: impl FnOnce(&'v Value, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            faults.within(name, |faults| faults.push("required", format!("`{name}` is missing")));
        }
        self.optional(name, faults, read)
    }
}

pub(super) fn boolean(value: &Value, faults: &mut Faults) -> Option<bool> {
    if !value.is_boolean() {
        wrong_type("true or false", value, faults);
    }
    value.as_bool()
}

/// An integer from 0 to `most`.
pub(super) fn integer(most: u32) -> impl Fn(&Value, &mut Faults) -> Option<u32> {
    move |value, faults| {
        if !value.is_number() {
            wrong_type("an integer", value, faults);
            return None;
        }
        let read =
            value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most);
        if read.is_none() {
            faults.push("out_of_range", format!("must be an integer from 0 to {most}"));
        }
        read
    }
}

/// A string of at most `longest` bytes.
pub(super) fn text(longest: usize) -> impl Fn(&Value, &mut Faults) -> Option<String> {
    move |value, faults| {
        let Value::String(text) = value else {
            wrong_type("a string", value, faults);
            return None;
        };
        if text.len() > longest {
            faults.push("too_large", format!("must have at most {longest} bytes, has {}", text.len()));
            return None;
        }
        if text.contains('\0') {
            faults.push("invalid_text", "must not contain the character NUL");
            return None;
        }
        Some(text.clone())
    }
}

/// A string that is not empty.
pub(super) fn name(longest: usize) -> impl Fn(&Value, &mut Faults) -> Option<String> {
    move |value, faults| {
        let read = text(longest)(value, faults)?;
        if read.is_empty() {
            faults.push("empty", "must not be empty");
            return None;
        }
        Some(read)
    }
}

/// A string of the grammar of keys.
pub(super) fn key(value: &Value, faults: &mut Faults) -> Option<String> {
    let Value::String(key) = value else {
        wrong_type("a string", value, faults);
        return None;
    };
    if !is_key(key) {
        faults.push(
            "invalid_key",
            "must be 1 to 100 letters, digits, `.`, `_` or `-`, beginning and ending with a letter or digit",
        );
        return None;
    }
    Some(key.clone())
}

/// One of some names; the answer says which it stands for.
pub(super) fn choice<T: Copy>(names: &[(&'static str, T)]) -> impl Fn(&Value, &mut Faults) -> Option<T> {
    move |value, faults| {
        let Value::String(given) = value else {
            wrong_type("a string", value, faults);
            return None;
        };
        let found = names.iter().find(|(name, _)| name == given);
        if found.is_none() {
            let near = did_you_mean(given, names.iter().map(|(name, _)| *name));
            let all: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            faults.push("unknown_value", format!("must be one of {}{near}", all.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }
}

/// A list of at most `most` elements, without those that had a fault.
pub(super) fn list<'v, T>(
    most: usize,
    mut element: impl FnMut(&'v Value, &mut Faults) -> Option<T>,
) -> impl FnMut(&'v Value, &mut Faults) -> Option<Vec<T>> {
    move |value, faults| {
        let Value::Array(elements) = value else {
            wrong_type("a list", value, faults);
            return None;
        };
        if elements.len() > most {
            faults.push("too_large", format!("must have at most {most} elements, has {}", elements.len()));
            return None;
        }
        let read = |(index, value)| faults.within(index, |faults| element(value, faults));
        Some(elements.iter().enumerate().filter_map(read).collect())
    }
}

/// Notes that the value is of another type than wanted.
pub(super) fn wrong_type(wanted: &str, value: &Value, faults: &mut Faults) {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    faults.push("wrong_type", format!("must be {wanted}, is {is}"));
}

/// The length of a value written as JSON.
pub(super) fn json_length(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A Value always serialises, and counting cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Whether a value nests at most this deep; a scalar nests 0 deep.
pub(super) fn nests_within(value: &Value, deepest: usize) -> bool {
    match value {
        Value::Array(elements) => {
            deepest > 0 && elements.iter().all(|element| nests_within(element, deepest - 1))
        }
        Value::Object(members) => {
            deepest > 0 && members.values().all(|member| nests_within(member, deepest - 1))
        }
        _ => true,
    }
}
