//! Which route answers a request. Routing happens once, before the chain.

use std::{collections::BTreeMap, sync::Arc};

use flagstone_layers::kernel::{Call, Matched, Next, Problem, Request, RouteSpec};
use http::{HeaderValue, Method, StatusCode, header::ALLOW};
use matchit::{InsertError, Router};

/// The route table.
pub(crate) struct Table {
    paths: Router<Path>,
}

struct Path {
    pattern: &'static str,
    /// The methods that are answered, each with its route's id.
    routes: Vec<(Method, usize)>,
    allow: Arc<str>,
}

impl Table {
    /// A table of these routes; a route's id is its place among them.
    pub(crate) fn new<'a>(specs: impl IntoIterator<Item = &'a RouteSpec>) -> Result<Self, InsertError> {
        let mut by_pattern: BTreeMap<&'static str, Vec<(Method, usize)>> = BTreeMap::new();
        for (id, spec) in specs.into_iter().enumerate() {
            by_pattern.entry(spec.path).or_default().push((spec.method.clone(), id));
        }
        let mut paths = Router::new();
        for (pattern, routes) in by_pattern {
            let methods: Vec<&str> = routes.iter().map(|(method, _)| method.as_str()).collect();
            let allow = methods.join(", ").into();
            paths.insert(pattern, Path { pattern, routes, allow })?;
        }
        Ok(Self { paths })
    }

    /// What answers this method and path.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Matched {
        let Ok(found) = self.paths.at(path) else { return Matched::NotFound };
        let Path { pattern, routes, allow } = found.value;
        let Some((_, id)) = routes.iter().find(|(known, _)| known == method) else {
            return Matched::MethodNotAllowed { allow: Arc::clone(allow) };
        };
        let parameters = found.params.iter().filter_map(|(_, value)| range_in(path, value)).collect();
        Matched::Route { id: *id, pattern, parameters }
    }
}

/// Where `part`, a slice of `whole`, stands in it.
fn range_in(whole: &str, part: &str) -> Option<(u16, u16)> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    Some((u16::try_from(start).ok()?, u16::try_from(start + part.len()).ok()?))
}

/// What answers where no route does.
pub(crate) fn fallback() -> Next {
    Next::new(|request: Request| {
        let exchange = request.exchange();
        let problem = match exchange.matched() {
            Matched::MethodNotAllowed { allow } => {
                let problem = Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "METHOD_NOT_ALLOWED",
                    "This path has other methods.",
                );
                match HeaderValue::from_str(allow) {
                    Ok(allow) => problem.header(ALLOW, allow),
                    Err(_) => problem,
                }
            }
            _ => Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing under this path."),
        };
        Call::Ready(problem.into_response(exchange))
    })
}
