use super::surroundings::Surroundings;
use super::{condition, cycle, usage};
use crate::fault::{Fault, Faults};
use crate::limits;
use crate::model::{Flag, FlagConfig, Serve, Split};
use crate::nearest::did_you_mean;
use crate::references::{Name, References};

/// All faults of a flag's configuration. `surroundings` are the definitions of the environment; whether they
/// hold the flag already, or hold it as it was before, does not matter.
pub fn check_config(flag: &Flag, config: &FlagConfig, surroundings: &dyn Surroundings) -> Vec<Fault> {
    let mut found = check_alone(flag, config);
    let references = References::of_config(config);
    found.extend(usage::unknown(&references, None, Some(flag), surroundings));
    found.extend(cycle::check(Name::Flag(&flag.key), &references, surroundings));
    found
}

/// What needs no surroundings.
pub(super) fn check_alone(flag: &Flag, config: &FlagConfig) -> Vec<Fault> {
    let mut faults = Faults::default();
    if let Some(variant) = &config.off_variant {
        faults.within("off_variant", |faults| check_variant(flag, variant, faults));
    }
    faults.within("prerequisites", |faults| {
        for (index, prerequisite) in config.prerequisites.iter().enumerate() {
            if prerequisite.variants.is_empty() {
                faults.within(index, |faults| {
                    faults
                        .within("variants", |faults| faults.push("empty", "must name at least one variant"));
                });
            }
        }
    });
    faults.within("targets", |faults| {
        for (index, target) in config.targets.iter().enumerate() {
            faults.within(index, |faults| {
                faults.within("variant", |faults| check_variant(flag, &target.variant, faults));
            });
        }
    });
    faults.within("rules", |faults| {
        for (index, rule) in config.rules.iter().enumerate() {
            faults.within(index, |faults| {
                faults.within("when", |faults| condition::check(&rule.when, 1, faults));
                faults.within("serve", |faults| check_serve(flag, &rule.serve, false, faults));
            });
        }
    });
    faults.within("fallthrough", |faults| check_serve(flag, &config.fallthrough, true, faults));
    faults.into_vec()
}

fn check_serve(flag: &Flag, serve: &Serve, in_fallthrough: bool, faults: &mut Faults) {
    match serve {
        Serve::Variant { variant: Some(variant) } => {
            faults.within("variant", |faults| check_variant(flag, variant, faults));
        }
        Serve::Variant { variant: None } if in_fallthrough => {}
        Serve::Variant { variant: None } => {
            faults.within("variant", |faults| faults.push("required", "a rule must serve a variant"));
        }
        Serve::Split { split } => {
            faults.within("split", |faults| check_split(flag, split, in_fallthrough, faults));
        }
    }
}

fn check_split(flag: &Flag, split: &Split, in_fallthrough: bool, faults: &mut Faults) {
    if let Some(rollout) = split.rollout {
        faults.within("rollout", |faults| {
            if in_fallthrough {
                faults.push(
                    "not_allowed",
                    "there is nothing after the fallthrough for those outside a rollout",
                );
            } else if rollout > limits::WHOLE {
                faults.push("out_of_range", format!("must be from 0 to {}", limits::WHOLE));
            }
        });
    }
    faults.within("weights", |faults| {
        let total: u64 = split.weights.iter().map(|weight| u64::from(weight.weight)).sum();
        if split.weights.is_empty() {
            faults.push("empty", "must have at least one share");
        } else if total == 0 || total > u64::from(limits::WHOLE) {
            faults.push("out_of_range", format!("the total must be from 1 to {}, is {total}", limits::WHOLE));
        }
        for (index, weight) in split.weights.iter().enumerate() {
            faults.within(index, |faults| {
                faults.within("variant", |faults| match &weight.variant {
                    Some(variant) => check_variant(flag, variant, faults),
                    None if in_fallthrough => {
                        faults.push(
                            "required",
                            "there is nothing after the fallthrough for a share to pass to",
                        );
                    }
                    None => {}
                });
            });
        }
    });
}

fn check_variant(flag: &Flag, variant: &str, faults: &mut Faults) {
    if flag.variant(variant).is_none() {
        let near = did_you_mean(variant, flag.variants.iter().map(|known| known.key.as_str()));
        faults.push("unknown_variant", format!("the flag has no variant `{variant}`{near}"));
    }
}
