//! Layers with their settings, as declared and as routes override them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use flagstone_layers::kernel::{Finding, Parsed, Registered};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    PlannedInstance,
    lower::{Lowering, Merged},
    settings,
};
use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Faults,
    fields::{listed, table, wrong_type},
    secret::Secrets,
};

/// Declared layers, and the instances made of them.
pub(super) struct Layers<'t, 'a> {
    pub(super) declared: BTreeMap<&'t str, Declared<'t, 'a>>,
    pub(super) instances: Vec<PlannedInstance>,
}

pub(super) struct Declared<'t, 'a> {
    table: Option<&'t DeTable<'a>>,
    span: Range<usize>,
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
    /// Where it is declared.
    span: Range<usize>,
    /// Where it is overridden.
    derived: Option<Range<usize>>,
}

// === impl Layers ===

impl<'t, 'a> Layers<'t, 'a> {
    pub(super) fn read(merged: &Merged<'t, 'a>, lowering: &Lowering<'_>, faults: &mut Faults) -> Self {
        let mut layers = Self { declared: BTreeMap::new(), instances: Vec::new() };
        for (name, named) in &merged.layers {
            let table = table(named.value, &format!("`{name}`"), faults);
            let kind = table.and_then(|table| kind(name, named.value, table, lowering, faults));
            let span = named.value.span();
            let mut declared = Declared { table, span, kind, instance: None, findings: Vec::new() };
            if let (Some(table), Some(kind)) = (table, kind) {
                let mut table = table.clone();
                table.remove("kind");
                let layer = Layer { name, kind, table, span: named.value.span(), derived: None };
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
        let span = declared.span.clone();
        let layer = Layer { name: layer, kind, table, span, derived: Some(changes.span()) };
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
        let whole = self.derived.unwrap_or(self.span.clone());
        let layer = settings::Layer { name: self.name, kind: self.kind, span: self.span.clone() };
        let read = settings::read(&layer, self.table, lowering, faults)?;
        let parsed: Arc<dyn Parsed> = read.parsed.into();
        let observe = observe?;
        if let Some((key, _)) = mode.filter(|_| !parsed.order().refuses) {
            let message = format!("`{}` refuses nothing, so it has no `mode`", self.name);
            let fault = Diagnostic::error("mode", &faults.at(key.span()), message);
            faults.push(fault.help("remove it"));
        }
        // Of settings that stand in for others there is nothing to say.
        let findings = if read.sound { parsed.check() } else { Vec::new() };
        for finding in findings.iter().filter(|finding| !before.contains(finding)) {
            let given = finding.key.and_then(|key| places.get(key)).map(Spanned::span);
            let location = faults.at(given.unwrap_or_else(|| whole.clone()));
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
}
