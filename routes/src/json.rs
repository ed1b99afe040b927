//! JSON bodies, read strictly: what is sent twice, too deep or as something else is refused.

use std::{cell::RefCell, fmt};

use flagstone_layers::kernel::{BodyError, Problem};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::{
    Deserializer as _,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// The deepest document that is read, in levels. A condition tree of the 64 levels that are allowed is 128 of JSON, and
/// stands a few levels down in its flag.
const DEEPEST: usize = 160;

/// Reads a document in which no object has a member twice, at most [`DEEPEST`] levels deep.
///
/// # Errors
/// 400 with the line and column, for people.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // Its own limit is too low; ours stands in `Strict`.
    deserializer.disable_recursion_limit();
    let path = RefCell::new(Vec::new());
    let parsed = deserializer
        .deserialize_any(Strict { path: &path })
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| bad_json(&error.to_string()))
}

/// Refuses a body whose `Content-Type` is not JSON; one that has none is taken as JSON.
///
/// # Errors
/// 415.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence
            .to_ascii_lowercase()
            .strip_prefix("application/")
            .is_some_and(|kind| kind.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as application/json.",
    ))
}

pub(crate) fn bad_json(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_JSON", format!("The body is not JSON: {detail}."))
}

/// What a body that could not be read is answered with.
pub(crate) fn body_problem(error: &BodyError) -> Problem {
    match error {
        BodyError::TooLarge(bytes) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("The body is larger than {bytes} bytes."),
        ),
        BodyError::TooSlow(time) => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "BODY_TIMEOUT",
            format!("The body was not sent within {} seconds.", time.as_secs_f64()),
        ),
        BodyError::TooDense(ratio) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("The body decompresses to more than {ratio} times its size."),
        ),
        BodyError::Broken(_) => {
            Problem::new(StatusCode::BAD_REQUEST, "BODY_BROKEN", "The body ended before it was whole.")
        }
    }
}

/// Whether there is anything in a body but white space.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// Builds a [`Value`], refusing members that occur twice.
struct Strict<'a> {
    path: &'a RefCell<Vec<String>>,
}

impl Strict<'_> {
    fn check_depth<E: de::Error>(&self) -> Result<(), E> {
        if self.path.borrow().len() < DEEPEST {
            return Ok(());
        }
        Err(E::custom(format_args!("it is nested more than {DEEPEST} levels deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut values = Vec::new();
        loop {
            self.path.borrow_mut().push(values.len().to_string());
            let value = seq.next_element_seed(Strict { path: self.path })?;
            self.path.borrow_mut().pop();
            match value {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                let at = self.path.borrow().join("/");
                return Err(de::Error::custom(format_args!("the member {key:?} occurs twice in /{at}")));
            }
            self.path.borrow_mut().push(key.clone());
            let value = map.next_value_seed(Strict { path: self.path })?;
            self.path.borrow_mut().pop();
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_good_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,2.5,null,true,"\u0000x"],"b":{"a":{}}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), json!({"a":[1,-2,2.5,null,true,"\u{0}x"],"b":{"a":{}}}));
    }

    #[test]
    fn what_is_bad_is_refused() {
        let deep = "[".repeat(10_000);
        for bad in [
            "",
            "{",
            "{} {}",
            "nul",
            r#"{"a":1,"a":2}"#,
            r#"[{"x":{"a":1,"a":2}}]"#,
            r#""\ud800""#,
            "1e999",
            &deep,
        ] {
            let problem = parse(bad.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST, "{bad:.20}");
        }
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn a_document_is_read_to_its_depth_and_no_deeper() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(DEEPEST).as_bytes()).is_ok());
        assert!(parse(nested(DEEPEST + 1).as_bytes()).is_err());
    }

    #[test]
    fn a_body_of_another_kind_is_refused() {
        let headers = |text: &str| HeaderMap::from_iter([(CONTENT_TYPE, text.parse().unwrap())]);
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(require_json(&headers(good)).is_ok(), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "", "jsonish", "application/json5"] {
            assert!(require_json(&headers(bad)).is_err(), "{bad}");
        }
        assert!(require_json(&HeaderMap::new()).is_ok());
    }
}
