use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Label, Report, Severity, Source};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person: the lines with carets below them.
    #[default]
    Human,
    /// For a program: a JSON array of diagnostics, on one line.
    Json,
    /// For an editor: a line each, `file:line:column: error[code]: message`.
    Short,
}

impl Report {
    /// Writes the report. `color` matters to [`Format::Human`] only.
    pub fn render(&self, format: Format, color: bool) -> String {
        match format {
            Format::Human => self.human(color),
            Format::Json => serde_json::to_string(self).unwrap_or_default() + "\n",
            Format::Short => self.diagnostics.iter().map(Diagnostic::short).collect(),
        }
    }

    fn human(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(&renderer.render(&[diagnostic.group()]));
            text.push_str("\n\n");
        }
        let count = |severity| self.diagnostics.iter().filter(|found| found.severity == severity).count();
        match (count(Severity::Error), count(Severity::Warning)) {
            (0, 0) => {}
            (0, warnings) => text.push_str(&format!("{}\n", counted(warnings, "warning"))),
            (errors, 0) => text.push_str(&format!("{}\n", counted(errors, "error"))),
            (errors, warnings) => {
                text.push_str(&format!("{}, {}\n", counted(errors, "error"), counted(warnings, "warning")));
            }
        }
        text
    }
}

impl Diagnostic {
    fn short(&self) -> String {
        let Self { code, severity, message, file, line, column, .. } = self;
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{file}:{line}:{column}: {severity}[{code}]: {message}{help}\n")
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.message).id(self.code));
        // A snippet for each file, the one with the caret first.
        let mut sources: Vec<&Arc<Source>> = Vec::new();
        for label in &self.labels {
            let source = label.location.source();
            if !sources.iter().any(|known| Arc::ptr_eq(known, source)) {
                sources.push(source);
            }
        }
        for source in sources {
            let kinds =
                std::iter::once(AnnotationKind::Primary).chain(std::iter::repeat(AnnotationKind::Context));
            let labels =
                kinds.zip(&self.labels).filter(|(_, label)| Arc::ptr_eq(label.location.source(), source));
            group = group.element(snippet(source, &labels.collect::<Vec<_>>()));
        }
        match &self.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }
}

/// The labelled lines of one file, without what stands before and after them.
fn snippet<'a>(source: &'a Source, labels: &[(AnnotationKind, &'a Label)]) -> Snippet<'a, Annotation<'a>> {
    let lines = labels.iter().map(|(_, label)| label.location.lines());
    let first = lines.clone().map(|(first, _)| first).min().unwrap_or_default();
    let last = lines.map(|(_, last)| last).max().unwrap_or_default();
    let (start, text) = source.excerpt(first, last);
    let annotations = labels.iter().map(|(kind, label)| {
        let span = label.location.span();
        let annotation = kind.span(span.start.saturating_sub(start)..span.end.saturating_sub(start));
        if label.text.is_empty() { annotation } else { annotation.label(&label.text) }
    });
    Snippet::source(text).path(&source.path).line_start(first + 1).annotations(annotations)
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
