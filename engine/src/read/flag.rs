use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::members::{
    Members, boolean, choice, json_length, key, list, name, nests_within, text, wrong_type,
};
use crate::fault::{Fault, Faults};
use crate::limits;
use crate::model::{Flag, FlagKind, FlagType, Variant};

const MEMBERS: [&str; 9] =
    ["key", "name", "description", "type", "kind", "tags", "metadata", "variants", "archived"];

impl Flag {
    /// Reads a flag's own fields.
    ///
    /// `key` and `type` are required, `variants` too unless the type is `boolean`, which then gets `on` and
    /// `off`. Members named in `ignored` (`version`, `environments`, …) are passed over, so that a body a
    /// client got is accepted back; naming `archived` there makes it `false` whatever was sent.
    ///
    /// # Errors
    /// All faults of the document.
    pub fn read(value: &Value, ignored: &[&str]) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let read = read_flag(value, ignored, &mut faults);
        let faults = faults.into_vec();
        read.filter(|_| faults.is_empty()).ok_or(faults)
    }
}

fn read_flag(value: &Value, ignored: &[&str], faults: &mut Faults) -> Option<Flag> {
    let members = Members::open(value, &MEMBERS, ignored, faults)?;
    let flag_key = members.required("key", faults, key);
    let flag_name =
        members.optional("name", faults, text(limits::NAME_BYTES)).filter(|name| !name.is_empty());
    let description = members.optional("description", faults, text(limits::DESCRIPTION_BYTES));
    let flag_type = members.required("type", faults, choice(&FlagType::NAMES));
    let kind = members.optional("kind", faults, choice(&FlagKind::NAMES));
    let tags = members.optional("tags", faults, list(limits::TAGS, name(limits::TAG_BYTES)));
    let metadata = members.optional("metadata", faults, read_metadata);
    let variants = if members.has("variants") || flag_type != Some(FlagType::Boolean) {
        members.required("variants", faults, |value, faults| read_variants(value, flag_type, faults))
    } else {
        Some(on_and_off())
    };
    let archived = (!ignored.contains(&"archived")).then(|| members.optional("archived", faults, boolean));
    let flag_key = flag_key?;
    Some(Flag {
        name: flag_name.unwrap_or_else(|| flag_key.clone()),
        key: flag_key,
        description: description.unwrap_or_default(),
        flag_type: flag_type?,
        kind: kind.unwrap_or_default(),
        tags: tags.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
        variants: variants?,
        archived: archived.flatten().unwrap_or_default(),
    })
}

fn on_and_off() -> Vec<Variant> {
    [("on", true), ("off", false)]
        .map(|(key, value)| Variant { key: key.to_owned(), value: json!(value) })
        .into()
}

fn read_metadata(value: &Value, faults: &mut Faults) -> Option<Map<String, Value>> {
    let Value::Object(entries) = value else {
        wrong_type("an object", value, faults);
        return None;
    };
    if entries.len() > limits::METADATA {
        faults.push("too_large", format!("must have at most {} members", limits::METADATA));
        return None;
    }
    for (entry, value) in entries {
        faults.within(entry.as_str(), |faults| match value {
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if entry.len() > limits::METADATA_BYTES || json_length(value) > limits::METADATA_BYTES {
                    let most = limits::METADATA_BYTES;
                    faults.push("too_large", format!("name and value must have at most {most} bytes each"));
                }
            }
            other => wrong_type("a string, a number or a boolean", other, faults),
        });
    }
    Some(entries.clone())
}

fn read_variants(value: &Value, flag_type: Option<FlagType>, faults: &mut Faults) -> Option<Vec<Variant>> {
    let mut keys = HashSet::new();
    let one = |value, faults: &mut Faults| {
        let variant = read_variant(value, flag_type, faults)?;
        if !keys.insert(variant.key.clone()) {
            let detail = format!("the variant `{}` is there twice", variant.key);
            faults.within("key", |faults| faults.push("duplicate", detail));
        }
        Some(variant)
    };
    let variants = list(limits::VARIANTS, one)(value, faults)?;
    if value.as_array().is_some_and(Vec::is_empty) {
        faults.push("empty", "must have at least one variant");
    }
    Some(variants)
}

fn read_variant(value: &Value, flag_type: Option<FlagType>, faults: &mut Faults) -> Option<Variant> {
    let members = Members::open(value, &["key", "value"], &[], faults)?;
    let key = members.required("key", faults, key);
    let value = members.required("value", faults, |value, faults| {
        if let Some(flag_type) = flag_type.filter(|flag_type| !flag_type.takes(value)) {
            wrong_type(wanted(flag_type), value, faults);
            return None;
        }
        if !nests_within(value, limits::VARIANT_VALUE_DEPTH) {
            faults.push("too_deep", format!("must nest at most {} deep", limits::VARIANT_VALUE_DEPTH));
            return None;
        }
        if json_length(value) > limits::VARIANT_VALUE_BYTES {
            faults.push("too_large", format!("must have at most {} bytes", limits::VARIANT_VALUE_BYTES));
            return None;
        }
        Some(value.clone())
    });
    Some(Variant { key: key?, value: value? })
}

fn wanted(flag_type: FlagType) -> &'static str {
    match flag_type {
        FlagType::Boolean => "true or false",
        FlagType::String => "a string",
        FlagType::Integer => "an integer, written without fraction and exponent",
        FlagType::Number => "a number",
        FlagType::Object => "an object",
    }
}
