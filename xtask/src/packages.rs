//! What the packages may be: the part of `deny.toml` that needs no tool of its own (licences, versions, bans,
//! sources), and who may import whom in the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::children::Children;
use crate::failure::Failure;
use crate::licence;
use crate::workspace::{self, Workspace};

/// Who may import whom (DESIGN §1): `src → pipeline → layers` and `src → routes → services → engine`.
/// `layers`, `pipeline` and `engine` can be published alone.
const IMPORTS: [(&str, &[&str]); 9] = [
    ("flagstone", &["flagstone-layers", "flagstone-pipeline", "flagstone-routes", "flagstone-services"]),
    ("flagstone-engine", &[]),
    ("flagstone-layers", &[]),
    ("flagstone-pipeline", &["flagstone-layers"]),
    ("flagstone-routes", &["flagstone-layers", "flagstone-services"]),
    ("flagstone-services", &["flagstone-engine"]),
    ("plain-server", &["flagstone-layers", "flagstone-pipeline"]),
    ("bench-programs", &[]),
    ("xtask", &[]),
];

/// What the source of a package begins with that a registry has; others come from a repository or an address.
const REGISTRY: &str = "registry+";

/// The part of `deny.toml` that is checked here; cargo-deny reads all of it.
#[derive(Deserialize)]
struct Policy {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    #[serde(default)]
    deny: Vec<Named>,
    #[serde(default)]
    skip: Vec<Named>,
}

/// A package, or one version of it as `name@version`.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Where it was downloaded from; nothing for a package of the workspace.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

/// What a package declares to need, tests and build scripts included.
#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Only for a package of the workspace.
    path: Option<PathBuf>,
}

/// Checks all packages that the lock file names for the platforms of `deny.toml`.
pub(crate) fn check(children: &Children, workspace: &Workspace) -> Result<(), Failure> {
    let path = workspace.root.join("deny.toml");
    let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let policy: Policy = toml::from_str(&text)
        .map_err(|error| Failure::Unreadable { origin: "deny.toml".to_owned(), reason: error.to_string() })?;

    let mut command = workspace.cargo("metadata");
    command.args(["--format-version", "1"]);
    for platform in &policy.graph.targets {
        command.args(["--filter-platform", platform]);
    }
    let metadata: Metadata = workspace::read_json("cargo metadata", &children.read(command)?)?;
    Failure::unless_empty(problems(&policy, &metadata.packages))
}

fn problems(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        problems.extend(licence_problem(policy, package));
        problems.extend(source_problem(package));
        problems.extend(ban(policy, package));
        problems.extend(import_problems(package));
    }
    problems.extend(duplicates(policy, packages));
    problems
}

fn licence_problem(policy: &Policy, package: &Package) -> Option<String> {
    let Package { name, version, license, .. } = package;
    match license {
        Some(expression) if licence::satisfied(expression, &policy.licenses.allow) => None,
        Some(expression) => Some(format!(
            "{name} {version}: the licence \"{expression}\" is not covered by licenses.allow of deny.toml"
        )),
        None => Some(format!("{name} {version}: states no licence")),
    }
}

fn source_problem(package: &Package) -> Option<String> {
    let source = package.source.as_deref()?;
    let Package { name, version, .. } = package;
    (!source.starts_with(REGISTRY))
        .then(|| format!("{name} {version}: comes from {source}, not from a registry"))
}

fn ban(policy: &Policy, package: &Package) -> Option<String> {
    let ban = policy.bans.deny.iter().find(|ban| ban.name == package.name)?;
    Some(format!("{} {}: banned by deny.toml: {}", package.name, package.version, ban.reason))
}

/// Several versions of one package, but for those that `bans.skip` excuses, and excuses that nothing needs.
fn duplicates(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);

    let excused = |name: &str, version: &str| {
        policy.bans.skip.iter().any(|skip| match skip.name.split_once('@') {
            Some((package, excused)) => package == name && excused == version,
            None => skip.name == name,
        })
    };
    let mut problems: Vec<String> = versions
        .iter()
        .filter(|(name, versions)| versions.iter().filter(|version| !excused(name, version)).count() > 1)
        .map(|(name, versions)| {
            format!(
                "{name}: several versions ({}); `cargo tree --duplicates` shows who asks",
                versions.join(", ")
            )
        })
        .collect();
    for skip in &policy.bans.skip {
        let name = skip.name.split_once('@').map_or(skip.name.as_str(), |(name, _)| name);
        if !versions.contains_key(name) {
            problems.push(format!("{}: excused by bans.skip of deny.toml but not there twice", skip.name));
        }
    }
    problems
}

fn import_problems(package: &Package) -> Vec<String> {
    if package.source.is_some() {
        return Vec::new();
    }
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == package.name) else {
        return vec![format!(
            "{}: a package that IMPORTS of xtask/src/packages.rs does not know",
            package.name
        )];
    };
    // Itself: its own tests, with a feature that nobody else asks for.
    let may = |name: &str| name == package.name || allowed.contains(&name);
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some() && !may(&dependency.name))
        .map(|dependency| format!("{} must not import {} (DESIGN §1)", package.name, dependency.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some("MIT".to_owned()),
            source: Some(REGISTRY.to_owned()),
            dependencies: Vec::new(),
        }
    }

    fn found(packages: &[Package], skip: &[&str]) -> Vec<String> {
        let named = |name: &str| Named { name: name.to_owned(), reason: "it is banned".to_owned() };
        let policy = Policy {
            graph: Graph { targets: Vec::new() },
            licenses: Licences { allow: vec!["MIT".to_owned()] },
            bans: Bans { deny: vec![named("evil")], skip: skip.iter().map(|name| named(name)).collect() },
        };
        problems(&policy, packages)
    }

    #[test]
    fn nothing_wrong() {
        assert_eq!(found(&[package("a", "1.0.0"), package("b", "1.0.0")], &[]), Vec::<String>::new());
    }

    #[test]
    fn licences_sources_and_bans() {
        let strict = Package { license: Some("GPL-3.0".to_owned()), ..package("a", "1.0.0") };
        let silent = Package { license: None, ..package("b", "1.0.0") };
        let git = Package { source: Some("git+https://example.org/c".to_owned()), ..package("c", "1.0.0") };
        let found = found(&[strict, silent, git, package("evil", "2.0.0")], &[]);
        assert_eq!(
            found,
            [
                "a 1.0.0: the licence \"GPL-3.0\" is not covered by licenses.allow of deny.toml",
                "b 1.0.0: states no licence",
                "c 1.0.0: comes from git+https://example.org/c, not from a registry",
                "evil 2.0.0: banned by deny.toml: it is banned",
            ]
        );
    }

    #[test]
    fn two_versions_need_an_excuse_and_an_excuse_needs_two_versions() {
        let twice = [package("a", "1.0.0"), package("a", "2.0.0")];
        assert_eq!(found(&twice, &[]).len(), 1);
        assert_eq!(found(&twice, &["a@1.0.0"]), Vec::<String>::new());
        assert_eq!(found(&twice, &["a@3.0.0"]).len(), 1);
        assert_eq!(found(&twice[..1], &["a@1.0.0"]).len(), 1);
    }

    #[test]
    fn imports_run_one_way() {
        let ours = |name: &str, dependency: &str| Package {
            source: None,
            dependencies: vec![Dependency { name: dependency.to_owned(), path: Some("x".into()) }],
            ..package(name, "0.1.0")
        };
        assert_eq!(found(&[ours("flagstone-services", "flagstone-engine")], &[]), Vec::<String>::new());
        assert_eq!(
            found(&[ours("flagstone-layers", "flagstone-engine")], &[]),
            ["flagstone-layers must not import flagstone-engine (DESIGN §1)"]
        );
        assert_eq!(found(&[ours("newcomer", "flagstone-engine")], &[]).len(), 1);
    }
}
