//! Values as people write them in a pipeline file: durations, sizes, lists, networks.

use std::{borrow::Cow, fmt, marker::PhantomData, net::IpAddr, ops::Deref, str::FromStr, time::Duration};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, SeqAccess, Visitor, value::SeqAccessDeserializer},
};

/// A duration: `"250ms"`, `"60s"`, `"5m"`, `"1h"`, `"7d"`, or a bare integer of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Duration);

/// A size: `"64KiB"`, `"1MiB"`, `"10MB"`, or a bare integer of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// A list: an array, or a string that is split at commas (blanks around an item are cut off, empty items left out).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct List<T>(pub Vec<T>);

/// A network such as `"10.0.0.0/8"`; a single address is the network of that address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(pub IpNet);

/// Why a text is not a value of a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a duration.
    #[error(
        "`{0}` is not a duration: write a whole number and a unit, such as \"250ms\", \"60s\", \"5m\", \"1h\" or \"7d\"; \
         a bare number is milliseconds"
    )]
    Time(String),
    /// Not a size.
    #[error(
        "`{0}` is not a size: write a whole number and a unit, such as \"64KiB\", \"1MiB\" or \"10MB\"; \
         a bare number is bytes"
    )]
    Size(String),
    /// Not a network.
    #[error(
        "`{0}` is not a network: write an address and a prefix length, such as \"10.0.0.0/8\" or \"2001:db8::/32\""
    )]
    Network(String),
}

/// The units of durations in milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of sizes in bytes, in the order in which one is chosen for display.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a whole number and one of the units; without a unit the number is as it is.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// Writes a number in the first unit that divides it.
fn write_quantity(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, factor)| number != 0 && number.is_multiple_of(*factor)).or(units.last()) {
        Some((unit, factor)) => write!(f, "{}{unit}", number / factor),
        None => write!(f, "{number}"),
    }
}

/// Reads a text through [`FromStr`], or a number where that is a value too. What fails inside a visitor keeps its place
/// in the file.
struct Scalar<T> {
    expecting: &'static str,
    number: Option<fn(u64) -> T>,
}

impl<T> Visitor<'_> for Scalar<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        match self.number {
            Some(value) => Ok(value(number)),
            None => Err(E::invalid_type(de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

// === impl Time ===

impl Time {
    /// Whole milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Time {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        quantity(text, &TIME_UNITS).map(Self::milliseconds).ok_or_else(|| ValueError::Time(text.to_owned()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quantity(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIME_UNITS)
    }
}

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar {
            expecting: "a duration such as \"60s\"",
            number: Some(Self::milliseconds),
        })
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration such as \"250ms\", \"60s\", \"5m\", \"1h\" or \"7d\"; a bare integer is milliseconds.",
            "anyOf": [
                { "type": "string", "pattern": "^\\s*[0-9]+\\s*([mM][sS]|[sSmMhHdD])?\\s*$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        quantity(text, &SIZE_UNITS).map(Self).ok_or_else(|| ValueError::Size(text.to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quantity(f, self.0, &SIZE_UNITS)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar { expecting: "a size such as \"1MiB\"", number: Some(Self) })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size such as \"64KiB\", \"1MiB\" or \"10MB\"; a bare integer is bytes.",
            "anyOf": [
                { "type": "string", "pattern": "^\\s*[0-9]+\\s*([kKmMgG][iI]?)?[bB]?\\s*$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

// === impl List ===

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array, or a string of items with commas between")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<List<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(List)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List<T>, E> {
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| T::deserialize(item.into_deserializer()))
                    .collect()
            }
        }

        deserializer.deserialize_any(Items(PhantomData))
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": generator.subschema_for::<T>() },
                { "type": "string", "description": "Items with commas between." },
            ],
        })
    }
}

// === impl Network ===

impl Network {
    /// Whether the address is in it. An IPv4 address mapped into IPv6 is judged as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|network| Self(network.trunc()))
            .map_err(|_| ValueError::Network(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar { expecting: "a network such as \"10.0.0.0/8\"", number: None })
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or a single address.",
            "type": "string",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Settings {
        window: Option<Time>,
        size: Option<Size>,
        networks: Option<List<Network>>,
        counts: Option<List<u8>>,
    }

    fn read(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn durations_are_read_with_every_unit() {
        for (text, milliseconds) in [
            ("\"250ms\"", 250),
            ("\"60s\"", 60_000),
            ("\"5m\"", 300_000),
            ("\"1h\"", 3_600_000),
            ("\"7d\"", 604_800_000),
            ("\" 60 S \"", 60_000),
            ("\"1500\"", 1_500),
            ("1500", 1_500),
            ("0", 0),
        ] {
            let window = read(&format!("window = {text}")).unwrap().window;
            assert_eq!(window, Some(Time::milliseconds(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_quoted() {
        for bad in
            ["", "s", "1.5s", "-1s", "1 minute", "1h30m", "99999999999999999999", "18446744073709551615d"]
        {
            let error = read(&format!("window = \"{bad}\"")).unwrap_err();
            assert!(error.message().contains(&format!("`{bad}` is not a duration")), "{error}");
        }
        for bad in ["-1", "1.5", "true", "[]"] {
            assert!(read(&format!("window = {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_with_every_unit() {
        for (text, bytes) in [
            ("\"64KiB\"", 65_536),
            ("\"1MiB\"", 1_048_576),
            ("\"10MB\"", 10_000_000),
            ("\"2gib\"", 2_147_483_648),
            ("\"3 kB\"", 3_000),
            ("\"7B\"", 7),
            ("1024", 1_024),
        ] {
            assert_eq!(read(&format!("size = {text}")).unwrap().size, Some(Size(bytes)), "{text}");
        }
        for bad in ["64K", "1.5MiB", "MiB", "1 potato", "18446744073709551615KiB"] {
            let error = read(&format!("size = \"{bad}\"")).unwrap_err();
            assert!(error.message().contains(&format!("`{bad}` is not a size")), "{error}");
        }
    }

    #[test]
    fn a_string_is_a_list_too() {
        let array = read(r#"networks = ["10.1.2.3/8", "::1"]"#).unwrap().networks;
        let string = read(r#"networks = " 10.0.0.0/8 ,, ::1/128, ""#).unwrap().networks;
        assert_eq!(array, string);
        assert_eq!(read(r#"networks = """#).unwrap().networks, Some(List::default()));
    }

    #[test]
    fn a_bad_item_is_named_where_it_stands() {
        let error = read(r#"networks = ["10.0.0.0/8", "10.0.0.0/33"]"#).unwrap_err();
        assert!(error.message().contains("`10.0.0.0/33` is not a network"), "{error}");
        assert_eq!(error.span(), Some(26..39));
        let error = read(r#"networks = "::1, nowhere""#).unwrap_err();
        assert!(error.message().contains("`nowhere` is not a network"), "{error}");
        assert!(read("counts = [1, 256]").is_err());
        assert_eq!(read("counts = [1, 255]").unwrap().counts, Some(List(vec![1, 255])));
    }

    #[test]
    fn a_network_takes_mapped_addresses_as_what_they_are() {
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert!(network.contains("::ffff:10.1.1.1".parse().unwrap()));
        assert!(!network.contains("11.0.0.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in any::<u64>(), text in ".*") {
            let time = Time::milliseconds(number);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            prop_assert_eq!(Size(number).to_string().parse(), Ok(Size(number)));
            let _ = (text.parse::<Time>(), text.parse::<Size>(), text.parse::<Network>());
        }
    }
}
