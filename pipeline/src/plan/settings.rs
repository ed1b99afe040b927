//! A layer's settings: every fault in them, and what can be said of the layer all the same.

use std::ops::Range;

use flagstone_layers::kernel::{Parsed, Registered};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, ValueDeserializer},
};

use super::lower::Lowering;
use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Faults,
};

/// The most faults in one layer's settings that are looked for.
const MOST_FAULTS: usize = 32;

/// Which layer it is.
pub(super) struct Layer<'c> {
    pub(super) name: &'c str,
    pub(super) kind: Registered,
    pub(super) span: Range<usize>,
}

/// Settings that were read.
pub(super) struct Read {
    pub(super) parsed: Box<dyn Parsed>,
    /// Whether they are those of the file. Otherwise values stand in for some that are at fault, which changes nothing
    /// about where the layer may stand and what it proves; so other faults of the chain are found all the same.
    pub(super) sound: bool,
}

/// Settings while they are read.
struct Reading<'l, 'a> {
    layer: &'l Layer<'l>,
    lowering: &'l Lowering<'l>,
    table: DeTable<'a>,
    stand_ins: Vec<StandIn>,
    sound: bool,
}

/// A setting that is at fault, and values it might have had.
struct StandIn {
    key: String,
    span: Range<usize>,
    values: Vec<DeValue<'static>>,
    chosen: usize,
}

/// What a fault was about.
enum About {
    /// A key that there is not.
    Unknown(String),
    /// A setting.
    Setting(String),
    Nothing,
}

/// Reads the settings. `None` where so much is at fault that nothing is known of the layer.
pub(super) fn read(
    layer: &Layer<'_>,
    table: DeTable<'_>,
    lowering: &Lowering<'_>,
    faults: &mut Faults,
) -> Option<Read> {
    let mut reading = Reading { layer, lowering, table, stand_ins: Vec::new(), sound: true };
    let unresolved: Vec<_> = reading
        .table
        .iter()
        .filter(|(_, value)| any_unresolved(value, faults))
        .map(|(key, _)| key.get_ref().to_string())
        .collect();
    for key in unresolved {
        reading.stand_in(key);
    }
    for _ in 0..MOST_FAULTS {
        match reading.parse() {
            Ok(parsed) => {
                let sound = reading.sound;
                return (sound || reading.is_certain(&*parsed)).then_some(Read { parsed, sound });
            }
            Err(error) => reading.handle(&error, faults)?,
        }
    }
    None
}

// === impl Reading ===

impl Reading<'_, '_> {
    fn parse(&self) -> Result<Box<dyn Parsed>, toml::de::Error> {
        let table = Spanned::new(self.layer.span.clone(), DeValue::Table(self.table.clone()));
        (self.layer.kind.parse)(ValueDeserializer::from(table))
    }

    /// Says what is wrong, and puts something else in its place, so that the next fault is found.
    fn handle(&mut self, error: &toml::de::Error, faults: &mut Faults) -> Option<()> {
        let span = error.span().unwrap_or_default();
        let missing = quoted(error.message(), "missing field ");
        let known = self
            .stand_ins
            .iter()
            .position(|stand_in| missing.map_or(stand_in.span == span, |missing| missing == stand_in.key));
        if let Some(known) = known {
            return self.try_next(known);
        }
        self.sound = false;
        match self.report(error, faults) {
            About::Unknown(key) => {
                self.table.remove(key.as_str());
            }
            About::Setting(key) => self.stand_in(key),
            About::Nothing => return None,
        }
        Some(())
    }

    /// Puts a value in the place of one that is at fault; none, where any might change what is proven.
    fn stand_in(&mut self, key: String) {
        self.sound = false;
        let schemas = self.lowering.schemas;
        let schema = schemas.kind(self.layer.kind.kind).and_then(|kind| schemas.property(kind, &key));
        let values = schema.map(|schema| schemas.samples(schema)).unwrap_or_default();
        // A place of its own where the file has none, so that what is said of it can be told apart.
        let span = self.table.remove(key.as_str()).map_or(usize::MAX - 1..usize::MAX, |value| value.span());
        self.stand_ins.push(StandIn { key, span, values, chosen: 0 });
        self.put(self.stand_ins.len() - 1);
    }

    fn try_next(&mut self, index: usize) -> Option<()> {
        let stand_in = self.stand_ins.get_mut(index)?;
        stand_in.chosen += 1;
        (stand_in.chosen < stand_in.values.len()).then_some(())?;
        self.put(index);
        Some(())
    }

    fn put(&mut self, index: usize) {
        let Some(stand_in) = self.stand_ins.get(index) else { return };
        self.table.remove(stand_in.key.as_str());
        if let Some(value) = stand_in.values.get(stand_in.chosen) {
            let key = Spanned::new(stand_in.span.clone(), stand_in.key.clone().into());
            self.table.insert(key, placed(value, &stand_in.span));
        }
    }

    /// Whether the layer's order is the same whatever the values at fault were meant to be.
    fn is_certain(&mut self, parsed: &dyn Parsed) -> bool {
        // An order has no equality; what it shows is all of it.
        let order = format!("{:?}", parsed.order());
        for index in 0..self.stand_ins.len() {
            let Some(stand_in) = self.stand_ins.get_mut(index) else { return false };
            let chosen = stand_in.chosen;
            if stand_in.values.is_empty() {
                return false;
            }
            for other in 0..stand_in.values.len() {
                if let Some(stand_in) = self.stand_ins.get_mut(index) {
                    stand_in.chosen = other;
                }
                self.put(index);
                if self.parse().is_ok_and(|parsed| format!("{:?}", parsed.order()) != order) {
                    return false;
                }
            }
            if let Some(stand_in) = self.stand_ins.get_mut(index) {
                stand_in.chosen = chosen;
            }
            self.put(index);
        }
        true
    }

    /// Says what is wrong with the settings, and of which.
    fn report(&self, error: &toml::de::Error, faults: &mut Faults) -> About {
        let Layer { name, kind: Registered { kind, .. }, span: whole } = self.layer;
        let lowering = self.lowering;
        let span = error.span().unwrap_or(whole.clone());
        let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let entry = self
            .table
            .iter()
            .find(|(key, value)| span != *whole && (within(key.span()) || within(value.span())));
        let location = faults.at(span.clone());
        let Some((key, value)) = entry else {
            let (fault, about) = match quoted(error.message(), "missing field ") {
                Some(key) => {
                    let message = format!("layer `{name}` (a `{kind}`) needs `{key}`");
                    (Diagnostic::error("missing-key", &location, message), About::Setting(key.to_owned()))
                }
                None => {
                    let message = format!("`{name}`: {}", error.message());
                    (Diagnostic::error("invalid-value", &location, message), About::Nothing)
                }
            };
            faults.push(fault);
            return about;
        };
        let setting = key.get_ref().to_string();
        let resolved = lowering.resolved;
        let origin = resolved.origin(span.start).or_else(|| resolved.origin(value.span().start));
        let unknown = quoted(error.message(), "unknown field ");
        let is_unknown = unknown.is_some_and(|unknown| unknown == setting);
        let fault = if let Some(unknown) = unknown {
            let fault = if is_unknown {
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
        if is_unknown { About::Unknown(setting) } else { About::Setting(setting) }
    }
}

/// A value all of which stands at one place.
fn placed(value: &DeValue<'static>, span: &Range<usize>) -> Spanned<DeValue<'static>> {
    let value = match value {
        DeValue::Array(items) => {
            let mut array = DeArray::new();
            for item in items.iter() {
                array.push(placed(item.get_ref(), span));
            }
            DeValue::Array(array)
        }
        plain => plain.clone(),
    };
    Spanned::new(span.clone(), value)
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
