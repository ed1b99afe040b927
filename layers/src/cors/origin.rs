use std::{borrow::Cow, fmt, net::Ipv6Addr, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An origin on the list: `"https://app.example.com"`, one with any port (`"http://localhost:*"`), or any (`"*"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// Any origin.
    Any,
    /// This origin, as browsers write it.
    Exact(Box<str>),
    /// This scheme and host, with any port or none.
    AnyPort(Box<str>),
}

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an origin: write a scheme, a host and, where it is not the usual one, a port, such as \
     \"https://app.example.com\"; the port may be `*`, and `*` alone is any origin"
)]
pub struct OriginError(String);

impl OriginPattern {
    /// Whether the value of an `Origin` header is meant.
    pub fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.as_bytes() == origin,
            Self::AnyPort(base) => match origin.strip_prefix(base.as_bytes()) {
                Some([]) => true,
                Some([b':', port @ ..]) => {
                    (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
                }
                _ => false,
            },
        }
    }
}

/// The port that browsers leave out.
fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

fn is_scheme(scheme: &str) -> bool {
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        }
    }
}

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let error = || OriginError(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or_else(error)?;
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        if !is_scheme(scheme) || !is_host(host) {
            return Err(error());
        }
        let base = format!("{scheme}://{host}");
        match port {
            None => Ok(Self::Exact(base.into())),
            Some("*") => Ok(Self::AnyPort(base.into())),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port: u16 = digits.parse().map_err(|_| error())?;
                let usual = usual_port(scheme) == Some(port);
                Ok(Self::Exact(if usual { base } else { format!("{base}:{port}") }.into()))
            }
            Some(_) => Err(error()),
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::AnyPort(base) => write!(f, "{base}:*"),
        }
    }
}

impl<'de> Deserialize<'de> for OriginPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = OriginPattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an origin such as \"https://app.example.com\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OriginPattern, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for OriginPattern {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An origin such as \"https://app.example.com\", with any port (\"http://localhost:*\"), or any origin (\"*\").",
            "type": "string",
            "pattern": "^(\\*|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        pattern.parse::<OriginPattern>().unwrap().matches(origin.as_bytes())
    }

    #[test]
    fn an_origin_is_meant_exactly() {
        assert!(matches("https://app.example.com", "https://app.example.com"));
        assert!(matches("HTTPS://App.Example.com:443", "https://app.example.com"));
        assert!(matches("http://app.example.com:8080", "http://app.example.com:8080"));
        assert!(matches("http://[::1]:3000", "http://[::1]:3000"));
        assert!(matches("http://[::1]", "http://[::1]"));
        assert!(matches("capacitor://localhost", "capacitor://localhost"));
        for other in [
            "http://app.example.com",
            "https://app.example.com:444",
            "https://app.example.com.evil.example",
            "https://evil.example",
            "https://app.example.co",
            "null",
            "",
        ] {
            assert!(!matches("https://app.example.com", other), "{other}");
        }
    }

    #[test]
    fn a_star_for_a_port_is_any_port_and_nothing_else() {
        for origin in ["http://localhost", "http://localhost:1", "http://localhost:65535"] {
            assert!(matches("http://localhost:*", origin), "{origin}");
        }
        for origin in [
            "https://localhost:3000",
            "http://localhost:",
            "http://localhost:3000.evil.example",
            "http://localhost:123456",
            "http://localhost.evil.example",
            "http://localhost:80@evil.example",
        ] {
            assert!(!matches("http://localhost:*", origin), "{origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_quoted() {
        for bad in [
            "",
            "null",
            "example.com",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://user@a.example",
            "https://*.example.com",
            "https://a.example:65536",
            "https://a.example:",
            "https://a.example:+80",
            "https://[::1",
            "https://[1.2.3.4]",
            "1https://a.example",
            "https://a b",
            "https://ä.example",
            "://a.example",
        ] {
            let error = bad.parse::<OriginPattern>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{bad}` is not an origin")), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "[a-z]{1,5}://[a-z0-9.\\[\\]:]{0,12}(:[0-9*]{0,5})?", any in ".*") {
            let _ = any.parse::<OriginPattern>();
            if let Ok(pattern) = text.parse::<OriginPattern>() {
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
        }
    }
}
