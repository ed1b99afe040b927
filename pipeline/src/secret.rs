//! What must not be printed: values from the environment and from files, and strings that look like secrets.

use std::ops::Range;

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::schema::Schemas;

/// Texts that are not to be printed. `Debug` shows none of them.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

// === impl Secrets ===

impl Secrets {
    /// Keeps a text out of print: as it is, as it is quoted, and the parts of it where it is a list.
    pub(crate) fn add(&mut self, text: &str) {
        let parts = text.split([',', '\n']).map(str::trim);
        let passwords = passwords_of_urls(text).into_iter().filter_map(|span| text.get(span));
        for part in std::iter::once(text).chain(parts).chain(passwords) {
            let quoted = part.escape_debug().to_string();
            for text in [part.to_owned(), quoted] {
                if !text.is_empty() && !self.0.contains(&text) {
                    self.0.push(text);
                }
            }
        }
        // One may contain another: the longest goes first.
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    /// The text without the secrets. One of a few characters is only taken out where it stands as a word.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if secret.len() > 3 {
                text = text.replace(secret.as_str(), "…");
            } else {
                text = replace_word(&text, secret);
            }
        }
        text
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

fn replace_word(text: &str, word: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = from.get(word.len()..).unwrap_or_default();
        let glued = before.chars().next_back().is_some_and(char::is_alphanumeric)
            || after.chars().next().is_some_and(char::is_alphanumeric);
        replaced.push_str(before);
        replaced.push_str(if glued { word } else { "…" });
        rest = after;
    }
    replaced + rest
}

/// Whether a key's string value is to be masked where the file is shown, or a variable's name is one of a secret.
pub(crate) fn looks_secret(key: &str) -> bool {
    const WORDS: &[&str] = &[
        "apikey",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pepper",
        "secret",
        "secrets",
        "token",
        "tokens",
    ];
    let key = key.to_ascii_lowercase();
    let mut words = key.split(['-', '_', '.']);
    // A slip of the pen does not make the value less of a secret.
    let is_one = |word: &str| WORDS.iter().any(|known| word == *known || is_slip(word, known));
    words.clone().any(is_one) || words.next_back().is_some_and(is_key)
}

fn is_slip(word: &str, known: &str) -> bool {
    const SHORTEST: usize = 5;
    let lengths = (SHORTEST.max(known.len() - 1), known.len() + 1);
    if !(lengths.0..=lengths.1).contains(&word.len()) {
        return false;
    }
    // One slip leaves two letters at most that stand in neither the same beginning nor the same end: few words need a
    // closer look.
    let begin = word.bytes().zip(known.bytes()).take_while(|(one, other)| one == other).count();
    let end = word.bytes().rev().zip(known.bytes().rev()).take_while(|(one, other)| one == other).count();
    begin + end + 2 >= known.len() && strsim::damerau_levenshtein(word, known) == 1
}

fn is_key(word: &str) -> bool {
    matches!(word, "key" | "keys")
}

/// The text with strings that look like secrets masked, byte for byte. Those strings are kept out of messages too.
pub(crate) fn mask(text: &str, table: &DeTable<'_>, schemas: &Schemas, secrets: &mut Secrets) -> String {
    let mut found = Found { text, spans: Vec::new(), secrets };
    if let Some(settings) = schemas.root() {
        found.settings(table, schemas, settings);
    }
    for (key, value) in table {
        let entries: Vec<_> = match value.get_ref() {
            // The strings of a chain are the names of layers.
            DeValue::Table(_) if key.get_ref() == "chains" => continue,
            DeValue::Table(table) => table.iter().map(|(_, value)| value).collect(),
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![value],
        };
        for entry in entries {
            let Some(fields) = entry.get_ref().as_table() else { continue };
            let kind = fields.get("kind").and_then(|kind| kind.get_ref().as_str());
            found.fields(fields, |key| kind.is_some_and(|kind| schemas.has_setting(kind, key)));
            let overrides = fields.get("override").and_then(|value| value.get_ref().as_table());
            for (layer, changes) in overrides.into_iter().flatten() {
                let Some(changes) = changes.get_ref().as_table() else { continue };
                let kind = kind_of(table, layer.get_ref());
                found.fields(changes, |key| kind.is_some_and(|kind| schemas.has_setting(kind, key)));
            }
        }
    }
    let mut masked = text.as_bytes().to_vec();
    for span in found.spans {
        cover(&mut masked, span);
    }
    for span in passwords_of_urls(text) {
        secrets.add(text.get(span.clone()).unwrap_or_default());
        cover(&mut masked, span);
    }
    String::from_utf8(masked).unwrap_or_default()
}

/// Where URLs hold passwords: `scheme://user:password@host`, `scheme://host/path?password=…`.
fn passwords_of_urls(text: &str) -> Vec<Range<usize>> {
    const PARAMETER: &str = "password=";
    let mut found = Vec::new();
    for (scheme, _) in text.match_indices("://") {
        let start = scheme + 3;
        let rest = text.get(start..).unwrap_or_default();
        let rest = rest.split([' ', '\t', '\r', '\n', '"', '\'']).next().unwrap_or_default();
        if let Some((login, _)) = rest.rsplit_once('@')
            && let Some(colon) = login.find(':')
        {
            found.push(start + colon + 1..start + login.len());
        }
        if let Some(at) = rest.find(PARAMETER) {
            found.push(start + at + PARAMETER.len()..start + rest.len());
        }
    }
    found
}

fn kind_of<'t>(table: &'t DeTable<'_>, layer: &str) -> Option<&'t str> {
    let layers = table.get("layers")?.get_ref().as_table()?;
    layers.get(layer)?.get_ref().as_table()?.get("kind")?.get_ref().as_str()
}

struct Found<'s> {
    text: &'s str,
    spans: Vec<Range<usize>>,
    secrets: &'s mut Secrets,
}

impl Found<'_> {
    /// A host's settings, one level of sections deep.
    fn settings(&mut self, table: &DeTable<'_>, schemas: &Schemas, schema: &Value) {
        for (key, value) in table {
            let property = schemas.property(schema, key.get_ref());
            match (value.get_ref(), property) {
                (DeValue::Table(section), Some(schema)) if !schemas.keys_of(schema).is_empty() => {
                    self.settings(section, schemas, schema);
                }
                _ => {
                    // What is unknown may be a secret's misspelt name.
                    let secret = property.is_none_or(|schema| schemas.is_secret(schema));
                    self.value(value, secret || looks_secret(key.get_ref()));
                }
            }
        }
    }

    /// `declared` tells whether a setting belongs to a layer's own vocabulary: `key` is what a limit counts by.
    fn fields(&mut self, table: &DeTable<'_>, declared: impl Fn(&str) -> bool) {
        for (key, value) in table {
            let key = key.get_ref();
            if key == "override" {
                continue;
            }
            let plain = is_key(key) && declared(key);
            self.value(value, looks_secret(key) && !plain);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, secret: bool) {
        match value.get_ref() {
            DeValue::String(text) if secret => {
                self.spans.push(value.span());
                self.secrets.add(text);
            }
            DeValue::Array(array) => array.iter().for_each(|item| self.value(item, secret)),
            DeValue::Table(table) => {
                for (key, value) in table {
                    // The name of a variable or a file is no secret, what it gives is.
                    let named = matches!(key.get_ref().as_ref(), "env" | "file");
                    self.value(value, (secret && !named) || looks_secret(key.get_ref()));
                }
            }
            // A password of digits is one too; `credentials = true` is none.
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) if secret => {
                let text = self.text.get(value.span()).unwrap_or_default();
                self.spans.push(value.span());
                self.secrets.add(text);
            }
            _ => {}
        }
    }
}

/// As [`mask`], for a text that is not TOML: whatever follows a key that looks like a secret's.
pub(crate) fn mask_text(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    let mut from = 0;
    while let Some(equals) = text.get(from..).and_then(|rest| rest.find('=')).map(|at| from + at) {
        from = equals + 1;
        let before = text.get(..equals).unwrap_or_default().trim_end();
        let before = before.trim_end_matches(['"', '\'']);
        let start = before.rfind(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)));
        let key = start.map_or(before, |at| before.get(at..).unwrap_or_default());
        if !looks_secret(key.trim_start_matches(|c: char| !c.is_alphanumeric())) {
            continue;
        }
        let rest = text.get(from..).unwrap_or_default();
        let line = rest.find('\n').unwrap_or(rest.len());
        let Some(quote) = rest.get(..line).and_then(|line| line.find(['"', '\''])) else { continue };
        let quoted = rest.get(quote..).unwrap_or_default();
        let end = [r#"""""#, "'''"]
            .iter()
            .find(|fence| quoted.starts_with(**fence))
            .map(|fence| quoted.get(3..).and_then(|text| text.find(fence)).map_or(quoted.len(), |at| at + 6))
            .unwrap_or(line - quote);
        cover(&mut masked, from + quote..from + quote + end);
        from += quote + end;
    }
    for span in passwords_of_urls(text) {
        cover(&mut masked, span);
    }
    String::from_utf8(masked).unwrap_or_default()
}

/// Puts a star for each byte, so that what follows keeps its place. Quotes and line breaks stay.
fn cover(text: &mut [u8], span: Range<usize>) {
    for byte in text.get_mut(span).unwrap_or_default() {
        if !matches!(*byte, b'\n' | b'\r' | b'"' | b'\'') {
            *byte = b'*';
        }
    }
}
