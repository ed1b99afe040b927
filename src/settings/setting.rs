//! What there is to know of each setting, read from the schema of [`Settings`], so that the reference,
//! the checks and the tests cover all of them.

use std::sync::LazyLock;

use flagstone_layers::kernel::{Size, Time};
use serde_json::Value;

use super::Settings;

/// One setting.
pub(crate) struct Setting {
    /// The table it stands in; empty outside one.
    pub(crate) section: String,
    /// Its key there.
    pub(crate) key: String,
    /// What it holds.
    pub(crate) kind: Kind,
    /// The smallest and the largest value, as they are written.
    pub(crate) range: Option<(String, String)>,
    /// The value where the file has none.
    pub(crate) default: Value,
    /// Whether it is shown nowhere.
    pub(crate) is_secret: bool,
    /// What it is for.
    pub(crate) description: String,
}

/// What a setting holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    /// One of these texts.
    Choice(Vec<String>),
    List,
    Number,
    Size,
    Text,
    Time,
}

/// All settings, in the order of their names.
pub(crate) fn all() -> &'static [Setting] {
    static ALL: LazyLock<Vec<Setting>> = LazyLock::new(read);
    &ALL
}

fn read() -> Vec<Setting> {
    let schema = schemars::schema_for!(Settings).to_value();
    let mut settings = Vec::new();
    for (section, property) in properties(&schema) {
        let inner = follow(&schema, property);
        if inner.get("properties").is_none() {
            settings.push(Setting::new(&schema, "", section, property));
        }
        settings.extend(properties(inner).map(|(key, value)| Setting::new(&schema, section, key, value)));
    }
    settings
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn follow<'s>(schema: &'s Value, property: &'s Value) -> &'s Value {
    let name = definition(property);
    name.and_then(|name| schema.get("$defs")?.get(name)).unwrap_or(property)
}

fn definition(property: &Value) -> Option<&str> {
    property.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

// === impl Setting ===

impl Setting {
    fn new(schema: &Value, section: &str, key: &str, property: &Value) -> Self {
        let inner = follow(schema, property);
        let limit = |of: &str| {
            let written = property.get(format!("x-{of}")).or(property.get(of))?;
            Some(written.as_str().map_or_else(|| written.to_string(), str::to_owned))
        };
        let kind = Kind::new(definition(property), inner);
        Self {
            section: section.to_owned(),
            key: key.to_owned(),
            range: limit("minimum").zip(limit("maximum")),
            kind,
            default: property.get("default").cloned().unwrap_or_default(),
            is_secret: inner.get("writeOnly") == Some(&Value::Bool(true)),
            description: text(property, "description").replace('\n', " "),
        }
    }

    /// As messages call it: `server.listen`.
    pub(crate) fn name(&self) -> String {
        if self.section.is_empty() { self.key.clone() } else { format!("{}.{}", self.section, self.key) }
    }

    /// The variable that sets it whatever the file says.
    pub(crate) fn variable(&self) -> String {
        format!("{}{}", super::PREFIX, self.name().replace('.', "__").to_uppercase())
    }

    /// What is wrong with a value, as it is serialized, that is outside the range.
    pub(super) fn out_of_range(&self, value: &Value) -> Option<String> {
        let (least, most) = self.range.as_ref()?;
        let number = |text: &str| match self.kind {
            Kind::Time => text.parse::<Time>().ok().map(|time| time.0.as_millis()),
            Kind::Size => text.parse::<Size>().ok().map(|size| u128::from(size.0)),
            _ => text.parse().ok(),
        };
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (least_number, most_number) = (number(least)?, number(most)?);
        let inside = number(&shown).is_some_and(|value| (least_number..=most_number).contains(&value));
        (!inside).then(|| format!("{shown} is outside of {least} to {most}"))
    }
}

fn text(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

// === impl Kind ===

impl Kind {
    fn new(definition: Option<&str>, schema: &Value) -> Self {
        let choices: Vec<String> = schema
            .get("oneOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|choice| choice.get("const")?.as_str().map(str::to_owned))
            .collect();
        match (definition, schema.get("type").and_then(Value::as_str)) {
            (Some("Time"), _) => Self::Time,
            (Some("Size"), _) => Self::Size,
            _ if !choices.is_empty() => Self::Choice(choices),
            (_, Some("boolean")) => Self::Boolean,
            (_, Some("integer")) => Self::Number,
            (_, Some("string")) => Self::Text,
            _ => Self::List,
        }
    }
}
