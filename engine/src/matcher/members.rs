use serde_json::Value;

use crate::number::Number;
use crate::subject::{Subject, canonical, fold};

/// A set of JSON values; membership is typed equality.
#[derive(Debug)]
pub(super) struct Members {
    /// Whether `texts` are folded and others are to be.
    ignore_case: bool,
    /// Sorted, each once; so are the others.
    texts: Box<[Box<str>]>,
    numbers: Box<[Number]>,
    booleans: Box<[bool]>,
    /// Arrays and objects as canonical text.
    structures: Box<[Box<str>]>,
}

impl Members {
    pub(super) fn new(values: &[Value], ignore_case: bool) -> Self {
        let mut texts = Vec::new();
        let mut numbers = Vec::new();
        let mut booleans = Vec::new();
        let mut structures = Vec::new();
        for value in values {
            match value {
                Value::String(text) if ignore_case => texts.push(fold(text).into()),
                Value::String(text) => texts.push(text.as_str().into()),
                Value::Number(number) => numbers.extend(Number::of(number)),
                Value::Bool(boolean) => booleans.push(*boolean),
                Value::Null => {}
                structure => structures.push(canonical(structure).into_boxed_str()),
            }
        }
        let (texts, numbers) = (sorted(texts), sorted(numbers));
        Self { ignore_case, texts, numbers, booleans: sorted(booleans), structures: sorted(structures) }
    }

    pub(super) fn contain(&self, subject: &Subject<'_>) -> bool {
        self.position(subject).is_some()
    }

    /// Whether each member is equal to one of these.
    pub(super) fn are_all_among<'v>(&self, subjects: impl Iterator<Item = Subject<'v>>) -> bool {
        let mut seen = vec![false; self.len()];
        for place in subjects.filter_map(|subject| self.position(&subject)) {
            if let Some(seen) = seen.get_mut(place) {
                *seen = true;
            }
        }
        seen.into_iter().all(|seen| seen)
    }

    fn len(&self) -> usize {
        self.texts.len() + self.numbers.len() + self.booleans.len() + self.structures.len()
    }

    /// Where the equal member is, counted through all kinds.
    fn position(&self, subject: &Subject<'_>) -> Option<usize> {
        let numbers_from = self.texts.len();
        let booleans_from = numbers_from + self.numbers.len();
        let structures_from = booleans_from + self.booleans.len();
        match subject {
            Subject::Text(text) => {
                let text = if self.ignore_case { fold(text) } else { text.as_ref().into() };
                self.texts.binary_search_by(|member| member.as_ref().cmp(text.as_ref())).ok()
            }
            Subject::Number(number) => {
                self.numbers.binary_search(number).ok().map(|place| numbers_from + place)
            }
            Subject::Boolean(boolean) => {
                self.booleans.binary_search(boolean).ok().map(|place| booleans_from + place)
            }
            Subject::Structure(value) if !self.structures.is_empty() => {
                let text = canonical(value);
                let place = self.structures.binary_search_by(|member| member.as_ref().cmp(&text)).ok();
                place.map(|place| structures_from + place)
            }
            Subject::Structure(_) | Subject::Null => None,
        }
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into_boxed_slice()
}
