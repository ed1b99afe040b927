use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

/// What the host lends to layers, by type: an authenticator, a log sink, a metrics registry.
#[derive(Clone, Default)]
pub struct Resources {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    /// No resources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource; a second of the same type replaces the first. A trait object is lent inside a
    /// type of its own, such as `Arc<dyn Authenticator>`.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, resource: T) -> Self {
        self.by_type.insert(TypeId::of::<T>(), Arc::new(resource));
        self
    }

    /// The resource of this type, if the host lends one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.by_type.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").field("count", &self.by_type.len()).finish()
    }
}
