//! Validation of one definition against the others of its environment: what it names exists, nothing leads
//! to itself, and every comparison can be true.

mod condition;
mod config;
mod cycle;
mod surroundings;
mod usage;

pub use config::check_config;
pub use surroundings::{Definitions, Surroundings};
pub use usage::{User, check_variants, users_of_flag, users_of_segment};

use crate::fault::{Fault, Faults};
use crate::model::Segment;
use crate::references::{Name, References};

/// All faults of a segment. `surroundings` are the definitions of one environment; whether they hold the
/// segment already, or hold it as it was before, does not matter.
pub fn check_segment(segment: &Segment, surroundings: &dyn Surroundings) -> Vec<Fault> {
    let mut faults = Faults::default();
    if let Some(when) = &segment.when {
        faults.within("when", |faults| condition::check(when, 1, faults));
    }
    let references = References::of_segment(segment);
    let mut found = faults.into_vec();
    found.extend(usage::unknown(&references, Some(segment), None, surroundings));
    found.extend(cycle::check(Name::Segment(&segment.key), &references, surroundings));
    found
}
