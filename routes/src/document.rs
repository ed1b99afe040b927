//! Reads the members of a small request document, gathering every fault.

use flagstone_layers::kernel::{Fault, Problem};
use http::StatusCode;
use serde_json::{Map, Value};

/// A document on its way in: every member has to be asked for, what was not is a fault.
pub(crate) struct Document {
    members: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Document {
    pub(crate) fn new(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(members) => Ok(Self { members, faults: Vec::new() }),
            _ => Err(invalid(vec![fault("", "wrong_type", "the document is to be an object")])),
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &str) -> String {
        self.optional_text(name).unwrap_or_else(|| {
            if !self.faults.iter().any(|fault| fault.pointer.strip_prefix('/') == Some(name)) {
                self.faults.push(fault(&format!("/{name}"), "required", "this is required"));
            }
            String::new()
        })
    }

    /// A text that may be absent or null.
    pub(crate) fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.faults.push(fault(&format!("/{name}"), "wrong_type", "this is to be a string"));
                None
            }
        }
    }

    /// Ends the reading: 422 with all faults, if there are any.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for name in self.members.keys() {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            self.faults.push(fault(&pointer, "unknown_field", "there is no such member"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(invalid(self.faults)) }
    }
}

fn fault(pointer: &str, code: &'static str, detail: &str) -> Fault {
    Fault { pointer: pointer.to_owned(), code: code.into(), detail: detail.to_owned() }
}

/// 422 with these faults.
pub(crate) fn invalid(faults: Vec<Fault>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID", "The document has faults: see `errors`.")
        .errors(faults)
}
