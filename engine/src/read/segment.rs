use serde_json::Value;

use super::condition::read_condition;
use super::members::{Members, key, list, text};
use crate::fault::{Fault, Faults};
use crate::limits;
use crate::model::Segment;

const MEMBERS: [&str; 6] = ["key", "name", "description", "include", "exclude", "when"];

impl Segment {
    /// Reads a segment; only `key` is required. Members named in `ignored` (`version`, …) are passed over.
    ///
    /// # Errors
    /// All faults of the document.
    pub fn read(value: &Value, ignored: &[&str]) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let read = read_segment(value, ignored, &mut faults);
        let faults = faults.into_vec();
        read.filter(|_| faults.is_empty()).ok_or(faults)
    }
}

fn read_segment(value: &Value, ignored: &[&str], faults: &mut Faults) -> Option<Segment> {
    let members = Members::open(value, &MEMBERS, ignored, faults)?;
    let segment_key = members.required("key", faults, key);
    let name = members.optional("name", faults, text(limits::NAME_BYTES)).filter(|name| !name.is_empty());
    let description = members.optional("description", faults, text(limits::DESCRIPTION_BYTES));
    let include = members.optional("include", faults, list(limits::MEMBERS, text(limits::VALUE_BYTES)));
    let exclude = members.optional("exclude", faults, list(limits::MEMBERS, text(limits::VALUE_BYTES)));
    let when = members.nullable("when", faults, read_condition);
    let segment_key = segment_key?;
    Some(Segment {
        name: name.unwrap_or_else(|| segment_key.clone()),
        key: segment_key,
        description: description.unwrap_or_default(),
        include: include.unwrap_or_default(),
        exclude: exclude.unwrap_or_default(),
        when,
    })
}
