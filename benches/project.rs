//! A project with the flags that are measured, made through the API.

use serde_json::{Value, json};

use crate::{
    flags,
    harness::{Answer, Person, Request, Server},
};

const PROJECTS: &str = "/api/management/projects";
pub(crate) const PROJECT: &str = "bench";
pub(crate) const ENVIRONMENT: &str = "production";

/// An application that asks by OFREP, for threads of their own.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
    key: String,
}

/// Makes the project, with so many flags, and a client key of its production.
pub(crate) fn make(admin: &Person<'_>, count: usize) -> String {
    post(admin, PROJECTS, &json!({ "key": PROJECT }));
    for index in 0..count {
        post(admin, &format!("{PROJECTS}/{PROJECT}/flags"), &flags::flag(index));
        let answer = admin.put(&config_of(index), &flags::config(index));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let keys = format!("{PROJECTS}/{PROJECT}/environments/{ENVIRONMENT}/keys");
    let made = post(admin, &keys, &json!({ "kind": "client" })).json();
    made["key"].as_str().unwrap().to_owned()
}

/// Where a flag's configuration is.
pub(crate) fn config_of(index: usize) -> String {
    format!("{PROJECTS}/{PROJECT}/flags/{}/environments/{ENVIRONMENT}", flags::key(index))
}

/// What an evaluation by OFREP asks.
pub(crate) fn question() -> String {
    json!({ "context": flags::context() }).to_string()
}

fn post(admin: &Person<'_>, path: &str, body: &Value) -> Answer {
    let answer = admin.post(path).json(body).send();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

// === impl Client ===

impl Client {
    pub(crate) fn new(server: &Server, key: &str) -> Self {
        Self { agent: server.agent(), url: server.url.clone(), key: key.to_owned() }
    }

    /// Asks for one of the flags.
    pub(crate) fn evaluate(&self, index: usize) -> Value {
        self.ask(&format!("/ofrep/v1/evaluate/flags/{}", flags::key(index)))
    }

    /// Asks for all of them.
    pub(crate) fn evaluate_all(&self) -> Value {
        self.ask("/ofrep/v1/evaluate/flags")
    }

    fn ask(&self, path: &str) -> Value {
        let request = Request::new(&self.agent, "POST", format!("{}{path}", self.url)).key(&self.key);
        let answer = request.header("content-type", "application/json").body(question()).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}
