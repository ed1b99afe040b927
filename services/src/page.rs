//! Parts of long lists.

use schemars::JsonSchema;
use serde::Serialize;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// How many, at most [`PageRequest::LARGEST`].
    pub limit: u32,
    /// How many are passed over first.
    pub offset: u32,
}

impl PageRequest {
    /// The largest part given at once; a larger `limit` counts as this.
    pub const LARGEST: u32 = 500;

    pub(crate) fn limit(self) -> u32 {
        self.limit.min(Self::LARGEST)
    }
}

impl Default for PageRequest {
    /// The first 50.
    fn default() -> Self {
        Self { limit: 50, offset: 0 }
    }
}

/// A part of a list, in the shape clients see.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The part.
    pub data: Vec<T>,
    /// How many the whole list has.
    pub total: u64,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

impl<T> Page<T> {
    pub(crate) fn new(data: Vec<T>, total: u64, request: PageRequest) -> Self {
        Self { data, total, limit: request.limit(), offset: request.offset }
    }
}

/// What `LIKE … ESCAPE '\'` finds `text` with, anywhere and in any case; `None` where there is nothing to look for.
pub(crate) fn like(text: Option<&str>) -> Option<String> {
    let text = text?.trim();
    if text.is_empty() {
        return None;
    }
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    Some(pattern)
}
