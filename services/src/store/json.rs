//! JSON in text columns.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::StoreError;
use super::value::Row;

pub(super) fn write(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Statement(error.to_string()))
}

pub(super) fn read<T: DeserializeOwned>(row: &Row, index: usize) -> Result<T, StoreError> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|error| {
        StoreError::Statement(format!("column {index} holds other JSON than expected: {error}"))
    })
}
