//! Reading a table of known keys, with every fault at its place.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Faults,
};

/// A table whose keys are known.
pub(crate) struct Fields<'t, 'a> {
    /// How to speak of it: "a route".
    what: &'static str,
    table: &'t DeTable<'a>,
    span: Range<usize>,
}

/// A text and where it stands.
pub(crate) type Text<'t> = (&'t str, Range<usize>);

// === impl Fields ===

impl<'t, 'a> Fields<'t, 'a> {
    /// Takes a value that should be a table with no other keys than these.
    pub(crate) fn of(
        value: &'t Spanned<DeValue<'a>>,
        what: &'static str,
        known: &[&str],
        faults: &mut Faults,
    ) -> Option<Self> {
        let table = table(value, what, faults)?;
        let fields = Self { what, table, span: value.span() };
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let message = format!("{what} has no `{}`", key.get_ref());
                let fault = Diagnostic::error("unknown-key", &faults.at(key.span()), message);
                let meant = did_you_mean(key.get_ref(), known.iter().copied());
                let help = meant.unwrap_or_else(|| format!("{what} takes {}", listed(known)));
                faults.push(fault.help(help));
            }
        }
        Some(fields)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// The text of a key, if it is given.
    pub(crate) fn text(&self, key: &str, faults: &mut Faults) -> Option<Text<'t>> {
        let value = self.get(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some((text, value.span())),
            None => {
                wrong_type(value, &format!("`{key}`"), "a text", faults);
                None
            }
        }
    }

    /// The text of a key that must be given.
    pub(crate) fn required_text(&self, key: &str, faults: &mut Faults) -> Option<Text<'t>> {
        self.required(key, faults)?;
        self.text(key, faults)
    }

    /// A key that must be given.
    pub(crate) fn required(&self, key: &str, faults: &mut Faults) -> Option<&'t Spanned<DeValue<'a>>> {
        let value = self.get(key);
        if value.is_none() {
            faults.error("missing-key", self.span.clone(), format!("{} needs `{key}`", self.what));
        }
        value
    }

    /// The texts of a list.
    pub(crate) fn texts(&self, key: &str, faults: &mut Faults) -> Option<Vec<Text<'t>>> {
        let value = self.get(key)?;
        texts(value, &format!("`{key}`"), faults)
    }

    /// The texts of a table, by key.
    pub(crate) fn text_table(&self, key: &str, faults: &mut Faults) -> Vec<(String, String)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = table(value, "this", faults) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in table {
            match value.get_ref().as_str() {
                Some(text) => pairs.push((name.get_ref().to_string(), text.to_owned())),
                None => wrong_type(value, &format!("`{}`", name.get_ref()), "a text", faults),
            }
        }
        pairs
    }
}

/// A value that should be a table.
pub(crate) fn table<'t, 'a>(
    value: &'t Spanned<DeValue<'a>>,
    what: &str,
    faults: &mut Faults,
) -> Option<&'t DeTable<'a>> {
    let table = value.get_ref().as_table().filter(|_| !faults.is_unresolved(value));
    if table.is_none() {
        wrong_type(value, what, "a table", faults);
    }
    table
}

/// A value that should be a list of texts. Those that are, if it is a list.
pub(crate) fn texts<'t>(
    value: &'t Spanned<DeValue<'_>>,
    what: &str,
    faults: &mut Faults,
) -> Option<Vec<Text<'t>>> {
    let Some(array) = value.get_ref().as_array() else {
        wrong_type(value, what, "a list of texts", faults);
        return None;
    };
    let mut texts = Vec::with_capacity(array.len());
    for item in array.iter() {
        match item.get_ref().as_str() {
            Some(text) => texts.push((text, item.span())),
            None => wrong_type(item, &format!("an item of {what}"), "a text", faults),
        }
    }
    Some(texts)
}

/// Says that a value is of another type, unless its value is unknown, which was said already.
pub(crate) fn wrong_type(value: &Spanned<DeValue<'_>>, what: &str, wanted: &str, faults: &mut Faults) {
    if !faults.is_unresolved(value) {
        let found = value.get_ref().type_str();
        faults.error("wrong-type", value.span(), format!("{what} is {wanted}, not {}", article(found)));
    }
}

fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// "`a`, `b` and `c`"
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}
