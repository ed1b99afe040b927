//! Other names for paths.

use std::fmt;

use matchit::Router;

/// Finds the path that another one stands for.
#[derive(Default)]
pub(crate) struct Aliases {
    router: Router<usize>,
    pairs: Vec<(String, String)>,
}

impl Aliases {
    /// The table of these pairs: what is asked for, and what it stands for. Parameters of the first may stand in the
    /// second. As with routes, `/x/{*rest}` covers `/x` too. A pair that is in conflict with an earlier one is left
    /// out; the plan has refused it before.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut aliases = Self { router: Router::new(), pairs: pairs.into_iter().collect() };
        for (index, (from, _)) in aliases.pairs.iter().enumerate() {
            if aliases.router.insert(from.as_str(), index).is_err() {
                tracing::error!(%from, "an alias is in conflict with an earlier one and left out");
            }
        }
        // After all others: an alias that is written out comes before one that a catch-all implies.
        for (index, (from, _)) in aliases.pairs.iter().enumerate() {
            if let Some(base) = catch_all_base(from) {
                _ = aliases.router.insert(base, index);
            }
        }
        aliases
    }

    /// The path that this one stands for.
    pub(crate) fn resolve(&self, path: &str) -> Option<String> {
        let matched = self.router.at(path).ok()?;
        let (_, to) = self.pairs.get(*matched.value)?;
        let mut resolved = String::with_capacity(path.len() + to.len());
        let mut rest = to.as_str();
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            match matched.params.get(name.trim_start_matches('*')) {
                Some(value) => resolved.extend([literal, value]),
                // The catch-all of a path that ends before it.
                None => resolved.push_str(literal.strip_suffix('/').unwrap_or(literal)),
            }
            rest = after;
        }
        resolved.push_str(rest);
        Some(if resolved.is_empty() { "/".to_owned() } else { resolved })
    }
}

/// `/x` of `/x/{*rest}`; `/` of `/{*rest}`.
fn catch_all_base(pattern: &str) -> Option<&str> {
    let (base, _) = pattern.split_once("/{*")?;
    Some(if base.is_empty() { "/" } else { base })
}

impl PartialEq for Aliases {
    fn eq(&self, other: &Self) -> bool {
        self.pairs == other.pairs
    }
}

impl fmt::Debug for Aliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pairs.iter().map(|(from, to)| (from, to))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(pairs: &[(&str, &str)]) -> Aliases {
        Aliases::new(pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())))
    }

    #[test]
    fn parameters_are_put_in_place() {
        let aliases = aliases(&[
            ("/admin/stats", "/api/management/stats"),
            ("/admin/users/{id}/role", "/api/management/users/{id}"),
            ("/old/{*rest}", "/api/{*rest}"),
            ("/swap/{a}/{b}", "/to/{b}/of/{a}"),
        ]);
        for (path, expected) in [
            ("/admin/stats", Some("/api/management/stats")),
            ("/admin/users/a%2Fb/role", Some("/api/management/users/a%2Fb")),
            ("/old/flags/one", Some("/api/flags/one")),
            ("/old", Some("/api")),
            ("/swap/1/2", Some("/to/2/of/1")),
            ("/admin/users/7", None),
            ("/older", None),
        ] {
            assert_eq!(aliases.resolve(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn an_alias_that_is_written_out_wins_over_one_that_is_implied() {
        let aliases =
            aliases(&[("/old/{*rest}", "/api/{*rest}"), ("/old", "/welcome"), ("/{*all}", "/{*all}")]);
        assert_eq!(aliases.resolve("/old").as_deref(), Some("/welcome"));
        assert_eq!(aliases.resolve("/").as_deref(), Some("/"));
    }
}
