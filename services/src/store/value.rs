//! Values on their way into and out of the database.

use jiff::Timestamp;
use uuid::Uuid;

use super::db::StoreError;

/// A value on its way into or out of the database.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// A 64-bit integer; also booleans and times.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Builds the parameters of a statement: `params![id, name]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}
pub(crate) use params;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<u64> for Value {
    /// A number that no 64-bit integer column can hold counts as the largest one.
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<&[u8; 32]> for Value {
    fn from(value: &[u8; 32]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Integer(value.as_microsecond())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// The value as this type, or what it was instead.
    ///
    /// # Errors
    /// What was found where another type was expected.
    fn from_value(value: &Value) -> Result<Self, &'static str>;
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if let Value::Integer(value) = value { Ok(*value) } else { Err("not an integer") }
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        i64::from_value(value)?.try_into().map_err(|_| "a negative number")
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        i64::from_value(value)?.try_into().map_err(|_| "a number out of range")
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        Ok(i64::from_value(value)? != 0)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if let Value::Text(value) = value { Ok(value.clone()) } else { Err("not text") }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if let Value::Blob(value) = value { Ok(value.clone()) } else { Err("not bytes") }
    }
}

impl FromValue for [u8; 32] {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if let Value::Blob(value) = value {
            value.as_slice().try_into().map_err(|_| "not 32 bytes")
        } else {
            Err("not bytes")
        }
    }
}

impl FromValue for Uuid {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if let Value::Text(value) = value {
            Self::parse_str(value).map_err(|_| "not a UUID")
        } else {
            Err("not text")
        }
    }
}

impl FromValue for Timestamp {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        Self::from_microsecond(i64::from_value(value)?).map_err(|_| "a time out of range")
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, &'static str> {
        if *value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub(crate) Vec<Value>);

impl Row {
    /// The column at `index`, counted from 0 in the order of the `SELECT`.
    ///
    /// # Errors
    /// [`StoreError::Statement`] where there is no such column or it holds another type.
    pub fn get<T: FromValue>(&self, index: usize) -> Result<T, StoreError> {
        let value = self.0.get(index).ok_or_else(|| StoreError::Statement(format!("no column {index}")))?;
        T::from_value(value).map_err(|found| StoreError::Statement(format!("column {index} is {found}")))
    }

    /// The text of the column at `index`, which is `NULL` afterwards.
    pub(crate) fn take_text(&mut self, index: usize) -> Result<String, StoreError> {
        match self.0.get_mut(index).map(|value| std::mem::replace(value, Value::Null)) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(StoreError::Statement(format!("column {index} is not text"))),
        }
    }
}
