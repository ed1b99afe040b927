use serde_json::Value;

use crate::json::Json;
use crate::number::Number;
use crate::subject::{Subject, canonical, fingerprint, fold};

/// A set of JSON values; membership is typed equality.
#[derive(Debug)]
pub(super) struct Members {
    /// Whether `texts` are folded and others are to be.
    ignore_case: bool,
    /// The fingerprints of the texts. Sorted, each text once; so are the others.
    fingerprints: Box<[u32]>,
    texts: Box<[Box<str>]>,
    numbers: Box<[Number]>,
    /// Booleans, arrays and objects as canonical text.
    others: Box<[Box<str>]>,
}

impl Members {
    pub(super) fn new(values: &[Value], ignore_case: bool) -> Self {
        let mut texts = Vec::new();
        let mut numbers = Vec::new();
        let mut others = Vec::new();
        for value in values {
            match value {
                Value::String(text) => {
                    let text: Box<str> = if ignore_case { fold(text).into() } else { text.as_str().into() };
                    texts.push((fingerprint(&text), text));
                }
                Value::Number(number) => numbers.extend(Number::of(number)),
                Value::Null => {}
                other => others.push(canonical(&other.into()).into_boxed_str()),
            }
        }
        let (fingerprints, texts): (Vec<_>, Vec<_>) = sorted(texts).into_iter().unzip();
        Self {
            ignore_case,
            fingerprints: fingerprints.into(),
            texts: texts.into(),
            numbers: sorted(numbers),
            others: sorted(others),
        }
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
        self.texts.len() + self.numbers.len() + self.others.len()
    }

    /// Where the equal member is, counted through all kinds.
    fn position(&self, subject: &Subject<'_>) -> Option<usize> {
        let numbers_from = self.texts.len();
        let others_from = numbers_from + self.numbers.len();
        let others_at = |place| others_from + place;
        match subject {
            Subject::Text(text) if self.ignore_case => self.folded(text.as_str()),
            Subject::Text(text) => self.text(text.as_str(), text.fingerprint()),
            Subject::Number(number) => {
                self.numbers.binary_search(number).ok().map(|place| numbers_from + place)
            }
            Subject::Boolean(boolean) => self.other(&Json::Boolean(*boolean)).map(others_at),
            Subject::Structure(value) => self.other(value).map(others_at),
            Subject::Null => None,
        }
    }

    // The rarer kinds are kept out of line, so that each comparison of the others is spared their preparations.

    #[cold]
    fn folded(&self, text: &str) -> Option<usize> {
        let text = fold(text);
        self.text(&text, fingerprint(&text))
    }

    #[cold]
    fn other(&self, value: &Json<'_>) -> Option<usize> {
        if self.others.is_empty() {
            return None;
        }
        let text = canonical(value);
        self.others.binary_search_by(|member| member.as_ref().cmp(&text)).ok()
    }

    fn text(&self, text: &str, fingerprint: u32) -> Option<usize> {
        let mut place = self.fingerprints.partition_point(|known| *known < fingerprint);
        while self.fingerprints.get(place) == Some(&fingerprint) {
            if self.texts.get(place).is_some_and(|member| **member == *text) {
                return Some(place);
            }
            place += 1;
        }
        None
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort_unstable();
    values.dedup();
    values.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_one_fingerprint_are_told_apart() {
        let [one, two] = ["user-36153", "user-226846"];
        assert_eq!(fingerprint(one), fingerprint(two));
        let contain =
            |members: &[Value], text: &str| Members::new(members, false).contain(&Subject::Text(text.into()));
        assert!(contain(&[json!(one)], one) && !contain(&[json!(one)], two));
        assert!(!contain(&[json!(two)], one) && contain(&[json!(two)], two));
        let both = [json!("a"), json!(two), json!("b"), json!(one), json!(two)];
        assert!(contain(&both, one) && contain(&both, two) && contain(&both, "b") && !contain(&both, "c"));
    }
}
