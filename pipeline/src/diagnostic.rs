//! What is wrong with a pipeline, where, and what to do about it.

mod render;
mod source;

use std::fmt;

use flagstone_layers::kernel;
use serde::Serialize;

use crate::secret::Secrets;

pub use self::{
    render::Format,
    source::{Location, Source},
};

/// One fault or doubt. Text that comes from the file is escaped, so that it cannot steer a terminal.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnostic {
    /// A stable name of this sort of fault: `unknown-layer`.
    pub code: &'static str,
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file, as it was named to the pipeline.
    pub file: String,
    /// The line it begins in; the first is 1.
    pub line: usize,
    /// The character of that line it begins at; the first is 1.
    pub column: usize,
    /// The line it ends in.
    pub end_line: usize,
    /// The character after its last.
    pub end_column: usize,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Other places it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    #[serde(skip)]
    labels: Vec<Label>,
}

/// Another place a diagnostic is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// What it has to do with it.
    pub message: String,
    /// The file.
    pub file: String,
    /// The line it begins in; the first is 1.
    pub line: usize,
    /// The character of that line it begins at; the first is 1.
    pub column: usize,
}

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The pipeline is refused.
    Error,
    /// The pipeline is applied all the same.
    Warning,
}

/// All that was found in one reading: every fault, each once, in the order of the file.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Report {
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Clone, Debug)]
struct Label {
    location: Location,
    text: String,
}

// === impl Diagnostic ===

impl Diagnostic {
    /// A fault that stops the pipeline.
    pub fn error(code: &'static str, location: &Location, message: impl AsRef<str>) -> Self {
        Self::new(code, Severity::Error, location, message.as_ref())
    }

    /// A doubt that does not.
    pub fn warning(code: &'static str, location: &Location, message: impl AsRef<str>) -> Self {
        Self::new(code, Severity::Warning, location, message.as_ref())
    }

    fn new(code: &'static str, severity: Severity, location: &Location, message: &str) -> Self {
        let (line, column) = location.start();
        let (end_line, end_column) = location.end();
        Self {
            code,
            severity,
            message: printable(message),
            file: location.file().to_owned(),
            line,
            column,
            end_line,
            end_column,
            help: None,
            related: Vec::new(),
            labels: vec![Label { location: location.clone(), text: String::new() }],
        }
    }

    /// Says something beside the caret.
    #[must_use]
    pub fn note(mut self, text: impl AsRef<str>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = printable(text.as_ref());
        }
        self
    }

    /// Adds another place it is about.
    #[must_use]
    pub fn related(mut self, location: &Location, text: impl AsRef<str>) -> Self {
        let text = printable(text.as_ref());
        let (line, column) = location.start();
        self.related.push(Related { message: text.clone(), file: location.file().to_owned(), line, column });
        self.labels.push(Label { location: location.clone(), text });
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(printable(help.as_ref()));
        self
    }

    /// As [`help`](Self::help), if there is any.
    #[must_use]
    pub fn help_if(self, help: Option<impl AsRef<str>>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// Without what must not be shown.
    pub(crate) fn redacted(mut self, secrets: &Secrets) -> Self {
        self.message = secrets.redact(&self.message);
        self.help = self.help.map(|help| secrets.redact(&help));
        for related in &mut self.related {
            related.message = secrets.redact(&related.message);
        }
        for label in &mut self.labels {
            label.text = secrets.redact(&label.text);
        }
        self
    }

    /// Where it is.
    pub fn location(&self) -> Option<&Location> {
        self.labels.first().map(|label| &label.location)
    }
}

// === impl Report ===

impl Report {
    /// Whether anything found stops the pipeline.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Adds what was found elsewhere, such as while instances were prepared.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(diagnostics);
        self.sort();
    }

    /// Puts what was found in the order of the files, errors before warnings of the same place.
    pub(crate) fn sort(&mut self) {
        self.diagnostics.sort_by_cached_key(|diagnostic| {
            let location = diagnostic.location();
            (location.map(Location::order), diagnostic.severity, diagnostic.code, diagnostic.message.clone())
        });
    }
}

impl From<Vec<Diagnostic>> for Report {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        let mut report = Self { diagnostics };
        report.sort();
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Format::Short, false))
    }
}

impl std::error::Error for Report {}

// === impl Severity ===

impl From<kernel::Severity> for Severity {
    fn from(severity: kernel::Severity) -> Self {
        match severity {
            kernel::Severity::Error => Self::Error,
            kernel::Severity::Warning => Self::Warning,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// The candidate a name was probably meant to be.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer name may be further off; names that share nothing are no help.
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A question for [`closest`], as a help line.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Edit distance is quadratic in the length: a name of a megabyte is not a slip of the pen.
    if name.len() > 100 {
        return None;
    }
    closest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Escapes control characters and cuts what is far too long for one line.
fn printable(text: &str) -> String {
    const LONGEST: usize = 2000;
    let mut printable = String::with_capacity(text.len().min(LONGEST));
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            printable.push('…');
            break;
        }
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}
