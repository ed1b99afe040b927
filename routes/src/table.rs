use std::sync::Arc;

use flagstone_layers::kernel::{Matched, RouteSpec, Run};
use http::Method;

/// The route table: which route answers a method and a path.
#[derive(Clone, Debug, Default)]
pub struct Table {
    paths: matchit::Router<Path>,
    runs: Vec<Run>,
}

#[derive(Clone, Debug)]
struct Path {
    pattern: &'static str,
    routes: Vec<(Method, usize)>,
    streaming: bool,
    allow: Arc<str>,
}

/// Why a table could not be made: a fault of the program.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Two patterns stand in each other's way, or one is malformed.
    #[error("the route {path}: {source}")]
    Pattern {
        /// The pattern.
        path: &'static str,
        /// What is wrong with it.
        source: matchit::InsertError,
    },
    /// A method and pattern occur twice.
    #[error("the route {method} {path} occurs twice")]
    Duplicate {
        /// The method.
        method: Method,
        /// The pattern.
        path: &'static str,
    },
}

// === impl Table ===

impl Table {
    /// A table of these routes; a route's id is its place among them.
    ///
    /// # Errors
    /// Patterns that conflict, and routes that occur twice.
    pub fn new<'a>(specs: impl IntoIterator<Item = &'a RouteSpec>) -> Result<Self, TableError> {
        let mut paths: Vec<Path> = Vec::new();
        let mut runs = Vec::new();
        for (id, spec) in specs.into_iter().enumerate() {
            let index = paths.iter().position(|path| path.pattern == spec.path).unwrap_or_else(|| {
                paths.push(Path {
                    pattern: spec.path,
                    routes: Vec::new(),
                    streaming: false,
                    allow: "".into(),
                });
                paths.len() - 1
            });
            let Some(path) = paths.get_mut(index) else { continue };
            if path.routes.iter().any(|(method, _)| *method == spec.method) {
                return Err(TableError::Duplicate { method: spec.method.clone(), path: spec.path });
            }
            path.routes.push((spec.method.clone(), id));
            path.streaming |= spec.streaming;
            runs.push(spec.run);
        }
        let mut router = matchit::Router::new();
        for mut path in paths {
            path.allow = path.allowed().into();
            let pattern = path.pattern;
            router.insert(pattern, path).map_err(|source| TableError::Pattern { path: pattern, source })?;
        }
        Ok(Self { paths: router, runs })
    }

    /// Where a route's handler runs; anywhere, of one that is not known.
    pub fn run(&self, id: usize) -> Run {
        self.runs.get(id).copied().unwrap_or(Run::Control)
    }

    /// What answers a method and a raw path. `HEAD` is answered by `GET`, but not where `GET` is a stream.
    pub fn find(&self, method: &Method, path: &str) -> Matched {
        let Ok(found) = self.paths.at(path) else { return Matched::NotFound };
        let known = found.value;
        let route = known.route(method).or_else(|| {
            let head = *method == Method::HEAD && !known.streaming;
            head.then(|| known.route(&Method::GET)).flatten()
        });
        let Some(id) = route else { return Matched::MethodNotAllowed { allow: Arc::clone(&known.allow) } };
        let parameters = found.params.iter().filter_map(|(_, value)| range_in(path, value)).collect();
        Matched::Route { id, pattern: known.pattern, parameters }
    }
}

impl Path {
    fn route(&self, method: &Method) -> Option<usize> {
        self.routes.iter().find(|(known, _)| known == method).map(|(_, id)| *id)
    }

    /// The methods, as an `Allow` header has them.
    fn allowed(&self) -> String {
        let mut methods: Vec<&str> = self.routes.iter().map(|(method, _)| method.as_str()).collect();
        if methods.contains(&"GET") && !self.streaming {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.join(", ")
    }
}

/// Where `part`, a slice of `whole`, stands in it.
fn range_in(whole: &str, part: &str) -> Option<(u16, u16)> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    Some((u16::try_from(start).ok()?, u16::try_from(start + part.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use flagstone_layers::kernel::{Access, Exchange};

    use super::*;

    fn table() -> Table {
        let spec = |method, path| RouteSpec::new(method, path, "name", Access::Public);
        Table::new(&[
            spec(Method::GET, "/projects/{project}/flags/{flag}"),
            spec(Method::PUT, "/projects/{project}/flags/{flag}"),
            spec(Method::GET, "/stream").streaming(),
        ])
        .unwrap()
    }

    #[test]
    fn parameters_are_slices_of_the_path() {
        let path = "/projects/web/flags/dark";
        let exchange = Exchange::new(Method::PUT, path, table().find(&Method::PUT, path));
        assert_eq!(exchange.parameter("project"), Some("web"));
        assert_eq!(exchange.parameter("flag"), Some("dark"));
        assert!(matches!(exchange.matched(), Matched::Route { id: 1, .. }));
    }

    #[test]
    fn head_is_answered_by_get_unless_that_is_a_stream() {
        assert!(matches!(table().find(&Method::HEAD, "/projects/a/flags/b"), Matched::Route { id: 0, .. }));
        assert_eq!(
            table().find(&Method::HEAD, "/stream"),
            Matched::MethodNotAllowed { allow: "GET, OPTIONS".into() }
        );
    }

    #[test]
    fn a_known_path_names_its_methods_and_an_unknown_one_is_not_found() {
        assert_eq!(
            table().find(&Method::DELETE, "/projects/a/flags/b"),
            Matched::MethodNotAllowed { allow: "GET, HEAD, OPTIONS, PUT".into() }
        );
        for unknown in
            ["/", "/projects//flags/b", "/projects/a/flags/", "/projects/a/flags/b/", "", "/Stream"]
        {
            assert_eq!(table().find(&Method::GET, unknown), Matched::NotFound, "{unknown}");
        }
    }

    #[test]
    fn a_route_twice_is_refused() {
        let spec = || RouteSpec::new(Method::GET, "/a", "name", Access::Public);
        assert!(matches!(Table::new(&[spec(), spec()]), Err(TableError::Duplicate { .. })));
    }
}
