//! Whether a definition fits what stands around it.

use flagstone_engine::check::{check_config, check_segment, check_variants};
use flagstone_engine::model::{Flag, FlagConfig, Segment};
use uuid::Uuid;

use crate::changes::ChangedEnvironment;
use crate::error::{Fault, ServiceError};
use crate::snapshot::{Snapshot, With};
use crate::store::flags::Configs;

/// A flag's new fields: key and type stay, and every configuration still fits.
pub(super) fn flag_update(
    before: &Flag,
    after: &Flag,
    id: Uuid,
    environments: &[ChangedEnvironment],
    configs: &Configs,
) -> Result<(), ServiceError> {
    let mut faults = Vec::new();
    if after.key != before.key {
        faults.push(immutable("/key"));
    }
    if after.flag_type != before.flag_type {
        faults.push(immutable("/type"));
    }
    if faults.is_empty() {
        for environment in environments {
            // What is implicit follows the new variants.
            let implicit = FlagConfig::implicit(after);
            let config = configs.get(&(id, environment.row.id)).map_or(&implicit, |stored| &stored.config);
            let surroundings = With { snapshot: &environment.snapshot, flag: after, config };
            faults.extend(located(environment, check_variants(after, &surroundings)));
        }
    }
    refuse(faults)
}

/// A configuration of a flag in an environment.
pub(super) fn config(flag: &Flag, config: &FlagConfig, snapshot: &Snapshot) -> Result<(), ServiceError> {
    refuse(check_config(flag, config, snapshot))
}

/// A segment in every environment of its project.
pub(super) fn segment(segment: &Segment, environments: &[ChangedEnvironment]) -> Result<(), ServiceError> {
    let mut faults: Vec<Fault> = Vec::new();
    for environment in environments {
        let found = check_segment(segment, &*environment.snapshot);
        // Most faults are the same in all environments and are told once.
        faults.extend(found.into_iter().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
    }
    refuse(faults)
}

/// The fault of a document that would change what stays as it was made.
pub(super) fn immutable(pointer: &str) -> Fault {
    let detail = "this cannot be changed once it is made".to_owned();
    Fault { pointer: pointer.to_owned(), code: "immutable", detail }
}

fn located(environment: &ChangedEnvironment, faults: Vec<Fault>) -> impl Iterator<Item = Fault> {
    let key = &environment.row.key;
    faults.into_iter().map(move |fault| Fault { detail: format!("in \"{key}\": {}", fault.detail), ..fault })
}

fn refuse(faults: Vec<Fault>) -> Result<(), ServiceError> {
    if faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(faults)) }
}
