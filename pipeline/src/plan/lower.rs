//! From the file's tables to a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

use flagstone_layers::kernel::{Registry, RouteSpec};
use sha2::{Digest, Sha256};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Plan, Planned, aliases, cases, chains, layers::Layers, routes};
use crate::{
    Variables,
    diagnostic::{Diagnostic, Report, did_you_mean},
    document::{self, Document, Faults},
    fields::{self, listed},
    pattern::Pattern,
    proof,
    schema::{Schemas, file_schema},
    value::{Resolved, Resolver},
};

/// The tables of all files together.
pub(super) struct Merged<'t, 'a> {
    pub(super) layers: BTreeMap<&'t str, Named<'t, 'a>>,
    pub(super) chains: BTreeMap<&'t str, Named<'t, 'a>>,
    pub(super) routes: Vec<&'t Spanned<DeValue<'a>>>,
    pub(super) fallback: Option<&'t Spanned<DeValue<'a>>>,
    pub(super) aliases: Vec<&'t Spanned<DeValue<'a>>>,
    pub(super) tests: Vec<&'t Spanned<DeValue<'a>>>,
}

/// What stands under a name.
pub(super) struct Named<'t, 'a> {
    pub(super) name: Range<usize>,
    pub(super) value: &'t Spanned<DeValue<'a>>,
}

/// What lowering goes by.
pub(super) struct Lowering<'c> {
    pub(super) registry: &'c Registry,
    pub(super) schemas: &'c Schemas,
    pub(super) specs: &'c [RouteSpec],
    pub(super) handlers: &'c [Handler<'c>],
    pub(super) resolved: &'c Resolved,
}

/// A handler route, and what its path covers.
pub(super) struct Handler<'c> {
    pub(super) spec: &'c RouteSpec,
    pub(super) pattern: Pattern,
}

const TABLES: [&str; 8] =
    ["version", "include", "layers", "chains", "routes", "fallback", "aliases", "tests"];

/// Reads a pipeline file and proves it. It reads files and looks variables up; it has no other effect.
///
/// `routes` are the handler routes by route id.
pub fn plan(path: &Path, registry: &Registry, routes: &[RouteSpec], variables: &Variables) -> Planned {
    plan_file(path, &Schemas::new(registry), registry, routes, variables)
}

/// As [`plan`], with the registry's schemas made before.
pub(crate) fn plan_file(
    path: &Path,
    schemas: &Schemas,
    registry: &Registry,
    routes: &[RouteSpec],
    variables: &Variables,
) -> Planned {
    let mut faults = Faults::default();
    match document::read_main(path, &mut faults) {
        Some(bytes) => plan_text(path, &bytes, schemas, registry, routes, variables),
        None => Planned {
            plan: None,
            report: Report::from(faults.finish().0),
            sources: vec![path.to_owned()],
            digest: digest(&[(path.to_owned(), Vec::new())], &Resolved::default()),
        },
    }
}

/// As [`plan`], for a pipeline file that is not, or not yet, on the disk as it is. What it includes is read beside `path`.
pub fn plan_bytes(
    path: &Path,
    bytes: &[u8],
    registry: &Registry,
    routes: &[RouteSpec],
    variables: &Variables,
) -> Planned {
    plan_text(path, bytes, &Schemas::new(registry), registry, routes, variables)
}

fn plan_text(
    path: &Path,
    bytes: &[u8],
    schemas: &Schemas,
    registry: &Registry,
    routes: &[RouteSpec],
    variables: &Variables,
) -> Planned {
    let mut faults = Faults::default();
    let mut files = vec![(path.to_owned(), bytes.to_owned())];
    let mut resolved = Resolved::default();
    let mut plan = None;
    if bytes.len() as u64 > document::LARGEST {
        document::too_large(path, &mut faults);
    } else if let Some(main) = Document::new(path, bytes, schemas, &mut faults) {
        let included = document::read_included(path, main.table(), &mut faults);
        let mut documents = vec![main];
        for (path, bytes) in &included {
            let bytes = bytes.as_deref();
            documents.extend(bytes.and_then(|bytes| Document::new(path, bytes, schemas, &mut faults)));
        }
        // Where an included file could not be read, what is missing here may stand there.
        if faults.len() == 0 {
            let folder = path.parent().unwrap_or(Path::new(""));
            resolved = resolve(&documents, schemas, variables, folder, &mut faults);
            let handlers: Vec<_> = routes.iter().map(Handler::new).collect();
            let lowering =
                Lowering { registry, schemas, specs: routes, handlers: &handlers, resolved: &resolved };
            plan = lower(documents, &lowering, &mut faults);
        }
        // What is missing is watched too.
        files.extend(included.into_iter().map(|(path, bytes)| (path, bytes.unwrap_or_default())));
    }
    finish(plan, faults, &files, &resolved)
}

fn finish(plan: Option<Plan>, faults: Faults, files: &[(PathBuf, Vec<u8>)], resolved: &Resolved) -> Planned {
    let mut plan = plan.filter(|_| !faults.has_errors());
    let (diagnostics, secrets) = faults.finish();
    for instance in plan.iter_mut().flat_map(|plan| &mut plan.instances) {
        instance.secrets = secrets.clone();
    }
    let sources = files.iter().chain(&resolved.files).map(|(path, _)| path.clone()).collect::<BTreeSet<_>>();
    Planned {
        plan,
        report: Report::from(diagnostics),
        sources: sources.into_iter().collect(),
        digest: digest(files, resolved),
    }
}

/// SHA-256 over everything that was read. Lengths go first, so that nothing can be moved from one text to the next.
fn digest(files: &[(PathBuf, Vec<u8>)], resolved: &Resolved) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (path, bytes) in files.iter().chain(&resolved.files) {
        add(path.as_os_str().as_encoded_bytes());
        add(bytes);
    }
    for (name, value) in &resolved.variables {
        add(name.as_bytes());
        add(&[u8::from(value.is_some())]);
        add(value.as_deref().unwrap_or_default().as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn resolve(
    documents: &[Document<'_>],
    schemas: &Schemas,
    variables: &Variables,
    folder: &Path,
    faults: &mut Faults,
) -> Resolved {
    let tables: Vec<_> = documents.iter().map(Document::table).collect();
    let kinds: BTreeMap<&str, &str> = tables
        .iter()
        .filter_map(|table| table.get("layers")?.get_ref().as_table())
        .flatten()
        .filter_map(|(name, layer)| {
            let kind = layer.get_ref().as_table()?.get("kind")?.get_ref().as_str()?;
            Some((name.get_ref().as_ref(), kind))
        })
        .collect();
    let settings = |layer: &str| kinds.get(layer).and_then(|kind| schemas.kind(kind));
    let file_schema = file_schema();
    let mut resolver = Resolver { schemas, variables, folder, faults, resolved: Resolved::default() };
    for (key, value) in
        tables.iter().copied().flatten().filter(|(key, _)| TABLES.contains(&key.get_ref().as_ref()))
    {
        let schema = schemas.property(&file_schema, key.get_ref());
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("include", _) => {}
            ("layers", DeValue::Table(layers)) => {
                for (name, layer) in layers {
                    if let Some(table) = layer.get_ref().as_table() {
                        resolver.table(table, settings(name.get_ref()));
                    }
                }
            }
            ("routes", DeValue::Array(entries)) => {
                let items = schema.and_then(|schema| schemas.accepts(schema).items);
                entries.iter().for_each(|entry| entry_values(&mut resolver, entry, items, &settings));
            }
            ("fallback", _) => entry_values(&mut resolver, value, schema, &settings),
            _ => resolver.value(value, schema),
        }
    }
    resolver.resolved
}

/// Resolves what stands in a route's entry, what it overrides by the settings of the layer.
fn entry_values<'s>(
    resolver: &mut Resolver<'s>,
    entry: &Spanned<DeValue<'_>>,
    schema: Option<&'s serde_json::Value>,
    settings: &impl Fn(&str) -> Option<&'s serde_json::Value>,
) {
    let schemas = resolver.schemas;
    for (key, value) in entry.get_ref().as_table().into_iter().flatten() {
        match value.get_ref() {
            DeValue::Table(layers) if key.get_ref() == "override" => {
                for (layer, changes) in layers {
                    if let Some(changes) = changes.get_ref().as_table() {
                        resolver.table(changes, settings(layer.get_ref()));
                    }
                }
            }
            _ => resolver.value(value, schema.and_then(|schema| schemas.property(schema, key.get_ref()))),
        }
    }
}

fn lower<'a>(documents: Vec<Document<'a>>, lowering: &'a Lowering<'_>, faults: &mut Faults) -> Option<Plan> {
    let start = documents.first().map(Document::start).unwrap_or_default();
    let tables: Vec<_> =
        documents.into_iter().map(|document| lowering.resolved.substitute(document.into_table())).collect();
    version(&tables, start.clone(), faults);
    let merged = Merged::new(&tables, faults);
    let mut layers = Layers::read(&merged, lowering, faults);
    let chains = chains::read(&merged, &layers, faults);
    let covered = routes::read(&merged, &chains, &mut layers, lowering, start, faults);
    let aliases = aliases::read(&merged, lowering, faults);
    let fallback = covered.fallback?;
    let declared = routes::declared(&chains, &layers);
    proof::prove(lowering.specs, &covered.routes, &fallback, &declared, &layers.instances, faults);
    let tests = cases::read(&merged, lowering, &aliases, &covered.routes, &fallback, &layers, faults);
    if !faults.has_errors() {
        chains::warn_unused(&merged, faults);
    }
    let mut plan = Plan {
        instances: layers.instances,
        routes: covered.routes,
        fallback,
        aliases,
        tests,
        specs: lowering.specs.to_vec(),
    };
    plan.keep_what_runs();
    Some(plan)
}

fn version(tables: &[DeTable<'_>], start: Range<usize>, faults: &mut Faults) {
    for (index, table) in tables.iter().enumerate() {
        match table.get("version") {
            None if index == 0 => {
                let fault =
                    Diagnostic::error("version", &faults.at(start.clone()), "the file has no `version`");
                faults.push(fault.help("begin it with `version = 1`"));
            }
            None => {}
            Some(version) => {
                let number = version.get_ref().as_integer().filter(|number| number.radix() == 10);
                if number.is_none_or(|number| number.as_str() != "1") && !faults.is_unresolved(version) {
                    let location = faults.at(version.span());
                    let fault = Diagnostic::error("version", &location, "this version is not known");
                    faults.push(fault.help("this program reads `version = 1`"));
                }
            }
        }
    }
}

// === impl Handler ===

impl<'c> Handler<'c> {
    fn new(spec: &'c RouteSpec) -> Self {
        Self { spec, pattern: Pattern::of_handler(spec.path) }
    }
}

// === impl Merged ===

impl<'t, 'a> Merged<'t, 'a> {
    fn new(tables: &'t [DeTable<'a>], faults: &mut Faults) -> Self {
        let mut merged = Self {
            layers: BTreeMap::new(),
            chains: BTreeMap::new(),
            routes: Vec::new(),
            fallback: None,
            aliases: Vec::new(),
            tests: Vec::new(),
        };
        for (index, table) in tables.iter().enumerate() {
            for (key, value) in table {
                match key.get_ref().as_ref() {
                    "version" => {}
                    "include" if index == 0 => {}
                    "include" => {
                        faults.error("include", key.span(), "a file that is included includes no others");
                    }
                    "layers" => merge("a layer", &mut merged.layers, value, faults),
                    "chains" => merge("a chain", &mut merged.chains, value, faults),
                    "routes" => merged.routes.extend(entries(value, "`routes`", faults)),
                    "aliases" => merged.aliases.extend(entries(value, "`aliases`", faults)),
                    "tests" => merged.tests.extend(entries(value, "`tests`", faults)),
                    "fallback" => match merged.fallback {
                        None => merged.fallback = Some(value),
                        Some(first) => {
                            let location = faults.at(value.span());
                            let fault =
                                Diagnostic::error("duplicate-name", &location, "there is one `[fallback]`");
                            faults.push(fault.related(&faults.at(first.span()), "the first one"));
                        }
                    },
                    free if free.starts_with("x-") => {}
                    unknown => {
                        let fault = Diagnostic::error(
                            "unknown-key",
                            &faults.at(key.span()),
                            format!("a pipeline has no `{unknown}`"),
                        );
                        let help = did_you_mean(unknown, TABLES).unwrap_or_else(|| {
                            format!("it has {}; a name that begins with `x-` is free", listed(&TABLES))
                        });
                        faults.push(fault.help(help));
                    }
                }
            }
        }
        merged
    }
}

/// Adds the names of one file to those of the others.
fn merge<'t, 'a>(
    what: &str,
    names: &mut BTreeMap<&'t str, Named<'t, 'a>>,
    value: &'t Spanned<DeValue<'a>>,
    faults: &mut Faults,
) {
    for (key, value) in fields::table(value, "this", faults).into_iter().flatten() {
        let name = key.get_ref().as_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
            let message = format!("`{name}` cannot be the name of {what}");
            let fault = Diagnostic::error("invalid-name", &faults.at(key.span()), message);
            faults.push(
                fault.help("a name has letters, digits, `-` and `_`, and begins with a letter or a digit"),
            );
        }
        match names.get(name) {
            None => {
                names.insert(name, Named { name: key.span(), value });
            }
            Some(first) => {
                let message = format!("`{name}` is defined twice");
                let fault = Diagnostic::error("duplicate-name", &faults.at(key.span()), message);
                faults.push(fault.related(&faults.at(first.name.clone()), "the first one"));
            }
        }
    }
}

fn entries<'t, 'a>(
    value: &'t Spanned<DeValue<'a>>,
    what: &str,
    faults: &mut Faults,
) -> Vec<&'t Spanned<DeValue<'a>>> {
    match value.get_ref().as_array() {
        Some(array) => array.iter().collect(),
        None => {
            fields::wrong_type(value, what, "a list of tables", faults);
            Vec::new()
        }
    }
}
