use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A setting that has a default and can be turned off: a value, or `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Optional<T>(pub Option<T>);

impl<T> Optional<T> {
    /// Turned off.
    pub const OFF: Self = Self(None);

    /// A value.
    pub const fn of(value: T) -> Self {
        Self(Some(value))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueOrFalse<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ValueOrFalse<T> {
            type Value = Optional<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or `false` to turn it off")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Optional<T>, E> {
                if on {
                    return Err(E::invalid_value(de::Unexpected::Bool(on), &self));
                }
                Ok(Optional::OFF)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Optional<T>, E> {
                T::deserialize(number.into_deserializer()).map(Optional::of)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Optional<T>, E> {
                T::deserialize(number.into_deserializer()).map(Optional::of)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Optional<T>, E> {
                T::deserialize(text.into_deserializer()).map(Optional::of)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Optional<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Optional::of)
            }
        }

        deserializer.deserialize_any(ValueOrFalse(PhantomData))
    }
}

impl<T: Serialize> Serialize for Optional<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_bool(false),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Optional<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Optional_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                generator.subschema_for::<T>(),
                { "const": false, "description": "Turned off." },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        size: u8,
    }

    #[derive(Debug, Deserialize)]
    struct Settings {
        text: Option<Optional<String>>,
        number: Option<Optional<u8>>,
        table: Option<Optional<Inner>>,
    }

    fn read(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn false_turns_a_setting_off() {
        assert_eq!(read("text = false").unwrap().text, Some(Optional::OFF));
        assert_eq!(read("table = false").unwrap().table, Some(Optional::OFF));
        assert_eq!(read("text = 'a'").unwrap().text, Some(Optional::of("a".to_owned())));
        assert_eq!(read("number = 7").unwrap().number, Some(Optional::of(7)));
        assert_eq!(read("table = { size = 1 }").unwrap().table, Some(Optional::of(Inner { size: 1 })));
    }

    #[test]
    fn anything_else_is_an_error_where_it_stands() {
        let error = read("text = true").unwrap_err();
        assert!(error.message().contains("`false` to turn it off"), "{error}");
        assert!(read("number = 256").is_err());
        assert!(read("text = 1.5").is_err());
        let error = read("table = { size = 1, color = 2 }").unwrap_err();
        assert_eq!(error.span(), Some(20..25), "{error}");
    }
}
