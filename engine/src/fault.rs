//! What is wrong with a definition, and where.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::limits;

/// One fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON Pointer (RFC 6901) into the document, `""` for the whole of it.
    pub pointer: String,
    /// What kind, for programs: `unknown_field`, `required`, `wrong_type`, `too_large` …
    pub code: &'static str,
    /// What and what to do, for people.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(formatter, "{place}: {} ({})", self.detail, self.code)
    }
}

/// Collects faults while a document is walked; knows where the walk stands.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    path: String,
    found: Vec<Fault>,
}

impl Faults {
    /// Notes a fault of the place the walk is at.
    pub(crate) fn push(&mut self, code: &'static str, detail: impl Into<String>) {
        if self.found.len() < limits::FAULTS {
            self.found.push(Fault { pointer: self.path.clone(), code, detail: detail.into() });
        }
    }

    /// Walks into a member or an element, and back out when `walk` is done.
    pub(crate) fn within<T>(&mut self, step: impl PointerStep, walk: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        step.append_to(&mut self.path);
        let result = walk(self);
        self.path.truncate(length);
        result
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn into_vec(self) -> Vec<Fault> {
        self.found
    }
}

/// One step of a JSON Pointer: a member's name or an element's index.
pub(crate) trait PointerStep {
    fn append_to(self, path: &mut String);
}

impl PointerStep for &str {
    fn append_to(self, path: &mut String) {
        path.push('/');
        for character in self.chars() {
            match character {
                '~' => path.push_str("~0"),
                '/' => path.push_str("~1"),
                other => path.push(other),
            }
        }
    }
}

impl PointerStep for usize {
    fn append_to(self, path: &mut String) {
        // Writing to a String cannot fail.
        let _ = write!(path, "/{self}");
    }
}
