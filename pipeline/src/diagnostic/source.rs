use std::{fmt, ops::Range, path::Path, sync::Arc};

/// The text of one file, as diagnostics may show it: strings that look like secrets are masked, byte for byte.
pub struct Source {
    pub(super) path: String,
    text: String,
    /// The byte each line begins at.
    lines: Vec<usize>,
    /// Where its bytes stand among those of all files of a pipeline.
    base: usize,
}

/// A place in a file.
#[derive(Clone)]
pub struct Location {
    source: Arc<Source>,
    span: Range<usize>,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(path: &Path, text: String, base: usize) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        Self { path: path.display().to_string(), text, lines, base }
    }

    pub(crate) fn base(&self) -> usize {
        self.base
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line (the first is 0) a byte stands in.
    fn line(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// The text from the beginning of one line to the end of another, and where it begins.
    pub(super) fn excerpt(&self, first: usize, last: usize) -> (usize, &str) {
        let start = self.lines.get(first).copied().unwrap_or_default();
        let end = self.lines.get(last + 1).copied().unwrap_or(self.text.len());
        (start, self.text.get(start..end).unwrap_or_default())
    }

    /// Line and column of a byte, both from 1, the column in characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line(byte);
        let start = self.lines.get(line).copied().unwrap_or_default();
        let column = self.text.get(start..byte).map_or(0, |text| text.chars().count());
        (line + 1, column + 1)
    }

    /// The nearest end of a character at or before a byte.
    fn floor(&self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

// === impl Location ===

impl Location {
    /// A place by its bytes in the file. What lies outside the file is brought inside.
    pub(crate) fn new(source: Arc<Source>, span: Range<usize>) -> Self {
        let start = source.floor(span.start);
        let end = source.floor(span.end).max(start);
        Self { source, span: start..end }
    }

    /// The file, as it was named to the pipeline.
    pub fn file(&self) -> &str {
        &self.source.path
    }

    /// The line; the first is 1.
    pub fn line(&self) -> usize {
        self.start().0
    }

    /// Line and column it begins at, both from 1, the column in characters.
    pub fn start(&self) -> (usize, usize) {
        self.source.position(self.span.start)
    }

    /// Line and column after its last character.
    pub fn end(&self) -> (usize, usize) {
        self.source.position(self.span.end)
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// The first and the last line (the first of the file is 0).
    pub(super) fn lines(&self) -> (usize, usize) {
        (self.source.line(self.span.start), self.source.line(self.span.end))
    }

    /// Where it stands among the places of all files.
    pub(crate) fn order(&self) -> (usize, usize) {
        (self.source.base + self.span.start, self.source.base + self.span.end)
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.span == other.span
    }
}

impl Eq for Location {}

/// `file:line`
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file(), self.line())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.start();
        write!(f, "{}:{line}:{column}", self.file())
    }
}
