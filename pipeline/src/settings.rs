//! A host's own settings file: the same values, places and diagnostics as a pipeline's.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    Report, Variables,
    diagnostic::{Diagnostic, Severity, did_you_mean},
    document::{self, Document, Faults},
    schema::Schemas,
    value::{FILE_SUFFIX, Resolved, Resolver},
};

/// Settings that were read.
#[derive(Clone, Debug)]
pub struct Settings<T> {
    /// The settings themselves.
    pub values: T,
    /// The files they come from: the settings file and those its values name.
    pub sources: Vec<PathBuf>,
    /// What is doubtful about them.
    pub warnings: Report,
}

/// What a host has to say about a value whose type is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The setting: `server.listen`.
    pub setting: String,
    /// Whether it stops the settings.
    pub severity: Severity,
    /// What is wrong, to be read after the setting's name: "`x` is no address".
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What is read from, beside the file.
#[derive(Clone, Copy)]
pub struct SettingsEnvironment<'e> {
    /// What the names of variables begin with that set a value whatever the file says.
    pub prefix: &'e str,
    /// All variables there are, by name.
    pub names: &'e [String],
    /// How they are looked up.
    pub variables: &'e Variables,
}

/// A value that a variable sets whatever the file says: `{ env = "…" }` in its place.
struct Override {
    section: String,
    key: String,
    toml: String,
    place: Range<usize>,
}

/// A setting's name; one outside a section has an empty section.
type Name = (String, String);

/// Reads a settings file of one level of sections. A variable `<prefix><SECTION>__<KEY>` sets a value whatever the file
/// says, and `<prefix><SECTION>__<KEY>_FILE` names a file with it; one whose section and key are unknown is a fault, as a
/// misspelt key in the file is. `check` is asked once all values are of their types.
///
/// # Errors
/// All faults at once.
pub fn read_settings<T: DeserializeOwned + JsonSchema>(
    path: &Path,
    environment: SettingsEnvironment<'_>,
    check: impl FnOnce(&T) -> Vec<Finding>,
) -> Result<Settings<T>, Report> {
    let mut faults = Faults::default();
    let settings = read(path, environment, check, &mut faults);
    let failed = faults.has_errors();
    let found = Report::from(faults.finish().0);
    match settings {
        Some((values, sources)) if !failed => Ok(Settings { values, sources, warnings: found }),
        _ => Err(found),
    }
}

fn read<T: DeserializeOwned + JsonSchema>(
    path: &Path,
    environment: SettingsEnvironment<'_>,
    check: impl FnOnce(&T) -> Vec<Finding>,
    faults: &mut Faults,
) -> Option<(T, Vec<PathBuf>)> {
    let schemas = Schemas::of::<T>();
    let bytes = document::read_main(path, faults)?;
    let document = Document::new(path, &bytes, &schemas, faults)?;
    let known = names(&schemas);
    let overrides = overrides(environment, &known, faults);
    let table = || {
        let mut table = document.table().clone();
        overrides.iter().for_each(|value| put(&mut table, value));
        table
    };
    let written = table();
    let folder = path.parent().unwrap_or(Path::new(""));
    let (variables, resolved) = (environment.variables, Resolved::default());
    let mut resolver = Resolver { schemas: &schemas, variables, folder, faults, resolved };
    resolver.table(&written, schemas.root());
    let resolved = resolver.resolved;
    let mut refused: Vec<Name> = Vec::new();
    // What is refused is left out of the next attempt, so that one fault does not hide the others.
    let values = loop {
        let mut table = table();
        refused.iter().for_each(|name| take_out(&mut table, name));
        let root = Spanned::new(document.start(), resolved.substitute(table));
        let error = match T::deserialize(root.into_deserializer()) {
            Ok(values) => break values,
            Err(error) => error,
        };
        let place = error.span().unwrap_or_else(|| document.start());
        // What is missing has no place; it may be missing because it was refused.
        let is_missing = error.message().starts_with("missing field");
        let name = (!is_missing).then(|| name_at(&written, place.start, &known)).flatten();
        // What could not be resolved has been said.
        let follows = !refused.is_empty() && name.is_none();
        if !follows && !faults.unresolved.contains(&place.start) {
            refuse(&error, place, name.as_ref(), &resolved, &schemas, faults);
        }
        refused.push(name.filter(|name| !refused.contains(name))?);
    };
    if !faults.has_errors() {
        for finding in check(&values) {
            say(finding, &written, &resolved, document.start(), faults);
        }
    }
    let files = resolved.files.into_iter().map(|(path, _)| path);
    Some((values, std::iter::once(path.to_owned()).chain(files).collect()))
}

/// Says what the type of a setting does not take.
fn refuse(
    error: &toml::de::Error,
    place: Range<usize>,
    name: Option<&Name>,
    resolved: &Resolved,
    schemas: &Schemas,
    faults: &mut Faults,
) {
    let location = faults.at(place.clone());
    let Some(name) = name else {
        faults.push(Diagnostic::error("settings", &location, error.message()));
        return;
    };
    let known = names(schemas);
    if !known.contains(name) && !known.iter().any(|(section, _)| name.0.is_empty() && *section == name.1) {
        let message = format!("there is no setting `{}`", dotted(name));
        let unknown = Diagnostic::error("unknown-setting", &location, message);
        faults.push(unknown.help_if(meant(name, &known)));
        return;
    }
    let origin = origin(resolved, place.start);
    let message = format!("`{}`: {}{origin}", dotted(name), error.message());
    let help = property(schemas, name).and_then(|schema| schemas.remedy(schema));
    faults.push(Diagnostic::error("settings", &location, message).help_if(help));
}

/// Says what the host finds wrong with a setting, where its value comes from.
fn say(
    finding: Finding,
    written: &DeTable<'_>,
    resolved: &Resolved,
    otherwise: Range<usize>,
    faults: &mut Faults,
) {
    let (section, key) = finding.setting.split_once('.').unwrap_or(("", &finding.setting));
    let place = value_of(written, section, key).map_or(otherwise, Spanned::span);
    let message = format!("`{}`: {}{}", finding.setting, finding.message, origin(resolved, place.start));
    let location = faults.at(place);
    let diagnostic = match finding.severity {
        Severity::Error => Diagnostic::error("settings", &location, message),
        Severity::Warning => Diagnostic::warning("settings", &location, message),
    };
    faults.push(diagnostic.help_if(finding.help));
}

/// What gave a value, as an addition to what is said of it.
fn origin(resolved: &Resolved, start: usize) -> String {
    resolved.origin(start).map(|origin| format!(" ({origin})")).unwrap_or_default()
}

fn dotted((section, key): &Name) -> String {
    if section.is_empty() { key.clone() } else { format!("{section}.{key}") }
}

/// The setting that an unknown name was probably meant to be.
fn meant(name: &Name, known: &[Name]) -> Option<String> {
    let (section, key) = name;
    let beside = known.iter().filter(|(of, _)| of == section).map(|(_, key)| key.as_str());
    let sections: BTreeSet<&str> = known.iter().map(|(section, _)| section.as_str()).collect();
    let sections = sections.into_iter().filter(|_| section.is_empty());
    did_you_mean(key, beside.chain(sections)).or_else(|| {
        let elsewhere = known.iter().find(|(_, known)| known == key)?;
        Some(format!("did you mean `{}`?", dotted(elsewhere)))
    })
}

/// All settings.
fn names(schemas: &Schemas) -> Vec<Name> {
    let mut names = Vec::new();
    let Some(schema) = schemas.root() else { return names };
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

fn property<'s>(schemas: &'s Schemas, (section, key): &Name) -> Option<&'s serde_json::Value> {
    let root = schemas.root()?;
    let of = if section.is_empty() { root } else { schemas.property(root, section)? };
    schemas.property(of, key)
}

/// The values that variables set. They stand in a text of their own, a line for each variable.
fn overrides(environment: SettingsEnvironment<'_>, known: &[Name], faults: &mut Faults) -> Vec<Override> {
    let SettingsEnvironment { prefix, names, .. } = environment;
    let known: Vec<(String, &Name)> = known
        .iter()
        .map(|name| (format!("{prefix}{}", dotted(name).replace('.', "__").to_uppercase()), name))
        .collect();
    let set: BTreeSet<&str> =
        names.iter().map(String::as_str).filter(|name| name.starts_with(prefix)).collect();
    if set.is_empty() {
        return Vec::new();
    }
    let mut text = String::new();
    let mut lines = Vec::new();
    for variable in set {
        lines.push((variable, text.len()..text.len() + variable.len()));
        text.push_str(variable);
        text.push('\n');
    }
    let base = faults.add_source(Path::new("environment"), text);
    let mut overrides: Vec<Override> = Vec::new();
    for (variable, line) in lines {
        let place = line.start + base..line.end + base;
        let find = |variable: &str| known.iter().find(|(name, _)| name == variable);
        let naming_a_file = || variable.strip_suffix(FILE_SUFFIX).and_then(find);
        match find(variable).or_else(naming_a_file) {
            // Both of a variable and the one that names a file are looked up for one value.
            Some((_, (section, key)))
                if overrides.iter().any(|other| (&other.section, &other.key) == (section, key)) => {}
            Some((variable, (section, key))) => overrides.push(Override {
                section: section.clone(),
                key: key.clone(),
                toml: format!("{{ env = \"{variable}\" }}"),
                place,
            }),
            None => unknown(variable, place, &known, faults),
        }
    }
    overrides
}

/// A variable that is no setting. Without the two underscores it may be somebody else's, as those that an orchestrator
/// makes for a service of the same name are: then it is only a doubt, where it is close to a setting's.
fn unknown(variable: &str, place: Range<usize>, known: &[(String, &Name)], faults: &mut Faults) {
    let location = faults.at(place);
    let message = format!("the environment variable `{variable}` is no setting");
    let help = did_you_mean(variable, known.iter().map(|(name, _)| name.as_str()));
    if variable.contains("__") {
        faults.push(Diagnostic::error("unknown-variable", &location, message).help_if(help));
    } else if let Some(help) = help {
        faults.push(Diagnostic::warning("unknown-variable", &location, message).help(help));
    }
}

fn value_of<'t, 'a>(table: &'t DeTable<'a>, section: &str, key: &str) -> Option<&'t Spanned<DeValue<'a>>> {
    match section {
        "" => table.get(key),
        section => table.get(section)?.get_ref().as_table()?.get(key),
    }
}

/// The setting in whose key or value a byte stands.
fn name_at(table: &DeTable<'_>, byte: usize, known: &[Name]) -> Option<Name> {
    let covers = |key: &Spanned<_>, value: &Spanned<DeValue<'_>>| {
        let (key, value): (Range<usize>, _) = (Spanned::span(key), value.span());
        key.contains(&byte) || value.contains(&byte)
    };
    for (key, value) in table {
        let section = value.get_ref().as_table();
        let section = section.filter(|_| known.iter().any(|(section, _)| section == key.get_ref()));
        for (inner, value) in section.into_iter().flatten() {
            if covers(inner, value) {
                return Some((key.get_ref().to_string(), inner.get_ref().to_string()));
            }
        }
        if covers(key, value) {
            return Some((String::new(), key.get_ref().to_string()));
        }
    }
    None
}

fn take_out(table: &mut DeTable<'_>, (section, key): &Name) {
    if section.is_empty() {
        table.remove(key.as_str());
    } else if let Some(DeValue::Table(section)) = table.get_mut(section.as_str()).map(Spanned::get_mut) {
        section.remove(key.as_str());
    }
}

/// Puts a value over what the file says.
fn put<'a>(table: &mut DeTable<'a>, value: &'a Override) {
    let Ok(parsed) = DeValue::parse(&value.toml) else { return };
    let at = || value.place.clone();
    let parsed = Spanned::new(at(), parsed.into_inner());
    let key = Spanned::new(at(), value.key.as_str().into());
    if value.section.is_empty() {
        table.insert(key, parsed);
        return;
    }
    if !table.contains_key(value.section.as_str()) {
        // Not where the value begins, which would make the table the reference that stands there.
        let at = || value.place.end..value.place.end;
        let section = Spanned::new(at(), value.section.as_str().into());
        table.insert(section, Spanned::new(at(), DeValue::Table(DeTable::new())));
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
        let names: Vec<String> = values.keys().cloned().collect();
        let variables: Variables = Arc::new(move |name| values.get(name).cloned());
        let environment = SettingsEnvironment { prefix: "APP_", names: &names, variables: &variables };
        read_settings::<Example>(&path, environment, |_| Vec::new()).map(|settings| settings.values).map_err(
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
    fn a_setting_that_is_missing_is_named_and_one_that_is_refused_is_not_missing_too() {
        assert!(example("name = \"a\"", &[]).unwrap_err().contains("missing field `server`"));
        let said = example("name = 5\n[server]\nport = \"x\"\nquiet = 1\n", &[]).unwrap_err();
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(
            ["`name`", "`server.port`", "`server.quiet`"].iter().all(|name| said.contains(name)),
            "{said}"
        );
    }

    #[test]
    fn a_value_may_come_from_a_file_that_a_variable_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        let named = path.to_str().unwrap();
        let said = example(GOOD, &[("PORT_FILE", named)]).unwrap_err();
        assert!(said.contains("`PORT_FILE` names cannot be read") && !said.contains(named), "{said}");
        std::fs::write(&path, "81\r\n").unwrap();
        assert_eq!(example(GOOD, &[("PORT_FILE", named)]).unwrap().server.port, 81);
        assert_eq!(
            example(GOOD, &[("PORT_FILE", named), ("APP_SERVER__PORT", "82")]).unwrap().server.port,
            82
        );
        assert_eq!(example(GOOD, &[("APP_SERVER__PORT_FILE", named)]).unwrap().server.port, 81);
        assert_eq!(example(GOOD, &[("PORT_FILE", "")]).unwrap().server.port, 80, "as good as none");
        let said = example(GOOD, &[("PORT_FILE", named), ("PORT", "5")]).unwrap_err();
        assert!(said.contains("`PORT` and `PORT_FILE` are both set"), "{said}");
        for (text, wanted) in [("\n", "is empty"), ("hunter2", "does not hold a whole number")] {
            std::fs::write(&path, text).unwrap();
            let said = example(GOOD, &[("PORT_FILE", named)]).unwrap_err();
            assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_bad_value_of_a_variable_is_named_and_not_shown() {
        let said = example(GOOD, &[("APP_SERVER__PORT", "hunter2")]).unwrap_err();
        assert!(said.contains("APP_SERVER__PORT") && !said.contains("hunter2"), "{said}");
    }
}
