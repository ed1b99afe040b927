use serde_json::Value;

use super::config::{attribute, read_by, reference};
use super::members::{Members, boolean, choice, integer, json_length, list, text};
use crate::buckets::HashScheme;
use crate::fault::Faults;
use crate::limits;
use crate::model::{Bucket, Cast, Condition, Leaf};
use crate::operator::Operator;

const CASTS: [(&str, Cast); 2] = [("string", Cast::String), ("number", Cast::Number)];
/// Each says by its presence what a condition is.
const KINDS: [&str; 7] = ["all", "any", "not", "segment", "flag", "bucket", "attribute"];

pub(super) fn read_condition(value: &Value, faults: &mut Faults) -> Option<Condition> {
    Tree { nodes: 0 }.read(value, 1, faults)
}

/// The tree being read.
struct Tree {
    nodes: usize,
}

impl Tree {
    fn read(&mut self, value: &Value, depth: usize, faults: &mut Faults) -> Option<Condition> {
        if depth > limits::CONDITION_DEPTH {
            faults.push("too_deep", format!("conditions must nest at most {} deep", limits::CONDITION_DEPTH));
            return None;
        }
        self.nodes += 1;
        if self.nodes > limits::CONDITIONS {
            if self.nodes == limits::CONDITIONS + 1 {
                let most = limits::CONDITIONS;
                faults.push("too_large", format!("must have at most {most} conditions; use a segment"));
            }
            return None;
        }
        match kind_of(value, faults)? {
            "all" => self.parts("all", value, depth, faults).map(|all| Condition::All { all }),
            "any" => self.parts("any", value, depth, faults).map(|any| Condition::Any { any }),
            "not" => {
                let members = Members::open(value, &["not"], &[], faults)?;
                let not =
                    members.required("not", faults, |part, faults| self.read(part, depth + 1, faults))?;
                Some(Condition::Not { not: Box::new(not) })
            }
            "segment" => {
                let members = Members::open(value, &["segment"], &[], faults)?;
                Some(Condition::Segment { segment: members.required("segment", faults, reference)? })
            }
            "flag" => {
                let members = Members::open(value, &["flag", "variants"], &[], faults)?;
                let flag = members.required("flag", faults, reference);
                let variants = members.required("variants", faults, list(limits::VARIANTS, reference));
                Some(Condition::Flag { flag: flag?, variants: variants? })
            }
            "bucket" => {
                let members = Members::open(value, &["bucket"], &[], faults)?;
                Some(Condition::Bucket { bucket: members.required("bucket", faults, read_bucket)? })
            }
            _ => read_leaf(value, faults).map(Condition::Leaf),
        }
    }

    fn parts(
        &mut self,
        name: &'static str,
        value: &Value,
        depth: usize,
        faults: &mut Faults,
    ) -> Option<Vec<Condition>> {
        let members = Members::open(value, &[name], &[], faults)?;
        let part = |part, faults: &mut Faults| self.read(part, depth + 1, faults);
        members.required(name, faults, list(limits::CONDITIONS, part))
    }
}

fn kind_of(value: &Value, faults: &mut Faults) -> Option<&'static str> {
    let Value::Object(map) = value else {
        super::members::wrong_type("an object", value, faults);
        return None;
    };
    let mut kinds = KINDS.into_iter().filter(|kind| map.contains_key(*kind));
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => Some(kind),
        // A leaf that lacks its attribute is still a leaf.
        (None, _) if map.contains_key("op") => Some("attribute"),
        _ => {
            faults.push("ambiguous", format!("a condition must have exactly one of {}", KINDS.join(", ")));
            None
        }
    }
}

fn read_bucket(value: &Value, faults: &mut Faults) -> Option<Bucket> {
    let members = Members::open(value, &["by", "salt", "hash", "from", "below"], &[], faults)?;
    let by = members.optional("by", faults, read_by);
    let salt = members.nullable("salt", faults, text(limits::VALUE_BYTES));
    let hash = members.nullable("hash", faults, choice(&HashScheme::NAMES));
    let from = members.optional("from", faults, integer(limits::WHOLE));
    let below = members.required("below", faults, integer(limits::WHOLE))?;
    Some(Bucket { by: by.unwrap_or_default(), salt, hash, from: from.unwrap_or_default(), below })
}

fn read_leaf(value: &Value, faults: &mut Faults) -> Option<Leaf> {
    let members = Members::open(value, &["attribute", "op", "values", "ignore_case", "as"], &[], faults)?;
    let attribute = members.required("attribute", faults, attribute);
    let op = members.required("op", faults, choice(Operator::NAMES));
    let values = members.optional("values", faults, list(limits::VALUES, read_value));
    let ignore_case = members.optional("ignore_case", faults, boolean);
    let cast = members.nullable("as", faults, choice(&CASTS));
    Some(Leaf {
        attribute: attribute?,
        op: op?,
        values: values.unwrap_or_default(),
        ignore_case: ignore_case.unwrap_or_default(),
        cast,
    })
}

fn read_value(value: &Value, faults: &mut Faults) -> Option<Value> {
    if json_length(value) > limits::VALUE_BYTES {
        faults.push("too_large", format!("must have at most {} bytes", limits::VALUE_BYTES));
        return None;
    }
    Some(value.clone())
}
