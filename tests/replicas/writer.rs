//! Changes flags and keys on one instance, and writes down what became of each change.

use std::{thread, time::Duration, time::Instant};

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Request},
    history::{Operation, Outcome, Verb},
    random::Random,
    site::{ENVIRONMENTS, Ending, Instance, PROJECT, Site},
};

/// Flags of a writer.
const FLAGS: usize = 25;
/// One operation in so many is about keys.
const KEYS: usize = 6;
/// Between two operations.
const PACE: Duration = Duration::from_millis(15);

/// The only one that touches its flags and its environment's client keys.
pub(crate) struct Writer<'s> {
    site: &'s Site,
    number: usize,
    random: Random,
    flags: Vec<Known>,
    /// Operations so far, which makes their names.
    count: usize,
}

/// A flag as its writer last saw it.
struct Known {
    key: String,
    flag: Value,
    config: Value,
}

// === impl Writer ===

impl<'s> Writer<'s> {
    pub(crate) fn new(site: &'s Site, number: usize, random: Random) -> Self {
        Self { site, number, random, flags: Vec::new(), count: 0 }
    }

    /// Writes until the end.
    pub(crate) fn write(mut self) {
        let _ending = Ending(&self.site.done);
        while !self.site.is_done() {
            // Poisoned, the test has failed already.
            let Ok(quiet) = self.site.quiet.read() else { return };
            self.count += 1;
            if self.random.index(KEYS) == 0 {
                self.keys();
            } else if self.random.index(FLAGS) >= self.flags.len() {
                self.make();
            } else if self.random.index(2) == 0 {
                self.switch();
            } else {
                self.change();
            }
            drop(quiet);
            thread::park_timeout(PACE);
        }
    }

    fn make(&mut self) {
        let key = format!("w{}-{}", self.number, self.count);
        let request = self.request("POST", "/flags").json(&json!({ "key": key, "type": "boolean" }));
        if let Some(mut flag) = self.operate(Verb::Make, &key, &key, request) {
            let environments = flag.as_object_mut().unwrap().remove("environments").unwrap();
            self.flags.push(Known { key, flag, config: environments[ENVIRONMENTS[0]].clone() });
        }
    }

    fn change(&mut self) {
        let number = self.random.index(self.flags.len());
        let token = format!("w{}-change-{}", self.number, self.count);
        let known = &mut self.flags[number];
        known.flag["description"] = json!(token);
        let (key, flag) = (known.key.clone(), known.flag.clone());
        let request = self.request("PUT", &format!("/flags/{key}")).header("if-match", "*").json(&flag);
        self.operate(Verb::Change, &token, &key, request);
    }

    fn switch(&mut self) {
        let number = self.random.index(self.flags.len());
        let token = format!("w{}-switch-{}", self.number, self.count);
        let known = &mut self.flags[number];
        known.config["enabled"] = json!(known.config["enabled"] != true);
        known.config["salt"] = json!(token);
        let (key, config) = (known.key.clone(), known.config.clone());
        let path = format!("/flags/{key}/environments/{}", ENVIRONMENTS[0]);
        let request = self.request("PUT", &path).header("if-match", "*").json(&config);
        self.operate(Verb::Switch, &token, &key, request);
    }

    /// Revokes what is there and makes a new one.
    fn keys(&mut self) {
        let path = format!("/environments/{}/keys", ENVIRONMENTS[self.number]);
        let Some(listed) = self.instance().send(self.request("GET", &path)) else { return };
        if listed.status != 200 {
            assert_unavailable(&listed);
            return;
        }
        for key in listed.json()["data"].as_array().unwrap() {
            if key["kind"] == "client" && key["revoked_at"].is_null() {
                let id = key["id"].as_str().unwrap();
                let request = self.request("DELETE", &format!("{path}/{id}"));
                self.operate(Verb::RevokeKey, id, "", request);
            }
        }
        let name = format!("w{}-key-{}", self.number, self.count);
        let request = self.request("POST", &path).json(&json!({ "kind": "client", "name": name }));
        if let Some(made) = self.operate(Verb::MakeKey, &name, "", request) {
            let member = |name: &str| made[name].as_str().unwrap().to_owned();
            self.site.secrets.lock().unwrap().push((member("id"), member("key")));
        }
    }

    /// The answer's document where it was done.
    fn operate(&mut self, verb: Verb, token: &str, flag: &str, request: Request) -> Option<Value> {
        let began = Instant::now();
        let answer = self.instance().send(request);
        let ended = Instant::now();
        let document = answer.as_ref().filter(|answer| (200..300).contains(&answer.status));
        let document = document.map(|answer| serde_json::from_slice(&answer.body).unwrap_or(Value::Null));
        let outcome = match (&answer, &document) {
            (_, Some(document)) => Outcome::Acknowledged(document["version"].as_u64()),
            (None, _) => Outcome::Unknown,
            (Some(answer), None) if matches!(answer.status, 404 | 409) => {
                self.flags.retain(|known| known.key != flag);
                Outcome::Impossible
            }
            (Some(answer), None) => {
                assert_unavailable(answer);
                Outcome::Refused
            }
        };
        let (token, flag) = (token.to_owned(), flag.to_owned());
        self.site.history.add(Operation { verb, token, flag, began, ended, outcome });
        document
    }

    fn request(&self, method: &str, path: &str) -> Request {
        self.instance().request(method, &format!("{PROJECT}{path}")).header("cookie", &self.site.cookie)
    }

    fn instance(&self) -> &'s Instance {
        &self.site.instances[self.number]
    }
}

/// An answer that says when to come back.
#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
