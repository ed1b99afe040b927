//! Who uses what.

use serde::Serialize;

use super::config::check_alone;
use super::surroundings::Surroundings;
use crate::compile::{CompiledFlag, CompiledVariant};
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
    let own = surroundings.flag(&flag.key).map(|(_, config)| check_alone(flag, &config)).unwrap_or_default();
    let own = own.into_iter().filter(|fault| fault.code == "unknown_variant").map(|fault| {
        let detail = format!("its configuration needs more: at {} {}", fault.pointer, fault.detail);
        in_use(detail)
    });
    let mut faults: Vec<Fault> = own.collect();
    for_each_reference(Name::Flag(&flag.key), surroundings, |user, reference| {
        if let Some((_, variants)) = &reference.variants {
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
    for_each_reference(of, surroundings, |user, reference| {
        let pointer = reference.pointer.clone();
        match user {
            Name::Flag(key) => users.push(User::Flag { key: key.to_owned(), pointer }),
            Name::Segment(key) => users.push(User::Segment { key: key.to_owned(), pointer }),
        }
    });
    users
}

/// Each place where another definition uses this one. Only those that do are read.
fn for_each_reference(
    to: Name<'_>,
    surroundings: &dyn Surroundings,
    mut each: impl FnMut(Name<'_>, &Reference<'_>),
) {
    let links = surroundings.environment().links();
    for (user, _) in links.filter(|(user, links)| *user != to && links.names().any(|name| name == to)) {
        let mut each_of = |references: References<'_>| {
            references.found.iter().filter(|it| it.to == to).for_each(|it| each(user, it));
        };
        match user {
            Name::Flag(key) => {
                let found = surroundings.flag(key);
                found.iter().for_each(|(_, config)| each_of(References::of_config(config)));
            }
            Name::Segment(key) => {
                let found = surroundings.segment(key);
                found.iter().for_each(|segment| each_of(References::of_segment(segment)));
            }
        }
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
    let environment = surroundings.environment();
    let mut faults = Vec::new();
    for reference in &references.found {
        match reference.to {
            Name::Segment(key) => {
                let known = segment.is_some_and(|own| own.key == key) || environment.has_segment(key);
                if !known {
                    let near = did_you_mean(key, environment.segment_keys());
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
                let own = own.map(|own| own.variants.iter().map(|variant| variant.key.as_str()).collect());
                let other = || {
                    let variants = environment.flag(key)?.variants();
                    Some(variants.iter().map(CompiledVariant::key).collect())
                };
                let known: Option<Vec<&str>> = own.or_else(other);
                if let Some(variants) = known {
                    faults.extend(unknown_variants(reference, key, &variants));
                } else {
                    let near = did_you_mean(key, environment.flags().map(CompiledFlag::key));
                    let detail = format!("there is no flag `{key}`{near}");
                    faults.push(Fault { pointer: reference.pointer.clone(), code: "unknown_flag", detail });
                }
            }
        }
    }
    faults
}

fn unknown_variants(reference: &Reference<'_>, flag: &str, known: &[&str]) -> Vec<Fault> {
    let Some((pointer, variants)) = &reference.variants else { return Vec::new() };
    let unknown = variants.iter().enumerate().filter(|(_, variant)| !known.contains(&variant.as_str()));
    let fault = |(index, variant): (usize, &String)| {
        let near = did_you_mean(variant, known.iter().copied());
        let detail = format!("the flag `{flag}` has no variant `{variant}`{near}");
        Fault { pointer: format!("{pointer}/{index}"), code: "unknown_variant", detail }
    };
    unknown.map(fault).collect()
}
