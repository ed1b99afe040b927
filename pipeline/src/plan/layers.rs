//! Layers with their settings, as declared and as routes override them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use flagstone_layers::kernel::{Finding, Parsed, Registered};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    PlannedInstance,
    lower::{Lowering, Merged},
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Faults,
    fields::{listed, table, wrong_type},
    secret::Secrets,
};

/// The most faults in one layer's settings that are looked for.
const MOST_FAULTS: usize = 32;

/// Declared layers, and the instances made of them.
pub(super) struct Layers<'t, 'a> {
    pub(super) declared: BTreeMap<&'t str, Declared<'t, 'a>>,
    pub(super) instances: Vec<PlannedInstance>,
}

pub(super) struct Declared<'t, 'a> {
    table: Option<&'t DeTable<'a>>,
    kind: Option<Registered>,
    /// Its instance; `None` where its settings are at fault.
    pub(super) instance: Option<usize>,
    findings: Vec<Finding>,
}

/// Settings that were read.
struct Settings {
    parsed: Arc<dyn Parsed>,
    observe: bool,
    findings: Vec<Finding>,
}

/// A layer as it is read.
struct Layer<'c, 'a> {
    name: &'c str,
    kind: Registered,
    table: DeTable<'a>,
    span: Range<usize>,
}

// === impl Layers ===

impl<'t, 'a> Layers<'t, 'a> {
    pub(super) fn read(merged: &Merged<'t, 'a>, lowering: &Lowering<'_>, faults: &mut Faults) -> Self {
        let mut layers = Self { declared: BTreeMap::new(), instances: Vec::new() };
        for (name, named) in &merged.layers {
            let table = table(named.value, &format!("`{name}`"), faults);
            let kind = table.and_then(|table| kind(name, named.value, table, lowering, faults));
            let mut declared = Declared { table, kind, instance: None, findings: Vec::new() };
            if let (Some(table), Some(kind)) = (table, kind) {
                let mut table = table.clone();
                table.remove("kind");
                let layer = Layer { name, kind, table, span: named.value.span() };
                let places = layer.places(faults);
                if let Some(settings) = layer.read(&[], lowering, faults) {
                    declared.findings = settings.findings;
                    declared.instance = Some(layers.instances.len());
                    let name: Arc<str> = (*name).into();
                    layers.instances.push(PlannedInstance {
                        name: name.clone(),
                        layer: name,
                        kind: kind.kind,
                        order: settings.parsed.order(),
                        settings: settings.parsed,
                        observe: settings.observe,
                        declared: faults.at(named.name.clone()),
                        derived: None,
                        places,
                        secrets: Secrets::default(),
                    });
                }
            }
            layers.declared.insert(name, declared);
        }
        layers
    }

    /// The instance of a layer with some settings of an entry's own. `None` where they are at fault.
    pub(super) fn derive(
        &mut self,
        layer: &str,
        entry: &str,
        changes: &Spanned<DeValue<'a>>,
        lowering: &Lowering<'_>,
        faults: &mut Faults,
    ) -> Option<usize> {
        let changed = table(changes, &format!("`override.{layer}`"), faults)?;
        let declared = self.declared.get(layer)?;
        let (kind, base) = (declared.kind?, self.instances.get(declared.instance?)?);
        let mut table = declared.table?.clone();
        table.remove("kind");
        let mut sound = true;
        for (key, value) in changed {
            if key.get_ref() == "kind" {
                faults.error("override", key.span(), "an override keeps the layer's kind");
                sound = false;
            } else {
                table.remove(key.get_ref().as_ref());
                table.insert(key.clone(), value.clone());
            }
        }
        let layer = Layer { name: layer, kind, table, span: changes.span() };
        let places = layer.places(faults);
        let settings = layer.read(&declared.findings, lowering, faults).filter(|_| sound)?;
        let instance = PlannedInstance {
            name: format!("{}@{entry}", base.name).into(),
            layer: base.layer.clone(),
            kind: kind.kind,
            order: settings.parsed.order(),
            settings: settings.parsed,
            observe: settings.observe,
            declared: base.declared.clone(),
            derived: Some(faults.at(changes.span())),
            places,
            secrets: Secrets::default(),
        };
        self.instances.push(instance);
        Some(self.instances.len() - 1)
    }
}

fn kind(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) -> Option<Registered> {
    let Some(kind) = table.get("kind") else {
        faults.error("missing-key", value.span(), format!("layer `{name}` needs a `kind`"));
        return None;
    };
    let Some(text) = kind.get_ref().as_str() else {
        wrong_type(kind, "`kind`", "a text", faults);
        return None;
    };
    let known = lowering.registry.get(text).copied();
    if known.is_none() {
        let location = faults.at(kind.span());
        let fault =
            Diagnostic::error("unknown-kind", &location, format!("there is no kind of layer `{text}`"));
        let kinds: Vec<_> = lowering.registry.iter().map(|layer| layer.kind).collect();
        let help = did_you_mean(text, kinds.iter().copied());
        faults.push(fault.help(help.unwrap_or_else(|| format!("there are {}", listed(&kinds)))));
    }
    known
}

// === impl Layer ===

impl<'a> Layer<'_, 'a> {
    fn places(&self, faults: &Faults) -> Vec<(String, crate::diagnostic::Location)> {
        self.table.iter().map(|(key, value)| (key.get_ref().to_string(), faults.at(value.span()))).collect()
    }

    /// Reads and checks the settings. What was found of the layer before, it is not said again.
    fn read(mut self, before: &[Finding], lowering: &Lowering<'_>, faults: &mut Faults) -> Option<Settings> {
        let places = self.table.clone();
        let mode = self.table.remove_entry("mode");
        let observe = match &mode {
            None => Some(false),
            Some((_, value)) => match value.get_ref().as_str() {
                Some("enforce") => Some(false),
                Some("observe") => Some(true),
                _ if faults.is_unresolved(value) => None,
                _ => {
                    faults.error("invalid-value", value.span(), "`mode` is `enforce` or `observe`");
                    None
                }
            },
        };
        let parsed: Arc<dyn Parsed> = self.parse(lowering, faults)?.into();
        let observe = observe?;
        if let Some((key, _)) = mode.filter(|_| !parsed.order().refuses) {
            let message = format!("`{}` refuses nothing, so it has no `mode`", self.name);
            let fault = Diagnostic::error("mode", &faults.at(key.span()), message);
            faults.push(fault.help("remove it"));
        }
        let findings = parsed.check();
        for finding in findings.iter().filter(|finding| !before.contains(finding)) {
            let at = finding.key.and_then(|key| places.get(key)).map_or(self.span.clone(), Spanned::span);
            let location = faults.at(at);
            let message = format!("`{}`: {}", self.name, finding.message);
            let fault = match finding.severity {
                flagstone_layers::kernel::Severity::Error => {
                    Diagnostic::error("layer-check", &location, message)
                }
                flagstone_layers::kernel::Severity::Warning => {
                    Diagnostic::warning("layer-check", &location, message)
                }
            };
            faults.push(fault.help_if(finding.help.as_deref()));
        }
        Some(Settings { parsed, observe, findings })
    }

    /// Reads the settings; without those that are at fault, as long as there are such, so that each is found.
    fn parse(&mut self, lowering: &Lowering<'_>, faults: &mut Faults) -> Option<Box<dyn Parsed>> {
        let mut removed: Vec<String> = Vec::new();
        let unresolved: Vec<_> = self
            .table
            .iter()
            .filter(|(_, value)| any_unresolved(value, faults))
            .map(|(key, _)| key.get_ref().to_string())
            .collect();
        for key in unresolved {
            self.table.remove(key.as_str());
            removed.push(key);
        }
        for _ in 0..MOST_FAULTS {
            let table = Spanned::new(self.span.clone(), DeValue::Table(self.table.clone()));
            let error = match (self.kind.parse)(ValueDeserializer::from(table)) {
                Ok(parsed) => return removed.is_empty().then_some(parsed),
                Err(error) => error,
            };
            let missing = quoted(error.message(), "missing field ");
            if missing.is_some_and(|key| removed.iter().any(|gone| gone == key)) {
                return None;
            }
            let key = self.report(&error, lowering, faults)?;
            self.table.remove(key.as_str());
            removed.push(key);
        }
        None
    }

    /// Says what is wrong with the settings. The setting it is about, if it is about one.
    fn report(
        &self,
        error: &toml::de::Error,
        lowering: &Lowering<'_>,
        faults: &mut Faults,
    ) -> Option<String> {
        let (name, kind) = (self.name, self.kind.kind);
        let span = error.span().unwrap_or(self.span.clone());
        let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let entry = self
            .table
            .iter()
            .find(|(key, value)| span != self.span && (within(key.span()) || within(value.span())));
        let location = faults.at(span.clone());
        let Some((key, value)) = entry else {
            let fault = match quoted(error.message(), "missing field ") {
                Some(key) => {
                    let message = format!("layer `{name}` (a `{kind}`) needs `{key}`");
                    Diagnostic::error("missing-key", &location, message)
                }
                None => {
                    Diagnostic::error("invalid-value", &location, format!("`{name}`: {}", error.message()))
                }
            };
            faults.push(fault);
            return None;
        };
        let setting = key.get_ref().to_string();
        let resolved = lowering.resolved;
        let origin = resolved.origin(span.start).or_else(|| resolved.origin(value.span().start));
        let fault = if let Some(unknown) = quoted(error.message(), "unknown field ") {
            let fault = if unknown == setting {
                let message = format!("a `{kind}` has no setting `{unknown}`");
                let meant = did_you_mean(unknown, lowering.schemas.settings(kind));
                Diagnostic::error("unknown-key", &location, message).help_if(meant)
            } else {
                let message = format!("`{setting}` has no `{unknown}`");
                Diagnostic::error("unknown-key", &location, message)
            };
            match expected(error.message()) {
                Some(expected) if fault.help.is_none() => fault.help(format!("expected {expected}")),
                _ => fault,
            }
        } else if let Some(origin) = origin {
            // What it holds is not shown, and the layer's own words may hold it.
            let message = format!("`{setting}` of `{name}` does not take what {origin} holds");
            Diagnostic::error("invalid-value", &location, message)
        } else {
            let message = format!("`{setting}` of `{name}`: {}", plainly(error.message()));
            Diagnostic::error("invalid-value", &location, message)
        };
        faults.push(fault);
        Some(setting)
    }
}

fn any_unresolved(value: &Spanned<DeValue<'_>>, faults: &Faults) -> bool {
    faults.is_unresolved(value)
        || match value.get_ref() {
            DeValue::Table(table) => table.iter().any(|(_, value)| any_unresolved(value, faults)),
            DeValue::Array(array) => array.iter().any(|value| any_unresolved(value, faults)),
            _ => false,
        }
}

/// The name in backquotes that follows a beginning.
fn quoted<'m>(message: &'m str, beginning: &str) -> Option<&'m str> {
    message.strip_prefix(beginning)?.strip_prefix('`')?.split_once('`').map(|(name, _)| name)
}

/// A message without the names that Rust has for types.
fn plainly(message: &str) -> String {
    let Some((found, wanted)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let wanted = match wanted {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a string" => "a text",
        other => other,
    };
    format!("{found}, expected {wanted}")
}

fn expected(message: &str) -> Option<&str> {
    message.split_once(", expected ").map(|(_, expected)| expected)
}
