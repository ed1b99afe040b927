//! Settings that are secrets: whatever is printed of them says only whether they are set.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

/// What stands in a secret's place.
const REDACTED: &str = "[redacted]";

/// A secret in clear text. It is shown nowhere and overwritten when it is dropped.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Secret(Zeroizing<String>);

/// The address of a database. Its password is shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct DatabaseAddress(Zeroizing<String>);

// === impl Secret ===

impl Secret {
    /// The clear text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { REDACTED })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

// === impl DatabaseAddress ===

impl DatabaseAddress {
    /// The clear text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for DatabaseAddress {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for DatabaseAddress {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Without the password, which may also stand among the parameters.
impl fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, has_password) = match self.0.split_once("password=") {
            Some((before, _)) => (before, true),
            None => (self.0.as_str(), false),
        };
        let login = address.split_once("://").and_then(|(scheme, rest)| {
            let (login, host) = rest.rsplit_once('@')?;
            let (user, _) = login.split_once(':')?;
            Some((scheme, user, host))
        });
        match login {
            Some((scheme, user, host)) => write!(f, "{scheme}://{user}:{REDACTED}@{host}")?,
            None => f.write_str(address)?,
        }
        if has_password { write!(f, "password={REDACTED}") } else { Ok(()) }
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for DatabaseAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for DatabaseAddress {
    fn schema_name() -> Cow<'static, str> {
        "DatabaseAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_has_the_clear_text() {
        let secret = Secret::from("quiet evening".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[redacted]\"");
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), "\"\"");
        for (url, shown) in [
            ("postgres://flags:quiet evening@db:5432/flags", "postgres://flags:[redacted]@db:5432/flags"),
            ("postgres://flags:quiet@evening/@db/flags", "postgres://flags:[redacted]@db/flags"),
            ("postgres://flags@db/flags", "postgres://flags@db/flags"),
            ("postgres://flags@db/x?password=quiet%20evening", "postgres://flags@db/x?password=[redacted]"),
            ("sqlite:data/flagstone.db", "sqlite:data/flagstone.db"),
        ] {
            let address = DatabaseAddress::from(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
            assert_eq!(serde_json::to_value(&address).unwrap(), shown);
            assert_eq!(address.reveal(), url);
        }
    }
}
