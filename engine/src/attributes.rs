//! The attributes an environment's definitions speak of, each with a slot, so that a context is looked
//! through once for all flags.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pointer;

/// The place of an attribute in the table.
pub(crate) type Slot = usize;

/// Grows only, so that what was compiled against an earlier state stays right.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeTable {
    names: Vec<Arc<str>>,
    slots: HashMap<Arc<str>, Slot>,
    pointers: Vec<(Slot, Box<[Box<str>]>)>,
}

impl AttributeTable {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, slot: Slot) -> &str {
        self.names.get(slot).map_or("", |name| name)
    }

    pub(crate) fn slot(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
    }

    /// The names in the order of their slots, pointers too.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The steps of the attributes that are JSON Pointers.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = (Slot, &[Box<str>])> {
        self.pointers.iter().map(|(slot, steps)| (*slot, &**steps))
    }

    /// The slot of a name, new where it has none yet.
    pub(crate) fn intern(table: &mut Arc<Self>, name: &str) -> Slot {
        if let Some(slot) = table.slot(name) {
            return slot;
        }
        let table = Arc::make_mut(table);
        let slot = table.names.len();
        let name: Arc<str> = name.into();
        if let Some(steps) = pointer::parse(&name) {
            table.pointers.push((slot, steps));
        }
        table.names.push(Arc::clone(&name));
        table.slots.insert(name, slot);
        slot
    }
}
