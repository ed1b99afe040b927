//! JSON that borrows from the text it is read from, so that a short context is read almost without allocations.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Json<'b> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A string; borrowed where nothing in it was escaped.
    Text(Cow<'b, str>),
    /// An array.
    Array(Vec<Self>),
    /// An object.
    Object(Object<'b>),
}

/// The members of an object. Of those with the same name the last counts.
#[derive(Clone, Debug, Default)]
pub struct Object<'b> {
    /// In the order of their names, each once.
    members: Vec<(Cow<'b, str>, Json<'b>)>,
}

/// A member's name, which serde would copy.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'b>(#[serde(borrow)] Cow<'b, str>);

struct Reader;

impl<'b> Json<'b> {
    /// Reads a JSON text, nested at most 127 deep.
    ///
    /// # Errors
    /// Where it is none, with the line and column.
    pub fn read(text: &'b [u8]) -> Result<Self, serde_json::Error> {
        match str::from_utf8(text) {
            // Not looked at string by string once more.
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(text),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'b> Object<'b> {
    fn new(mut members: Vec<(Cow<'b, str>, Json<'b>)>) -> Self {
        members.sort_by(|(one, _), (two, _)| one.cmp(two));
        members.dedup_by(|later, earlier| {
            let again = later.0 == earlier.0;
            if again {
                std::mem::swap(later, earlier);
            }
            again
        });
        Self { members }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json<'b>> {
        self.members.get(self.place(name)?).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Json<'b>> {
        self.place(name).map(|place| self.members.remove(place).1)
    }

    /// In the order of their names.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Json<'b>)> + Clone {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|(known, _)| (**known).cmp(name)).ok()
    }
}

impl<'b> From<&'b Value> for Json<'b> {
    fn from(value: &'b Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(boolean) => Self::Boolean(*boolean),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(elements) => Self::Array(elements.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.into(), value.into()));
                Self::Object(Object::new(members.collect()))
            }
        }
    }
}

impl From<&Json<'_>> for Value {
    fn from(json: &Json<'_>) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Boolean(boolean) => Self::Bool(*boolean),
            Json::Number(number) => Self::Number(number.clone()),
            Json::Text(text) => Self::String(text.as_ref().to_owned()),
            Json::Array(elements) => Self::Array(elements.iter().map(Self::from).collect()),
            Json::Object(object) => {
                Self::Object(object.members().map(|(name, value)| (name.to_owned(), value.into())).collect())
            }
        }
    }
}

impl<'b> Deserialize<'b> for Json<'b> {
    fn deserialize<D: Deserializer<'b>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

impl<'b> Visitor<'b> for Reader {
    type Value = Json<'b>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'b>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Json<'b>, E> {
        Ok(Json::Boolean(boolean))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'b>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'b>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'b>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'b str) -> Result<Json<'b>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'b>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut access: A) -> Result<Json<'b>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'b>>(self, mut access: A) -> Result<Json<'b>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = access.next_entry()? {
            members.push((name, value));
        }
        Ok(Json::Object(Object::new(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_serde_json_reads() {
        let long: Vec<String> = (0..100).map(|index| format!(r#""k{}":{index}"#, index * 7 % 30)).collect();
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let texts = [
            r#"{"b":1,"a":[true,null,"x\n\u00e9",-1,2.5,1e300,18446744073709551615],"":{}}"#,
            r#"{"a":1,"b":2,"a":3,"\u0061":4}"#,
            " \"é\" ",
            &format!("{{{}}}", long.join(",")),
            &deep(127),
            &deep(128),
            "",
            "{",
            "{} {}",
            r#"{"a":1,}"#,
            r#"{1:1}"#,
            "1e999",
            r#""\ud800""#,
            "01",
        ];
        for text in texts.map(str::as_bytes).into_iter().chain([&b"\"\xff\""[..], b"\xff"]) {
            let read = Json::read(text).map(|json| Value::from(&json)).map_err(|error| error.to_string());
            let expected = serde_json::from_slice(text).map_err(|error: serde_json::Error| error.to_string());
            assert_eq!(read, expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn texts_are_borrowed_where_nothing_is_escaped() {
        let Ok(Json::Array(elements)) = Json::read(r#"["plain é","es\tcaped"]"#.as_bytes()) else {
            panic!("an array")
        };
        assert!(matches!(
            &elements[..],
            [Json::Text(Cow::Borrowed("plain é")), Json::Text(Cow::Owned(escaped))] if escaped == "es\tcaped"
        ));
    }

    #[test]
    fn members_are_found_and_taken_by_their_names() {
        let Ok(Json::Object(mut object)) = Json::read(br#"{"b":1,"c":2,"a":3,"b":4}"#) else {
            panic!("an object")
        };
        let names: Vec<&str> = object.members().map(|(name, _)| name).collect();
        assert_eq!((names, object.len()), (vec!["a", "b", "c"], 3));
        assert!(matches!(object.get("b"), Some(Json::Number(number)) if number.as_u64() == Some(4)));
        assert!(object.remove("b").is_some() && object.get("b").is_none() && object.remove("d").is_none());
    }
}
