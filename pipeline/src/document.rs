//! A pipeline file and what it includes, as tables whose every value knows its place.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::{
    diagnostic::{Diagnostic, Location, Source},
    schema::Schemas,
    secret::{self, Secrets},
};

/// The largest file that is read, in bytes.
pub(crate) const LARGEST: u64 = 1024 * 1024;

/// The most syntax errors of one file that are reported: after these it is hardly TOML.
const MOST_SYNTAX_ERRORS: usize = 50;

/// What is wrong so far, and the texts it is wrong in.
#[derive(Default)]
pub(crate) struct Faults {
    sources: Vec<Arc<Source>>,
    diagnostics: Vec<Diagnostic>,
    said: HashSet<(&'static str, (usize, usize), String)>,
    /// What no diagnostic may show.
    pub(crate) secrets: Secrets,
    /// Where values begin that could not be resolved: what is said of them is enough.
    pub(crate) unresolved: Vec<usize>,
}

/// A file that was read: valid TOML.
pub(crate) struct Document<'b> {
    table: DeTable<'b>,
    base: usize,
}

/// A file that another includes, with what it holds; `None` where it cannot be read.
pub(crate) type Included = (PathBuf, Option<Vec<u8>>);

/// Why a file was not read.
pub(crate) enum ReadError {
    Io(io::Error),
    NotAFile,
    TooLarge,
}

// === impl Faults ===

impl Faults {
    /// The place of some bytes of all files.
    pub(crate) fn at(&self, span: Range<usize>) -> Location {
        let index = self.sources.partition_point(|source| source.base() <= span.start).saturating_sub(1);
        let source = match self.sources.get(index) {
            Some(source) => source.clone(),
            None => Arc::new(Source::new(Path::new(""), String::new(), 0)),
        };
        let base = source.base();
        Location::new(source, span.start.saturating_sub(base)..span.end.saturating_sub(base))
    }

    /// Adds what was found. What was found of a layer already is not said again of those derived from it.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let place = diagnostic.location().map(Location::order).unwrap_or_default();
        if self.said.insert((diagnostic.code, place, diagnostic.message.clone())) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// A fault at some bytes. More may be added to it before the next.
    pub(crate) fn error(&mut self, code: &'static str, span: Range<usize>, message: impl AsRef<str>) {
        let diagnostic = Diagnostic::error(code, &self.at(span), message);
        self.push(diagnostic);
    }

    pub(crate) fn len(&self) -> usize {
        self.diagnostics.len()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|found| found.severity == crate::diagnostic::Severity::Error)
    }

    /// All of it, without what must not be shown.
    pub(crate) fn finish(self) -> (Vec<Diagnostic>, Secrets) {
        let secrets = self.secrets;
        let redacted = self.diagnostics.into_iter().map(|found| found.redacted(&secrets)).collect();
        (redacted, secrets)
    }

    /// Whether a value could not be resolved.
    pub(crate) fn is_unresolved(&self, value: &Spanned<DeValue<'_>>) -> bool {
        self.unresolved.contains(&value.span().start)
    }

    fn next_base(&self) -> usize {
        self.sources.last().map_or(0, |source| source.base() + source.text().len() + 1)
    }

    pub(crate) fn add_source(&mut self, path: &Path, text: String) -> usize {
        let base = self.next_base();
        self.sources.push(Arc::new(Source::new(path, text, base)));
        base
    }
}

// === impl Document ===

impl<'b> Document<'b> {
    /// Takes a file's bytes. `None` where it is not TOML; why is among the faults then.
    pub(crate) fn new(path: &Path, bytes: &'b [u8], schemas: &Schemas, faults: &mut Faults) -> Option<Self> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let valid = String::from_utf8_lossy(valid).into_owned();
                let end = valid.len();
                let base = faults.add_source(path, secret::mask_text(&valid));
                faults.error("not-utf8", base + end..base + end, "the file is not UTF-8 from here on");
                return None;
            }
        };
        if text.trim_start_matches('\u{feff}').trim().is_empty() {
            let base = faults.add_source(path, String::new());
            let empty = Diagnostic::error("empty-file", &faults.at(base..base), "the file is empty");
            faults.push(empty.help("was it still being written?"));
            return None;
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let base = faults.add_source(path, secret::mask_text(text));
            report_syntax(text, base, &errors, faults);
            return None;
        }
        let masked = secret::mask(text, table.get_ref(), schemas, &mut faults.secrets);
        let base = faults.add_source(path, masked);
        Some(Self { table: rebase_table(table.into_inner(), base), base })
    }

    /// Its tables, with places among those of all files.
    pub(crate) fn table(&self) -> &DeTable<'b> {
        &self.table
    }

    pub(crate) fn into_table(self) -> DeTable<'b> {
        self.table
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> Range<usize> {
        self.base..self.base
    }
}

fn report_syntax(text: &str, base: usize, errors: &[toml::de::Error], faults: &mut Faults) {
    for error in errors.iter().take(MOST_SYNTAX_ERRORS) {
        let span = error.span().unwrap_or_default();
        let location = faults.at(base + span.start..base + span.end);
        let diagnostic = match text.get(span).map(str::trim) {
            Some(key) if error.message() == "duplicate key" => {
                Diagnostic::error("duplicate-key", &location, format!("`{key}` is defined twice"))
                    .help("remove one of them, or give one another name")
            }
            _ => Diagnostic::error("syntax", &location, error.message()),
        };
        faults.push(diagnostic);
    }
    if let Some(more) = errors.len().checked_sub(MOST_SYNTAX_ERRORS)
        && more > 0
    {
        faults.error("syntax", base..base, format!("{more} more syntax errors"));
    }
}

/// Reads a file that is at most as large as a pipeline may be.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    // A pipe would be waited for without end.
    if !fs::metadata(path)?.is_file() {
        return Err(ReadError::NotAFile);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST { Err(ReadError::TooLarge) } else { Ok(bytes) }
}

/// The pipeline file's bytes, or why there are none.
pub(crate) fn read_main(path: &Path, faults: &mut Faults) -> Option<Vec<u8>> {
    match read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let base = faults.add_source(path, String::new());
            faults.error(error.code(), base..base, format!("the file {error}"));
            None
        }
    }
}

/// Says that the pipeline file is too large.
pub(crate) fn too_large(path: &Path, faults: &mut Faults) {
    let base = faults.add_source(path, String::new());
    faults.error("file-too-large", base..base, format!("the file {}", ReadError::TooLarge));
}

/// Reads what a pipeline file includes: files beside it.
pub(crate) fn read_included(path: &Path, table: &DeTable<'_>, faults: &mut Faults) -> Vec<Included> {
    let Some(include) = table.get("include") else { return Vec::new() };
    let Some(names) = include.get_ref().as_array() else {
        faults.error("wrong-type", include.span(), "`include` is a list of file names");
        return Vec::new();
    };
    let mut files: Vec<Included> = Vec::new();
    for name in names.iter() {
        let Some(file) = name.get_ref().as_str() else {
            faults.error("wrong-type", name.span(), "`include` is a list of file names");
            continue;
        };
        let beside = Path::new(file).file_name().is_some_and(|only| only == file);
        if !beside {
            let location = faults.at(name.span());
            let fault =
                Diagnostic::error("include", &location, format!("`{file}` is not a file's plain name"));
            faults.push(fault.help("included files stand beside the pipeline file"));
            continue;
        }
        let included = path.with_file_name(file);
        if included == path || files.iter().any(|(known, _)| *known == included) {
            faults.error("include", name.span(), format!("`{file}` is included already"));
            continue;
        }
        let bytes = read(&included);
        if let Err(error) = &bytes {
            faults.error(error.code(), name.span(), format!("`{file}` {error}"));
        }
        files.push((included, bytes.ok()));
    }
    files
}

fn rebase_table(table: DeTable<'_>, base: usize) -> DeTable<'_> {
    table
        .into_iter()
        .map(|(key, value)| {
            let span = shifted(key.span(), base);
            (Spanned::new(span, key.into_inner()), rebase(value, base))
        })
        .collect()
}

fn rebase(value: Spanned<DeValue<'_>>, base: usize) -> Spanned<DeValue<'_>> {
    let span = shifted(value.span(), base);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(rebase_table(table, base)),
        DeValue::Array(array) => {
            let mut rebased = DeArray::new();
            for item in array {
                rebased.push(rebase(item, base));
            }
            DeValue::Array(rebased)
        }
        plain => plain,
    };
    Spanned::new(span, value)
}

fn shifted(span: Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}

// === impl ReadError ===

impl ReadError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "file-too-large",
            Self::Io(_) | Self::NotAFile => "file-unreadable",
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::NotAFile => f.write_str("is not a file"),
            Self::TooLarge => write!(f, "is larger than {LARGEST} bytes"),
        }
    }
}
