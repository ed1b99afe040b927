//! Which handler route a request reaches.

use std::collections::BTreeMap;

use flagstone_layers::kernel::RouteSpec;
use http::Method;

/// The handler routes as a server finds them: by path, each with the methods and route ids there.
pub(crate) struct RouteTable(matchit::Router<Vec<(Method, usize)>>);

/// What a request reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// A handler route, by its id.
    Route(usize),
    /// A path that is known, by a method that is not.
    WrongMethod,
    /// An unknown path.
    Nothing,
}

// === impl RouteTable ===

impl RouteTable {
    /// Patterns that are in conflict with others are the host's own fault, and left out.
    pub(crate) fn new(specs: &[RouteSpec]) -> Self {
        let mut by_path: BTreeMap<&str, Vec<(Method, usize)>> = BTreeMap::new();
        for (id, spec) in specs.iter().enumerate() {
            by_path.entry(spec.path).or_default().push((spec.method.clone(), id));
        }
        let mut router = matchit::Router::new();
        for (path, methods) in by_path {
            if let Err(error) = router.insert(path, methods) {
                tracing::error!(path, %error, "a handler route cannot be matched");
            }
        }
        Self(router)
    }

    /// `HEAD` is answered by `GET` routes.
    pub(crate) fn reach(&self, method: &Method, path: &str) -> Reached {
        let Ok(matched) = self.0.at(path) else { return Reached::Nothing };
        let by = |wanted: &Method| matched.value.iter().find(|(known, _)| known == wanted).map(|(_, id)| *id);
        let id = by(method).or_else(|| if method == Method::HEAD { by(&Method::GET) } else { None });
        id.map_or(Reached::WrongMethod, Reached::Route)
    }
}
