//! JSON in text columns.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::StoreError;
use super::value::Row;

pub(crate) fn write(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Statement(error.to_string()))
}

pub(super) fn read<T: DeserializeOwned>(row: &Row, index: usize) -> Result<T, StoreError> {
    let text: String = row.get(index)?;
    parse(&text)
}

/// What was stored as text.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    // What is stored was checked when it was written. A tree of the 64 levels that are allowed there is more than
    // twice as many of JSON, beyond the parser's own limit.
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    T::deserialize(&mut deserializer)
        .map_err(|error| StoreError::Statement(format!("a column holds other JSON than expected: {error}")))
}
