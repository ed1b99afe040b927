//! Who uses what.

use serde::Serialize;

use super::config::check_alone;
use super::surroundings::Surroundings;
use crate::fault::Fault;
use crate::model::{Flag, Segment};
use crate::nearest::did_you_mean;
use crate::references::{Name, Reference, References};

/// A place where a definition uses a flag or a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum User {
    /// In the configuration of a flag.
    Flag {
        /// The key of the flag that uses it.
        key: String,
        /// The place in its configuration, a JSON Pointer.
        pointer: String,
    },
    /// In a segment.
    Segment {
        /// The key of the segment that uses it.
        key: String,
        /// The place in it, a JSON Pointer.
        pointer: String,
    },
}

/// Where other flags and segments use this flag: as long as there is one, it cannot be removed.
pub fn users_of_flag(key: &str, surroundings: &dyn Surroundings) -> Vec<User> {
    users(Name::Flag(key), surroundings)
}

/// Where flags and other segments use this segment: as long as there is one, it cannot be removed.
pub fn users_of_segment(key: &str, surroundings: &dyn Surroundings) -> Vec<User> {
    users(Name::Segment(key), surroundings)
}

/// What a change to a flag's own fields would break in this environment: its configuration, or others that
/// ask for its variants. `flag` is the flag as it is to be; the faults point into it.
pub fn check_variants(flag: &Flag, surroundings: &dyn Surroundings) -> Vec<Fault> {
    let own = surroundings.flag(&flag.key).map(|(_, config)| check_alone(flag, config)).unwrap_or_default();
    let own = own.into_iter().filter(|fault| fault.code == "unknown_variant").map(|fault| {
        let detail = format!("its configuration needs more: at {} {}", fault.pointer, fault.detail);
        in_use(detail)
    });
    let mut faults: Vec<Fault> = own.collect();
    for_each_reference(surroundings, |user, reference| {
        if let (Name::Flag(key), Some((_, variants))) = (reference.to, &reference.variants)
            && key == flag.key
        {
            let gone = variants.iter().filter(|variant| flag.variant(variant).is_none());
            faults.extend(gone.map(|variant| {
                in_use(format!("the variant `{variant}` is used by the {user} at {}", reference.pointer))
            }));
        }
    });
    faults
}

fn in_use(detail: String) -> Fault {
    Fault { pointer: "/variants".to_owned(), code: "in_use", detail }
}

fn users(of: Name<'_>, surroundings: &dyn Surroundings) -> Vec<User> {
    let mut users = Vec::new();
    for_each_reference(surroundings, |user, reference| {
        if reference.to == of && user != of {
            let pointer = reference.pointer.clone();
            users.push(match user {
                Name::Flag(key) => User::Flag { key: key.to_owned(), pointer },
                Name::Segment(key) => User::Segment { key: key.to_owned(), pointer },
            });
        }
    });
    users
}

fn for_each_reference(surroundings: &dyn Surroundings, mut each: impl FnMut(Name<'_>, &Reference<'_>)) {
    for (flag, config) in surroundings.flags() {
        References::of_config(config)
            .found
            .iter()
            .for_each(|reference| each(Name::Flag(&flag.key), reference));
    }
    for segment in surroundings.segments() {
        References::of_segment(segment)
            .found
            .iter()
            .for_each(|reference| each(Name::Segment(&segment.key), reference));
    }
}

/// A fault for each flag, variant or segment that is named but is not there. The definition that is checked
/// counts as it is to be.
pub(super) fn unknown(
    references: &References<'_>,
    segment: Option<&Segment>,
    flag: Option<&Flag>,
    surroundings: &dyn Surroundings,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for reference in &references.found {
        match reference.to {
            Name::Segment(key) => {
                let known = segment.is_some_and(|own| own.key == key) || surroundings.segment(key).is_some();
                if !known {
                    let near = did_you_mean(key, surroundings.segments().map(|segment| segment.key.as_str()));
                    let detail = format!("there is no segment `{key}`{near}");
                    faults.push(Fault {
                        pointer: reference.pointer.clone(),
                        code: "unknown_segment",
                        detail,
                    });
                }
            }
            Name::Flag(key) => {
                let own = flag.filter(|own| own.key == key);
                let Some(other) = own.or_else(|| surroundings.flag(key).map(|(other, _)| other)) else {
                    let near = did_you_mean(key, surroundings.flags().map(|(flag, _)| flag.key.as_str()));
                    let detail = format!("there is no flag `{key}`{near}");
                    faults.push(Fault { pointer: reference.pointer.clone(), code: "unknown_flag", detail });
                    continue;
                };
                faults.extend(unknown_variants(reference, other));
            }
        }
    }
    faults
}

fn unknown_variants(reference: &Reference<'_>, flag: &Flag) -> Vec<Fault> {
    let Some((pointer, variants)) = &reference.variants else { return Vec::new() };
    let unknown = variants.iter().enumerate().filter(|(_, variant)| flag.variant(variant).is_none());
    let fault = |(index, variant): (usize, &String)| {
        let near = did_you_mean(variant, flag.variants.iter().map(|known| known.key.as_str()));
        let detail = format!("the flag `{}` has no variant `{variant}`{near}", flag.key);
        Fault { pointer: format!("{pointer}/{index}"), code: "unknown_variant", detail }
    };
    unknown.map(fault).collect()
}
