//! The names of the operators and what each takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! operators {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// How a leaf compares an attribute with its values. Where nothing else is said, the values are
        /// alternatives, and an array holds where one of its elements does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Operator { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl Operator {
            /// All of them, with their names.
            pub const NAMES: &'static [(&'static str, Self)] = &[$(($name, Self::$variant)),+];

            /// The name in documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

operators! {
    /// Equal and of the same type (`1` and `1.0` are equal, `1` and `"1"` are not); arrays as a whole too.
    Eq = "eq",
    /// Equal to none of the values; true between unlike types. An array: none of its elements is equal.
    Neq = "neq",
    /// As `eq`.
    In = "in",
    /// As `neq`.
    NotIn = "not_in",
    /// A string with this in it.
    Contains = "contains",
    /// A string that begins so.
    StartsWith = "starts_with",
    /// A string that ends so.
    EndsWith = "ends_with",
    /// A string in which this regular expression is found.
    Matches = "matches",
    /// A greater number, or a string that comes later by code point.
    Gt = "gt",
    /// `gt` or equal.
    Gte = "gte",
    /// A smaller number, or a string that comes earlier by code point.
    Lt = "lt",
    /// `lt` or equal.
    Lte = "lte",
    /// An equal number.
    NumEq = "num_eq",
    /// A number from the first value to the second, both included.
    Between = "between",
    /// An integer whose Euclidean remainder by the first value is the second.
    Modulo = "modulo",
    /// A version of the same precedence (SemVer 2.0; build metadata does not count).
    SemverEq = "semver_eq",
    /// A version of another precedence than each of the values. An array: for all its elements.
    SemverNeq = "semver_neq",
    /// A later version.
    SemverGt = "semver_gt",
    /// `semver_gt` or equal.
    SemverGte = "semver_gte",
    /// An earlier version.
    SemverLt = "semver_lt",
    /// `semver_lt` or equal.
    SemverLte = "semver_lte",
    /// From the value up to the next minor version (the next major where the value names no minor).
    SemverTilde = "semver_tilde",
    /// From the value up to the next version that changes its leftmost part that is not zero.
    SemverCaret = "semver_caret",
    /// The parts the value names are the same (`1.2.x`, `1.*`, `*`).
    SemverWildcard = "semver_wildcard",
    /// An earlier time.
    Before = "before",
    /// A later time.
    After = "after",
    /// The same time.
    DateEq = "date_eq",
    /// A time from this long ago until now, both included.
    WithinLast = "within_last",
    /// A time longer ago than this.
    OlderThan = "older_than",
    /// An address in this network.
    IpInCidr = "ip_in_cidr",
    /// An array with an element equal to one of the values.
    AnyOf = "any_of",
    /// An array with all of the values among its elements.
    AllOf = "all_of",
    /// An array with none of the values among its elements.
    NoneOf = "none_of",
    /// An array of this many elements.
    Size = "size",
    /// The attribute is there and not null. Takes no values.
    IsSet = "is_set",
    /// The attribute is missing or null. Takes no values.
    IsNotSet = "is_not_set",
    /// The attribute is of this type: `string number integer boolean object array`.
    IsType = "is_type",
}
