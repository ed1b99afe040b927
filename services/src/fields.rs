//! Reads the members of a small JSON document, collecting every fault.

use flagstone_engine::is_project_key;
use flagstone_engine::limits::{DESCRIPTION_BYTES, NAME_BYTES};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::{Fault, ServiceError};

/// A document on its way in. Every member has to be asked for; what was not is an unknown field.
pub(crate) struct Fields<'a> {
    members: Option<&'a Map<String, Value>>,
    asked: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(document: &'a Value) -> Self {
        let members = document.as_object();
        let mut fields = Self { members, asked: Vec::new(), faults: Vec::new() };
        if members.is_none() {
            fields.fault("", "wrong_type", "this must be an object".to_owned());
        }
        fields
    }

    /// Passes members over that a client got and sends back.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    /// The key of a project or an environment (R43), which stays as it was made.
    pub(crate) fn project_key(&mut self, name: &'static str, made_as: Option<&str>) -> String {
        let key = self.text(name);
        match (key, made_as) {
            (Some(key), Some(made_as)) if key != made_as => {
                self.member_fault(
                    name,
                    "immutable",
                    format!("a key cannot be changed: this is \"{made_as}\""),
                );
            }
            (_, Some(made_as)) => return made_as.to_owned(),
            (Some(key), None) if is_project_key(key) => return key.to_owned(),
            (Some(_), None) => self.member_fault(
                name,
                "bad_key",
                "a key is 1 to 50 small letters, digits and \"-\", with no \"-\" at its ends".to_owned(),
            ),
            (None, None) => self.required(name),
        }
        String::new()
    }

    /// A name for people; `default` where absent.
    pub(crate) fn name(&mut self, default: &str) -> String {
        match self.text("name").map(str::trim) {
            Some("") => self.member_fault("name", "required", "a name must not be empty".to_owned()),
            Some(name) if name.len() > NAME_BYTES => self.too_large("name", NAME_BYTES),
            Some(name) => return name.to_owned(),
            None => return default.to_owned(),
        }
        String::new()
    }

    /// A text for people; empty where absent.
    pub(crate) fn description(&mut self) -> String {
        let description = self.text("description").unwrap_or_default();
        if description.len() > DESCRIPTION_BYTES {
            self.too_large("description", DESCRIPTION_BYTES);
        }
        description.to_owned()
    }

    /// A time, RFC 3339.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let time = text.parse().ok();
        if time.is_none() {
            self.member_fault(name, "bad_time", "write a time as in \"2030-01-31T00:00:00Z\"".to_owned());
        }
        time
    }

    /// A text; absent and `null` are alike.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.asked.push(name);
        match self.members?.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            _ => {
                self.member_fault(name, "wrong_type", "this must be a string".to_owned());
                None
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<&'a str> {
        self.asked.push(name);
        let found = self.members.and_then(|members| members.get(name)).and_then(Value::as_array);
        let texts: Option<Vec<_>> = found.and_then(|list| list.iter().map(Value::as_str).collect());
        texts.unwrap_or_else(|| {
            self.member_fault(name, "wrong_type", "this must be a list of strings".to_owned());
            Vec::new()
        })
    }

    pub(crate) fn required(&mut self, name: &str) {
        self.member_fault(name, "required", format!("\"{name}\" is required"));
    }

    pub(crate) fn member_fault(&mut self, name: &str, code: &'static str, detail: String) {
        self.fault(&pointer(name), code, detail);
    }

    fn too_large(&mut self, name: &str, bytes: usize) {
        self.member_fault(name, "too_large", format!("this may have {bytes} bytes"));
    }

    fn fault(&mut self, pointer: &str, code: &'static str, detail: String) {
        self.faults.push(Fault { pointer: pointer.to_owned(), code, detail });
    }

    /// `value`, if there was no fault.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] with all of them.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, ServiceError> {
        for name in self.members.into_iter().flat_map(Map::keys) {
            if !self.asked.contains(&name.as_str()) {
                let detail = format!("unknown field; there are: {}", self.asked.join(", "));
                self.faults.push(Fault { pointer: pointer(name), code: "unknown_field", detail });
            }
        }
        if self.faults.is_empty() { Ok(value) } else { Err(ServiceError::Invalid(self.faults)) }
    }
}

/// The JSON Pointer to a member of the document (RFC 6901).
fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(document: &Value) -> Vec<(String, &'static str)> {
        let mut fields = Fields::new(document);
        fields.ignore(&["version"]);
        fields.project_key("key", None);
        fields.name("");
        fields.description();
        fields.time("expires_at");
        match fields.finish(()) {
            Err(ServiceError::Invalid(faults)) => {
                faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let found = faults(&json!({
            "key": "No", "name": 1, "description": "x".repeat(5_000), "expires_at": "soon",
            "a/b": 1, "version": 3,
        }));
        let expected = [
            ("/key", "bad_key"),
            ("/name", "wrong_type"),
            ("/description", "too_large"),
            ("/expires_at", "bad_time"),
            ("/a~1b", "unknown_field"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
        assert_eq!(faults(&json!({})), [("/key".to_owned(), "required")]);
        assert!(faults(&json!([])).contains(&(String::new(), "wrong_type")));
    }

    #[test]
    fn a_key_stays_as_it_was_made() {
        let document = json!({"key": "other"});
        let mut fields = Fields::new(&document);
        fields.project_key("key", Some("one"));
        assert!(fields.finish(()).is_err());
        let document = json!({});
        let mut fields = Fields::new(&document);
        assert_eq!(fields.project_key("key", Some("one")), "one");
        fields.finish(()).unwrap();
    }
}
