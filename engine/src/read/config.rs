use std::collections::HashSet;

use serde_json::Value;

use super::condition::read_condition;
use super::members::{Members, boolean, choice, integer, key, list, name, text, wrong_type};
use crate::buckets::HashScheme;
use crate::fault::{Fault, Faults};
use crate::limits;
use crate::model::{By, Flag, FlagConfig, Prerequisite, Rule, Serve, Split, Target, Weight};

const MEMBERS: [&str; 8] =
    ["enabled", "off_variant", "prerequisites", "targets", "rules", "fallthrough", "salt", "hash"];

impl FlagConfig {
    /// Reads a configuration of `flag`. Absent members are as in [`FlagConfig::implicit`]. Members named in
    /// `ignored` (`version`, …) are passed over.
    ///
    /// # Errors
    /// All faults of the document.
    pub fn read(value: &Value, flag: &Flag, ignored: &[&str]) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let read = read_config(value, Self::implicit(flag), ignored, &mut faults);
        let faults = faults.into_vec();
        read.filter(|_| faults.is_empty()).ok_or(faults)
    }
}

fn read_config(
    value: &Value,
    implicit: FlagConfig,
    ignored: &[&str],
    faults: &mut Faults,
) -> Option<FlagConfig> {
    let members = Members::open(value, &MEMBERS, ignored, faults)?;
    let enabled = members.optional("enabled", faults, boolean);
    let off_variant = members.nullable("off_variant", faults, reference);
    let prerequisites =
        members.optional("prerequisites", faults, list(limits::PREREQUISITES, read_prerequisite));
    let targets = members.optional("targets", faults, read_targets);
    let rules = members.optional("rules", faults, read_rules);
    let fallthrough =
        members.optional("fallthrough", faults, |value, faults| read_serve(value, true, faults));
    let salt = members.nullable("salt", faults, text(limits::VALUE_BYTES));
    let hash = members.nullable("hash", faults, choice(&HashScheme::NAMES));
    Some(FlagConfig {
        enabled: enabled.unwrap_or(implicit.enabled),
        off_variant: if members.has("off_variant") { off_variant } else { implicit.off_variant },
        prerequisites: prerequisites.unwrap_or_default(),
        targets: targets.unwrap_or_default(),
        rules: rules.unwrap_or_default(),
        fallthrough: fallthrough.unwrap_or(implicit.fallthrough),
        salt,
        hash,
    })
}

/// A key that names something else; whether that exists is not looked at here.
pub(super) fn reference(value: &Value, faults: &mut Faults) -> Option<String> {
    name(limits::KEY_BYTES)(value, faults)
}

fn read_prerequisite(value: &Value, faults: &mut Faults) -> Option<Prerequisite> {
    let members = Members::open(value, &["flag", "variants", "or_disabled"], &[], faults)?;
    let flag = members.required("flag", faults, reference);
    let variants = members.required("variants", faults, list(limits::VARIANTS, reference));
    let or_disabled = members.optional("or_disabled", faults, boolean);
    Some(Prerequisite { flag: flag?, variants: variants?, or_disabled: or_disabled.unwrap_or_default() })
}

fn read_targets(value: &Value, faults: &mut Faults) -> Option<Vec<Target>> {
    let targets = list(limits::TARGETS, read_target)(value, faults)?;
    if targets.iter().map(|target| target.values.len()).sum::<usize>() > limits::TARGET_VALUES {
        let most = limits::TARGET_VALUES;
        faults.push(
            "too_large",
            format!("all targets together must have at most {most} values; use a segment"),
        );
    }
    Some(targets)
}

fn read_target(value: &Value, faults: &mut Faults) -> Option<Target> {
    let members = Members::open(value, &["variant", "values", "by"], &[], faults)?;
    let variant = members.required("variant", faults, reference);
    let values = members.required("values", faults, list(limits::TARGET_VALUES, text(limits::VALUE_BYTES)));
    let by = members.optional("by", faults, read_by);
    Some(Target { variant: variant?, values: values?, by: by.unwrap_or_default() })
}

fn read_rules(value: &Value, faults: &mut Faults) -> Option<Vec<Rule>> {
    let mut ids = HashSet::new();
    let one = |value, faults: &mut Faults| {
        let rule = read_rule(value, faults)?;
        if let Some(id) = &rule.id
            && !ids.insert(id.clone())
        {
            faults.within("id", |faults| faults.push("duplicate", format!("the rule `{id}` is there twice")));
        }
        Some(rule)
    };
    list(limits::RULES, one)(value, faults)
}

fn read_rule(value: &Value, faults: &mut Faults) -> Option<Rule> {
    let members = Members::open(value, &["id", "description", "when", "serve"], &[], faults)?;
    let id = members.nullable("id", faults, key);
    let description = members.optional("description", faults, text(limits::DESCRIPTION_BYTES));
    let when = members.required("when", faults, read_condition);
    let serve = members.required("serve", faults, |value, faults| read_serve(value, false, faults));
    Some(Rule { id, description: description.unwrap_or_default(), when: when?, serve: serve? })
}

fn read_serve(value: &Value, in_fallthrough: bool, faults: &mut Faults) -> Option<Serve> {
    let members = Members::open(value, &["variant", "split"], &[], faults)?;
    match (members.has("variant"), members.has("split")) {
        (true, false) if in_fallthrough => {
            let before = faults.len();
            let variant = members.nullable("variant", faults, reference);
            (faults.len() == before).then_some(Serve::Variant { variant })
        }
        (true, false) => {
            let variant = members.required("variant", faults, reference)?;
            Some(Serve::Variant { variant: Some(variant) })
        }
        (false, true) => {
            let split = members.required("split", faults, read_split)?;
            Some(Serve::Split { split })
        }
        _ => {
            faults.push("ambiguous", "must have either `variant` or `split`");
            None
        }
    }
}

fn read_split(value: &Value, faults: &mut Faults) -> Option<Split> {
    let members = Members::open(value, &["by", "rollout", "weights", "salt", "hash"], &[], faults)?;
    let by = members.optional("by", faults, read_by);
    let rollout = members.nullable("rollout", faults, integer(limits::WHOLE));
    let weights = members.required("weights", faults, list(limits::WEIGHTS, read_weight));
    let salt = members.nullable("salt", faults, text(limits::VALUE_BYTES));
    let hash = members.nullable("hash", faults, choice(&HashScheme::NAMES));
    Some(Split { by: by.unwrap_or_default(), rollout, weights: weights?, salt, hash })
}

fn read_weight(value: &Value, faults: &mut Faults) -> Option<Weight> {
    let members = Members::open(value, &["variant", "weight"], &[], faults)?;
    let variant = members.nullable("variant", faults, reference);
    let weight = members.required("weight", faults, integer(limits::WHOLE));
    Some(Weight { variant, weight: weight? })
}

/// An attribute, or a list of at least one.
pub(super) fn read_by(value: &Value, faults: &mut Faults) -> Option<By> {
    match value {
        Value::String(_) => attribute(value, faults).map(By::One),
        Value::Array(elements) if elements.is_empty() => {
            faults.push("empty", "must name at least one attribute");
            None
        }
        Value::Array(_) => list(limits::BY, attribute)(value, faults).map(By::First),
        other => {
            wrong_type("an attribute or a list of attributes", other, faults);
            None
        }
    }
}

/// An attribute's name, or a JSON Pointer where it begins with `/`.
pub(super) fn attribute(value: &Value, faults: &mut Faults) -> Option<String> {
    let read = name(limits::VALUE_BYTES)(value, faults)?;
    if read.starts_with('/') && crate::pointer::parse(&read).is_none() {
        faults.push("invalid_pointer", "in a JSON Pointer `~` is written `~0` and `/` in a name `~1`");
        return None;
    }
    Some(read)
}
