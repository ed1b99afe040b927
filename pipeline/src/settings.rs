//! A host's own settings file: the same values, places and diagnostics as a pipeline's.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    Report, Variables,
    diagnostic::{Diagnostic, did_you_mean},
    document::{self, Document, Faults},
    schema::Schemas,
    value::{Resolved, Resolver},
};

/// Settings that were read.
#[derive(Clone, Debug)]
pub struct Settings<T> {
    /// The settings themselves.
    pub values: T,
    /// The files they come from: the settings file and those its values name.
    pub sources: Vec<PathBuf>,
}

/// A value that a variable sets whatever the file says: `{ env = "…" }` in its place.
struct Override {
    section: String,
    key: String,
    toml: String,
}

/// Reads a settings file of one level of sections. A variable `<prefix><SECTION>__<KEY>` sets a value whatever the file
/// says; one whose section and key are unknown is a fault, as a misspelt key in the file is.
///
/// # Errors
/// All faults at once.
pub fn read_settings<T: DeserializeOwned + JsonSchema>(
    path: &Path,
    prefix: &str,
    set: &[String],
    variables: &Variables,
) -> Result<Settings<T>, Report> {
    let mut faults = Faults::default();
    let settings = read(path, prefix, set, variables, &mut faults);
    match settings {
        Some(settings) if !faults.has_errors() => Ok(settings),
        _ => Err(Report { diagnostics: faults.finish().0 }),
    }
}

fn read<T: DeserializeOwned + JsonSchema>(
    path: &Path,
    prefix: &str,
    set: &[String],
    variables: &Variables,
    faults: &mut Faults,
) -> Option<Settings<T>> {
    let (schemas, schema) = Schemas::of::<T>();
    let bytes = document::read_main(path, faults)?;
    let document = Document::new(path, &bytes, &schemas, faults)?;
    let overrides = overrides(prefix, set, &schemas, &schema, &document, faults);
    let mut table = document.table();
    // Each stands at a place of its own behind the file's end, since values are known by their places.
    for (index, value) in overrides.iter().enumerate() {
        put(&mut table, value, document.end() + index);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let resolved = Resolved::default();
    let mut resolver = Resolver { schemas: &schemas, variables, folder, faults, resolved };
    resolver.table(&table, Some(&schema));
    let resolved = resolver.resolved;
    if faults.has_errors() {
        return None;
    }
    let root = Spanned::new(document.start(), resolved.substitute(table));
    let values = T::deserialize(root.into_deserializer())
        .map_err(|error| refuse(&error, &document, &schemas, &schema, faults))
        .ok()?;
    let files = resolved.files.into_iter().map(|(path, _)| path);
    Some(Settings { values, sources: std::iter::once(path.to_owned()).chain(files).collect() })
}

fn refuse(
    error: &toml::de::Error,
    document: &Document,
    schemas: &Schemas,
    schema: &Value,
    faults: &mut Faults,
) {
    let span: Range<usize> = error.span().unwrap_or_else(|| document.start());
    let diagnostic = Diagnostic::error("settings", &faults.at(span), error.message());
    let unknown = error.message().strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let names = names(schemas, schema);
    let known =
        names.iter().map(|(_, key)| key.as_str()).chain(names.iter().map(|(section, _)| section.as_str()));
    faults.push(diagnostic.help_if(unknown.and_then(|unknown| did_you_mean(unknown, known))));
}

/// All (section, key) pairs; a key outside a section has an empty one.
fn names(schemas: &Schemas, schema: &Value) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for section in schemas.keys_of(schema) {
        let Some(inner) = schemas.property(schema, &section) else { continue };
        let keys = schemas.keys_of(inner);
        if keys.is_empty() {
            names.push((String::new(), section));
        } else {
            names.extend(keys.into_iter().map(|key| (section.clone(), key)));
        }
    }
    names
}

fn overrides(
    prefix: &str,
    set: &[String],
    schemas: &Schemas,
    schema: &Value,
    document: &Document,
    faults: &mut Faults,
) -> Vec<Override> {
    let known: Vec<(String, (String, String))> = names(schemas, schema)
        .into_iter()
        .map(|(section, key)| {
            let joined = if section.is_empty() { key.clone() } else { format!("{section}__{key}") };
            (format!("{prefix}{}", joined.to_uppercase()), (section, key))
        })
        .collect();
    let mut overrides = Vec::new();
    for variable in set {
        match known.iter().find(|(name, _)| name == variable) {
            Some((_, (section, key))) => overrides.push(Override {
                section: section.clone(),
                key: key.clone(),
                toml: format!("{{ env = \"{variable}\" }}"),
            }),
            None => {
                let message = format!("the environment variable `{variable}` is no setting");
                let location = faults.at(document.start());
                let help = did_you_mean(variable, known.iter().map(|(name, _)| name.as_str()));
                faults.push(Diagnostic::error("unknown-variable", &location, message).help_if(help));
            }
        }
    }
    overrides
}

/// Puts a value over what the file says.
fn put<'a>(table: &mut DeTable<'a>, value: &'a Override, place: usize) {
    let Ok(parsed) = DeValue::parse(&value.toml) else { return };
    let parsed = Spanned::new(place..place, parsed.into_inner());
    let key = Spanned::new(place..place, value.key.as_str().into());
    if value.section.is_empty() {
        table.insert(key, parsed);
        return;
    }
    if !table.contains_key(value.section.as_str()) {
        let section = Spanned::new(place..place, value.section.as_str().into());
        table.insert(section, Spanned::new(place..place, DeValue::Table(DeTable::new())));
    }
    if let Some(DeValue::Table(section)) = table.get_mut(value.section.as_str()).map(Spanned::get_mut) {
        section.insert(key, parsed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        server: Server,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Server {
        port: u16,
        #[serde(default)]
        hosts: Vec<String>,
        #[serde(default)]
        quiet: bool,
    }

    fn example(text: &str, variables: &[(&str, &str)]) -> Result<Example, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.toml");
        std::fs::write(&path, text).unwrap();
        let values: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let set: Vec<String> = values.keys().filter(|name| name.starts_with("APP_")).cloned().collect();
        let lookup: Variables = Arc::new(move |name| values.get(name).cloned());
        read_settings::<Example>(&path, "APP_", &set, &lookup).map(|settings| settings.values).map_err(
            |report| {
                let lines = report.diagnostics.iter().map(|found| {
                    format!(
                        "{}:{} {} {}",
                        found.line,
                        found.column,
                        found.message,
                        found.help.as_deref().unwrap_or("")
                    )
                });
                lines.collect::<Vec<_>>().join("\n")
            },
        )
    }

    const GOOD: &str = "name = \"a\"\n[server]\nport = { env = \"PORT\", default = 80 }\n";

    #[test]
    fn values_come_from_the_file_from_variables_it_names_and_from_overrides() {
        let read = example(GOOD, &[]).unwrap();
        assert_eq!((read.name.as_str(), read.server.port), ("a", 80));
        assert_eq!(example(GOOD, &[("PORT", "81")]).unwrap().server.port, 81);
        let read = example(GOOD, &[("PORT", "81"), ("APP_SERVER__PORT", "82"), ("APP_NAME", "b")]).unwrap();
        assert_eq!((read.name.as_str(), read.server.port), ("b", 82));
        let read = example(GOOD, &[("APP_SERVER__HOSTS", "x, y"), ("APP_SERVER__QUIET", "true")]).unwrap();
        assert_eq!((read.server.hosts, read.server.quiet), (vec!["x".to_owned(), "y".to_owned()], true));
    }

    #[test]
    fn a_section_that_the_file_lacks_can_come_from_overrides() {
        assert_eq!(example("name = \"a\"", &[("APP_SERVER__PORT", "82")]).unwrap().server.port, 82);
    }

    #[test]
    fn what_is_unknown_is_refused_with_a_hint() {
        let said = example("name = \"a\"\n[server]\nprot = 80\n", &[]).unwrap_err();
        assert!(said.starts_with("3:1 ") && said.contains("port"), "{said}");
        let said = example(GOOD, &[("APP_SERVER__PROT", "82")]).unwrap_err();
        assert!(said.contains("APP_SERVER__PROT") && said.contains("APP_SERVER__PORT"), "{said}");
    }

    #[test]
    fn a_bad_value_of_a_variable_is_named_and_not_shown() {
        let said = example(GOOD, &[("APP_SERVER__PORT", "hunter2")]).unwrap_err();
        assert!(said.contains("APP_SERVER__PORT") && !said.contains("hunter2"), "{said}");
    }
}
