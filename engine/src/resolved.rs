//! The attributes of one context that an environment's definitions speak of.

use smallvec::SmallVec;

use crate::attributes::Slot;
use crate::json::Json;
use crate::subject::Subject;

/// Attributes by their slots. Few of all slots are taken, so they only lead to what is there.
#[derive(Debug)]
pub(crate) struct Resolved<'c> {
    places: SmallVec<[usize; 16]>,
    present: Vec<Attribute<'c>>,
}

/// An attribute that is there: as it was sent, and as comparisons see it.
#[derive(Debug)]
pub(crate) struct Attribute<'c> {
    pub(crate) value: &'c Json<'c>,
    pub(crate) subject: Option<Subject<'c>>,
}

/// The place of what is not there.
const NOWHERE: usize = usize::MAX;

impl<'c> Resolved<'c> {
    pub(crate) fn new(slots: usize) -> Self {
        Self { places: SmallVec::from_elem(NOWHERE, slots), present: Vec::with_capacity(slots.min(8)) }
    }

    pub(crate) fn set(&mut self, slot: Slot, value: Option<&'c Json<'c>>) {
        let Some(place) = self.places.get_mut(slot) else { return };
        *place = NOWHERE;
        if let Some(value) = value {
            *place = self.present.len();
            self.present.push(Attribute { value, subject: Subject::of(value, None) });
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Attribute<'c>> {
        self.present.get(*self.places.get(slot)?)
    }
}

impl<'c> Attribute<'c> {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.subject, Some(Subject::Null))
    }

    /// Those of an array.
    pub(crate) fn elements(&self) -> Option<&'c [Json<'c>]> {
        match self.subject {
            Some(Subject::Structure(Json::Array(elements))) => Some(elements),
            _ => None,
        }
    }
}
