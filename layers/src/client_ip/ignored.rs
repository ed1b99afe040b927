use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many requests carried forwarded headers though their peer is not a trusted proxy, by layer. A resource: the host
/// lends one and shows it in its status. It outlives reloads, so each layer warns once in the life of the process.
#[derive(Debug, Default)]
pub struct IgnoredForwards {
    by_layer: Mutex<BTreeMap<Arc<str>, Arc<Counter>>>,
}

/// The requests of one layer.
#[derive(Debug)]
pub(super) struct Counter {
    layer: Arc<str>,
    requests: AtomicU64,
}

impl IgnoredForwards {
    /// The layers with at least one such request, and how many they had.
    pub fn counts(&self) -> Vec<(Arc<str>, u64)> {
        let by_layer = self.by_layer.lock().unwrap_or_else(PoisonError::into_inner);
        by_layer
            .iter()
            .map(|(layer, counter)| (layer.clone(), counter.requests.load(Ordering::Relaxed)))
            .filter(|(_, requests)| *requests > 0)
            .collect()
    }

    pub(super) fn counter(&self, layer: &Arc<str>) -> Arc<Counter> {
        let mut by_layer = self.by_layer.lock().unwrap_or_else(PoisonError::into_inner);
        by_layer.entry(layer.clone()).or_insert_with(|| Arc::new(Counter::new(layer.clone()))).clone()
    }
}

impl Counter {
    pub(super) fn new(layer: Arc<str>) -> Self {
        Self { layer, requests: AtomicU64::new(0) }
    }

    /// Counts a request, and warns of the first.
    pub(super) fn count(&self, peer: Option<IpAddr>) {
        if self.requests.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                layer = %self.layer,
                peer = ?peer,
                "ignored forwarded headers of a peer that is not among trusted_proxies; said once, counted in the status"
            );
        }
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new(super::spec::KIND.into())
    }
}
