use std::{borrow::Cow, collections::BTreeMap};

use http::{HeaderName, HeaderValue, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::{
    cors::Token,
    kernel::{List, RequestHead},
};

/// Which requests a limit is about: those for which all that is said here holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Its path: `/api/auth/login`, with `{name}` for any segment, and `{*rest}` at the end for all below.
    pub path: Option<Path>,
    /// Its methods.
    pub methods: List<Token<Method>>,
    /// Headers it has, each with a value, or with `true` for any and `false` for none.
    pub headers: BTreeMap<Name, Wanted>,
}

/// A pattern of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    segments: Box<[Option<Box<str>>]>,
    /// All below, too.
    rest: bool,
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(HeaderName);

/// What a header is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There, or not.
    Present(bool),
    /// This.
    Value(HeaderValue),
}

impl Match {
    pub(super) fn holds(&self, head: &RequestHead) -> bool {
        self.path.as_ref().is_none_or(|path| path.matches(head.exchange().path()))
            && (self.methods.is_empty() || self.methods.iter().any(|method| method.0 == *head.method()))
            && self.headers.iter().all(|(name, wanted)| match wanted {
                Wanted::Present(present) => head.headers().contains_key(&name.0) == *present,
                Wanted::Value(value) => head.headers().get_all(&name.0).iter().any(|sent| sent == value),
            })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Path {
    fn matches(&self, path: &str) -> bool {
        let mut sent = path.strip_prefix('/').unwrap_or(path).split('/');
        for segment in &self.segments {
            match (segment, sent.next()) {
                (Some(literal), Some(found)) if **literal == *found => {}
                (None, Some(found)) if !found.is_empty() => {}
                _ => return false,
            }
        }
        self.rest || sent.next().is_none()
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_prefix('/').ok_or("it begins with `/`")?;
        let mut segments: Vec<&str> = path.split('/').collect();
        let is_parameter = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
        let rest = segments.last().is_some_and(|last| last.starts_with("{*") && is_parameter(last));
        if rest {
            segments.pop();
        }
        let read = |segment: &str| match segment {
            _ if segment.starts_with("{*") => Err("`{*rest}` stands at its end only"),
            _ if is_parameter(segment) => Ok(None),
            _ if segment.contains(['{', '}', '*', '?', '#']) => {
                Err("a segment is text, or `{name}` for any; `{*rest}` at the end is all below")
            }
            _ => Ok(Some(segment.into())),
        };
        Ok(Self { segments: segments.into_iter().map(read).collect::<Result<_, _>>()?, rest })
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Self::read(&text).map_err(|why| de::Error::custom(format_args!("`{text}` is not a path: {why}")))
    }
}

impl JsonSchema for Path {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PathPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^/" })
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        let name = text.to_ascii_lowercase().parse();
        name.map(Self).map_err(|_| de::Error::custom(format_args!("`{text}` is no header's name")))
    }
}

impl JsonSchema for Name {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HeaderName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueOrBool;

        impl de::Visitor<'_> for ValueOrBool {
            type Value = Wanted;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a header's value, `true` for any, or `false` for none")
            }

            fn visit_bool<E: de::Error>(self, present: bool) -> Result<Wanted, E> {
                Ok(Wanted::Present(present))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
                let value = HeaderValue::from_str(text).map(Wanted::Value);
                value.map_err(|_| E::custom(format_args!("`{text}` is no header's value")))
            }
        }

        deserializer.deserialize_any(ValueOrBool)
    }
}

impl JsonSchema for Wanted {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WantedHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Path::read(pattern).unwrap().matches(path)
    }

    #[test]
    fn paths_are_matched_by_segments() {
        assert!(matches("/api/auth/login", "/api/auth/login"));
        assert!(matches("/", "/"));
        assert!(matches("/api/{project}/flags", "/api/shop/flags"));
        assert!(matches("/api/{*rest}", "/api"));
        assert!(matches("/api/{*rest}", "/api/"));
        assert!(matches("/api/{*rest}", "/api/a/b"));
        assert!(matches("/{*rest}", "/a"));
        for (pattern, path) in [
            ("/api/auth/login", "/api/auth/login/"),
            ("/api/auth/login", "/api/auth/Login"),
            ("/api/auth/login", "/api/auth"),
            ("/api/{project}/flags", "/api//flags"),
            ("/api/{project}/flags", "/api/a/b/flags"),
            ("/api/{*rest}", "/apis"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for bad in ["", "api", "/a*", "/{*rest}/a", "/a?b", "/a{b}"] {
            assert!(Path::read(bad).is_err(), "{bad}");
        }
    }
}
