//! What must not be printed: values from the environment and from files, and strings that look like secrets.

/// Texts that are not to be printed. `Debug` shows none of them.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

// === impl Secrets ===

impl Secrets {
    /// Keeps a text out of print, and the parts of a list of such texts.
    pub(crate) fn add(&mut self, text: &str) {
        let parts = text.split([',', '\n']).map(str::trim);
        for part in std::iter::once(text).chain(parts) {
            if !part.is_empty() && !self.0.iter().any(|known| known == part) {
                self.0.push(part.to_owned());
            }
        }
        // A text may contain another: the longest goes first.
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for text in &other.0 {
            self.add(text);
        }
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
