//! A list in the order of its elements' keys, in which an element is also found by its key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Something with a key.
pub(crate) trait Keyed {
    fn key(&self) -> &Arc<str>;
}

/// Elements are shared between a list and those made of it.
#[derive(Debug)]
pub(crate) struct KeyedList<T> {
    elements: Vec<Arc<T>>,
    places: Arc<HashMap<Arc<str>, usize>>,
}

impl<T: Keyed> KeyedList<T> {
    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.elements.iter().map(|element| &**element)
    }

    pub(crate) fn at(&self, place: usize) -> Option<&T> {
        self.elements.get(place).map(|element| &**element)
    }

    pub(crate) fn place(&self, key: &str) -> Option<usize> {
        self.places.get(key).copied()
    }

    /// Puts elements in, in place of those with the same keys, and takes out those that are `None`.
    pub(crate) fn change(&mut self, mut changes: BTreeMap<Arc<str>, Option<Arc<T>>>) {
        let before = self.elements.len();
        self.elements.retain_mut(|element| match changes.remove(element.key()) {
            None => true,
            Some(Some(changed)) => {
                *element = changed;
                true
            }
            Some(None) => false,
        });
        let kept = self.elements.len();
        self.elements.extend(changes.into_values().flatten());
        if self.elements.len() > kept {
            self.elements.sort_by(|one, two| one.key().cmp(two.key()));
        }
        if self.elements.len() > kept || kept < before {
            let places = self.elements.iter().enumerate();
            self.places =
                Arc::new(places.map(|(place, element)| (Arc::clone(element.key()), place)).collect());
        }
    }
}

impl<T> Clone for KeyedList<T> {
    fn clone(&self) -> Self {
        Self { elements: self.elements.clone(), places: Arc::clone(&self.places) }
    }
}

impl<T> Default for KeyedList<T> {
    fn default() -> Self {
        Self { elements: Vec::new(), places: Arc::default() }
    }
}
