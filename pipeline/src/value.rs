//! Values that come from the environment (`{ env = "X", default = … }`) or from a file (`{ file = "path" }`).
//!
//! Whatever variable `X` is bound, `X_FILE` may be set in its place: the path of a file that holds the value, relative to
//! the working directory.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::{
    Variables,
    diagnostic::{Diagnostic, did_you_mean},
    document::{self, Faults},
    schema::{Accepts, Schemas},
    secret,
};

/// What is added to a variable's name for the one that names a file with its value.
pub(crate) const FILE_SUFFIX: &str = "_FILE";

/// What the references of a pipeline file stand for, by where they begin.
#[derive(Default)]
pub(crate) struct Resolved {
    by_start: BTreeMap<usize, Resolution>,
    /// Files that gave values, also those that could not be read, with what they hold.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    /// Variables that were asked for, with what they hold, for the digest.
    pub(crate) variables: Vec<(String, Option<String>)>,
}

enum Resolution {
    Given {
        value: Plain,
        /// How to speak of what gave it.
        origin: String,
    },
    /// None of the variables is set.
    Default,
}

/// A value as its setting wants it.
enum Plain {
    Text(String),
    /// The digits of an integer or a float: TOML.
    Number(String),
    Boolean(bool),
    List(Vec<Plain>),
}

/// Finds references and what they stand for.
pub(crate) struct Resolver<'c> {
    pub(crate) schemas: &'c Schemas,
    pub(crate) variables: &'c Variables,
    /// The pipeline file's folder, to which files are relative.
    pub(crate) folder: &'c Path,
    pub(crate) faults: &'c mut Faults,
    pub(crate) resolved: Resolved,
}

// === impl Resolver ===

impl Resolver<'_> {
    /// Resolves what stands in a table of settings.
    pub(crate) fn table(&mut self, table: &DeTable<'_>, schema: Option<&Value>) {
        let schemas = self.schemas;
        for (key, value) in table {
            self.value(value, schema.and_then(|schema| schemas.property(schema, key.get_ref())));
        }
    }

    /// Resolves a value: a reference, or what stands in a list or a table.
    pub(crate) fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: Option<&Value>) {
        let schemas = self.schemas;
        match value.get_ref() {
            DeValue::Table(table) => {
                let own = |key| schema.is_some_and(|schema| schemas.property(schema, key).is_some());
                let is = |key| table.contains_key(key) && !own(key);
                if is("env") || is("file") {
                    let start = value.span().start;
                    match self.reference(value, table, schema) {
                        Some(resolution) => {
                            self.resolved.by_start.insert(start, resolution);
                        }
                        None => self.faults.unresolved.push(start),
                    }
                } else {
                    self.table(table, schema);
                }
            }
            DeValue::Array(array) => {
                let items = schema.and_then(|schema| schemas.accepts(schema).items);
                array.iter().for_each(|item| self.value(item, items));
            }
            _ => {}
        }
    }

    fn reference(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        table: &DeTable<'_>,
        schema: Option<&Value>,
    ) -> Option<Resolution> {
        let known: &[&str] = if table.contains_key("env") { &["env", "default"] } else { &["file"] };
        let mut sound = true;
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                sound = false;
                let message = format!(
                    "a value from `{}` has no `{}`",
                    known.first().copied().unwrap_or_default(),
                    key.get_ref()
                );
                let fault = Diagnostic::error("unknown-key", &self.faults.at(key.span()), message);
                let meant = did_you_mean(key.get_ref(), known.iter().copied());
                self.faults.push(fault.help_if(meant));
            }
        }
        let (text, origin) = match (table.get("env"), table.get("file")) {
            (Some(names), _) => {
                let is_secret = schema.is_some_and(|schema| self.schemas.is_secret(schema));
                match self.variable(value, names, table.contains_key("default"), is_secret)? {
                    Some(found) => found,
                    None => return sound.then_some(Resolution::Default),
                }
            }
            (None, Some(file)) => {
                self.file(file, schema.is_some_and(|schema| self.schemas.is_secret(schema)))?
            }
            (None, None) => return None,
        };
        if !sound {
            return None;
        }
        let accepts = schema.map(|schema| self.schemas.accepts(schema));
        let converted = self.convert(&text, accepts);
        // Numbers that are numbers are no secrets, and messages that lack them say nothing.
        if !matches!(converted, Some(Plain::Number(_) | Plain::Boolean(_))) {
            self.faults.secrets.add(&text);
        }
        match converted {
            Some(value) => Some(Resolution::Given { value, origin }),
            None => {
                let wanted = accepts.map_or("another value", |accepts| accepts.describe());
                let message = format!("{origin} does not hold {wanted}");
                self.faults.error("value-type", value.span(), message);
                None
            }
        }
    }

    /// The first variable that is set, and how to speak of it. `Some(None)` is the default's turn.
    fn variable(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        names: &Spanned<DeValue<'_>>,
        has_default: bool,
        is_secret: bool,
    ) -> Option<Option<(String, String)>> {
        let listed: Vec<_> = match names.get_ref() {
            DeValue::String(_) => vec![names],
            DeValue::Array(array) => array.iter().collect(),
            _ => Vec::new(),
        };
        let listed: Option<Vec<&str>> = listed
            .into_iter()
            .map(|name| name.get_ref().as_str().filter(|name| is_variable_name(name)))
            .collect();
        let Some(listed) = listed.filter(|listed| !listed.is_empty()) else {
            self.faults.error(
                "wrong-type",
                names.span(),
                "`env` is the name of a variable, or a list of names",
            );
            return None;
        };
        for name in &listed {
            let naming = format!("{name}{FILE_SUFFIX}");
            match (self.look_up(name), self.look_up(&naming).filter(|path| !path.is_empty())) {
                (Some(_), Some(_)) => {
                    let message = format!("the environment variables `{name}` and `{naming}` are both set");
                    let fault =
                        Diagnostic::error("variable-set-twice", &self.faults.at(value.span()), message);
                    self.faults.push(fault.help("unset one of them"));
                    return None;
                }
                (Some(text), None) => {
                    return Some(Some((text, format!("the environment variable `{name}`"))));
                }
                (None, Some(path)) => {
                    let is_secret = is_secret || secret::looks_secret(name);
                    return self.named_file(&naming, Path::new(&path), value.span(), is_secret).map(Some);
                }
                (None, None) => {}
            }
        }
        if has_default {
            return Some(None);
        }
        let names = listed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        let location = self.faults.at(value.span());
        let fault = Diagnostic::error(
            "variable-not-set",
            &location,
            format!("the environment variable {names} is not set"),
        );
        self.faults.push(fault.help("set it, or add a `default`"));
        None
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let found = (self.variables)(name);
        self.resolved.variables.push((name.to_owned(), found.clone()));
        found
    }

    /// The text of the file that a variable names. The path is not said: it may be a secret in the wrong place.
    fn named_file(
        &mut self,
        variable: &str,
        path: &Path,
        span: Range<usize>,
        is_secret: bool,
    ) -> Option<(String, String)> {
        let origin = format!("the file that `{variable}` names");
        let text = self.text_of(path, &origin, span.clone(), is_secret)?;
        if text.is_empty() {
            self.empty(&origin, span, &format!("write the value into it, or unset `{variable}`"));
            return None;
        }
        Some((text, origin))
    }

    fn file(&mut self, file: &Spanned<DeValue<'_>>, is_secret: bool) -> Option<(String, String)> {
        let Some(name) = file.get_ref().as_str().filter(|name| !name.is_empty()) else {
            self.faults.error("wrong-type", file.span(), "`file` is the path of a file");
            return None;
        };
        let origin = format!("the file `{name}`");
        let text = self.text_of(&self.folder.join(name), &origin, file.span(), is_secret)?;
        // A list may be empty; a secret that is was lost on its way.
        if is_secret && text.is_empty() {
            self.empty(&origin, file.span(), "write the secret into it");
            return None;
        }
        Some((text, origin))
    }

    fn empty(&mut self, origin: &str, span: Range<usize>, help: &str) {
        let fault = Diagnostic::error("file-empty", &self.faults.at(span), format!("{origin} is empty"));
        self.faults.push(fault.help(help));
    }

    /// A file's text without the line break at its end.
    fn text_of(&mut self, path: &Path, origin: &str, span: Range<usize>, is_secret: bool) -> Option<String> {
        let read = document::read(path);
        let bytes = read.as_ref().map(Clone::clone).unwrap_or_default();
        if !self.resolved.files.iter().any(|(known, _)| known == path) {
            self.resolved.files.push((path.to_owned(), bytes));
        }
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                self.faults.error(error.code(), span, format!("{origin} {error}"));
                return None;
            }
        };
        let Ok(mut text) = String::from_utf8(bytes) else {
            self.faults.error("not-utf8", span, format!("{origin} is not UTF-8"));
            return None;
        };
        if is_secret && everybody_may_read(path) {
            let message = format!("everybody on this machine may read {origin}");
            let doubt = Diagnostic::warning("secret-readable", &self.faults.at(span), message);
            self.faults.push(doubt.help("let only the server's user read it, as `chmod 400` does"));
        }
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Some(text)
    }

    /// The text as what the setting may be. A number wins over a text, so that a duration of `60000` is one.
    fn convert(&self, text: &str, accepts: Option<Accepts<'_>>) -> Option<Plain> {
        let Some(accepts) = accepts else { return Some(Plain::Text(text.to_owned())) };
        let trimmed = text.trim();
        if (accepts.integer || accepts.number)
            && let Ok(number) = trimmed.parse::<i64>()
        {
            let digits = if accepts.integer { number.to_string() } else { format!("{number}.0") };
            return Some(Plain::Number(digits));
        }
        if accepts.number
            && let Some(number) = trimmed.parse::<f64>().ok().filter(|number| number.is_finite())
        {
            return Some(Plain::Number(format!("{number:?}")));
        }
        if accepts.boolean
            && let Ok(boolean) = trimmed.to_ascii_lowercase().parse::<bool>()
        {
            return Some(Plain::Boolean(boolean));
        }
        let nothing = !(accepts.integer || accepts.number || accepts.boolean || accepts.array);
        if accepts.string || nothing {
            return Some(Plain::Text(text.to_owned()));
        }
        if accepts.array {
            let items = accepts.items.map(|items| self.schemas.accepts(items));
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            return parts.map(|part| self.convert(part, items)).collect::<Option<_>>().map(Plain::List);
        }
        None
    }
}

// === impl Resolved ===

impl Resolved {
    /// The table with what its references stand for, each where the reference stands.
    pub(crate) fn substitute<'a>(&'a self, table: DeTable<'a>) -> DeTable<'a> {
        table.into_iter().map(|(key, value)| (key, self.value(value))).collect()
    }

    fn value<'a>(&'a self, value: Spanned<DeValue<'a>>) -> Spanned<DeValue<'a>> {
        let span = value.span();
        let substituted = match value.into_inner() {
            DeValue::Table(mut table) => {
                match self.by_start.get(&span.start).filter(|_| is_reference(&table)) {
                    Some(Resolution::Given { value, .. }) => value.value(&span),
                    Some(Resolution::Default) => match table.remove("default") {
                        Some(default) => return default,
                        None => DeValue::Table(table),
                    },
                    None => DeValue::Table(self.substitute(table)),
                }
            }
            DeValue::Array(array) => {
                let mut substituted = DeArray::new();
                for item in array {
                    substituted.push(self.value(item));
                }
                DeValue::Array(substituted)
            }
            plain => plain,
        };
        Spanned::new(span, substituted)
    }

    /// What gave the value that begins there, if it came from the environment or a file.
    pub(crate) fn origin(&self, start: usize) -> Option<&str> {
        match self.by_start.get(&start)? {
            Resolution::Given { origin, .. } => Some(origin),
            Resolution::Default => None,
        }
    }
}

// === impl Plain ===

impl Plain {
    fn value(&self, span: &Range<usize>) -> DeValue<'_> {
        match self {
            Self::Text(text) => DeValue::String(text.as_str().into()),
            Self::Boolean(boolean) => DeValue::Boolean(*boolean),
            Self::Number(digits) => match DeValue::parse(digits) {
                Ok(number) => number.into_inner(),
                // Digits are TOML; were they not, the setting would say that it is no number.
                Err(_) => DeValue::String(digits.as_str().into()),
            },
            Self::List(items) => {
                let mut array = DeArray::new();
                for item in items {
                    array.push(Spanned::new(span.clone(), item.value(span)));
                }
                DeValue::Array(array)
            }
        }
    }
}

/// Whether a table may be a reference. A table that is not written out begins where the first thing in it does.
fn is_reference(table: &DeTable<'_>) -> bool {
    table.contains_key("env") || table.contains_key("file")
}

#[cfg(unix)]
fn everybody_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn everybody_may_read(_: &Path) -> bool {
    false
}

/// What an environment can have a variable of: it is asked for nothing else.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
