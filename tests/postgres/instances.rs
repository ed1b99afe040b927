//! Two instances on one database (R81).

use std::time::{Duration, Instant};

use flagstone_services::store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::{
    PROJECTS, address_of,
    harness::{Answer, Person, Server, Setup},
    proxy::Proxy,
    through, until,
};

/// A demonstration, and a second instance behind a proxy on its database.
struct Instances {
    first: Server,
    second: Server,
    proxy: Proxy,
    database: std::sync::Arc<TestDatabase>,
}

impl Instances {
    fn start() -> Self {
        let setup = Setup::demo();
        let database = setup.postgres();
        let proxy = Proxy::to(address_of(&database));
        let first = setup.start();
        let second = Setup::shipped()
            .variable("DATABASE_URL", &through(&database, proxy.address()))
            .variable("FLAGSTONE_DATABASE__WAIT_TIMEOUT", "1s")
            .variable("FLAGSTONE_DATABASE__STATEMENT_TIMEOUT", "1s")
            .variable("RATE_LIMIT_MAX", "100000")
            .start();
        Self { first, second, proxy, database }
    }

    /// What the second instance answers for a flag in `development`.
    fn reason(&self, flag: &str) -> Value {
        let path = format!("/api/v1/evaluate/{flag}");
        self.second.post(&path).key(&self.first.client_key()).send().json()["reason"].clone()
    }

    fn revisions(&self) -> (Value, Value) {
        let revision = |server: &Server| {
            let key = self.first.server_key();
            server.get("/api/v1/definitions").key(&key).send().json()["revision"].clone()
        };
        (revision(&self.first), revision(&self.second))
    }
}

#[test]
fn a_change_on_one_is_evaluated_and_streamed_by_the_other() {
    let instances = Instances::start();
    let admin = instances.first.sign_in();
    let bearer = format!("Bearer {}", instances.first.client_key());
    let stream = instances.second.stream("/api/v1/stream", &[("authorization", &bearer)]);
    assert_ne!(instances.reason("theme"), "disabled");
    admin.switch("theme", false);
    let event = stream.data();
    assert_eq!((&event["type"], &event["flagKey"]), (&json!("flag_update"), &json!("theme")));
    assert_eq!(instances.reason("theme"), "disabled", "memory comes before the event");
    let document = json!({ "key": "brand-new", "type": "boolean" });
    assert_eq!(admin.post(&format!("{PROJECTS}/demo/flags")).json(&document).send().status, 201);
    let event = stream.data();
    assert_eq!((&event["type"], &event["flagKey"]), (&json!("flag_create"), &json!("brand-new")));
    let (first, second) = instances.revisions();
    assert_eq!(first, second);
    assert_eq!(event["revision"], second);
}

#[test]
fn keys_environments_and_projects_come_and_go_on_both() {
    let instances = Instances::start();
    let admin = instances.first.sign_in();
    let keys = format!("{PROJECTS}/demo/environments/development/keys");
    let listed = admin.get(&keys).send().json();
    let client = listed["data"].as_array().unwrap().iter().find(|key| key["kind"] == "client").unwrap();
    let bearer = format!("Bearer {}", instances.first.client_key());
    let stream = instances.second.stream("/api/v1/stream", &[("authorization", &bearer)]);
    let revoked = admin.request("DELETE", &format!("{keys}/{}", client["id"].as_str().unwrap())).send();
    assert!(revoked.status < 300, "{revoked:?}");
    stream.end();
    let refused = instances.second.post("/api/v1/evaluate").key(&instances.first.client_key()).send();
    assert_eq!(refused.status, 401);

    let made = admin.post(&keys).json(&json!({ "kind": "client" })).send();
    assert_eq!(made.status, 201, "{made:?}");
    let secret = made.json()["key"].as_str().unwrap().to_owned();
    until("the new key is known to the other", || {
        instances.second.post("/api/v1/evaluate").key(&secret).send().status == 200
    });
    let deleted = admin.request("DELETE", &format!("{PROJECTS}/demo")).header("if-match", "*").send();
    assert!(deleted.status < 300, "{deleted:?}");
    until("its project is gone from the other", || {
        instances.second.post("/api/v1/evaluate").key(&secret).send().status == 401
    });
}

#[test]
fn an_instance_that_was_cut_off_catches_up() {
    let instances = Instances::start();
    let admin = instances.first.sign_in();
    let bearer = format!("Bearer {}", instances.first.client_key());
    let stream = instances.second.stream("/api/v1/stream", &[("authorization", &bearer)]);
    for break_off in [Proxy::cut, Proxy::freeze] {
        break_off(&instances.proxy);
        admin.switch("theme", false);
        admin.switch("banner-text", false);
        assert_ne!(instances.reason("theme"), "disabled", "it goes on with what it has");
        instances.proxy.mend();
        let events = [stream.data(), stream.data()];
        assert_eq!(events.map(|event| event["flagKey"].clone()), [json!("theme"), json!("banner-text")]);
        let (first, second) = instances.revisions();
        assert_eq!(first, second);
        for flag in ["theme", "banner-text"] {
            assert_eq!(instances.reason(flag), "disabled");
            admin.switch(flag, true);
            assert_eq!(stream.data()["flagKey"], *flag);
        }
    }
}

#[test]
fn a_session_goes_with_its_user_and_ends_everywhere_within_a_second() {
    let instances = Instances::start();
    let asks = |server: &Server, cookie: &str| server.get(PROJECTS).header("cookie", cookie).send().status;
    let password = instances.first.demo["password"].as_str().unwrap();
    let ends: [fn(&Person<'_>, &Person<'_>, &str) -> Answer; 3] = [
        |person, _, _| person.post("/api/auth/logout").send(),
        |_, other, _| {
            let listed = other.get("/api/auth/sessions").send().json();
            // The newest come first: `other` signed in after `person`.
            let path = format!("/api/auth/sessions/{}", listed["data"][1]["id"].as_str().unwrap());
            other.request("DELETE", &path).send()
        },
        |_, other, password| {
            let document =
                json!({ "current_password": password, "new_password": "a long and quiet evening" });
            other.post("/api/auth/change-password").json(&document).send()
        },
    ];
    for end in ends {
        let (person, other) = (instances.first.sign_in(), instances.first.sign_in());
        let cookie = person.cookie();
        assert_eq!(asks(&instances.second, cookie), 200, "signed in at one, known to the other");
        let answer = end(&person, &other, password);
        assert!(answer.status < 300, "{answer:?}");
        let ended = Instant::now();
        assert_eq!(asks(&instances.first, cookie), 401);
        // A request that began within the second may be answered; none that began after it.
        loop {
            let began = ended.elapsed();
            if asks(&instances.second, cookie) == 401 {
                break;
            }
            assert!(began < Duration::from_secs(1), "still believed after {began:?}");
        }
    }
}

#[test]
fn another_history_of_the_same_length_is_followed() {
    let instances = Instances::start();
    let admin = instances.first.sign_in();
    admin.switch("theme", true);
    let key = instances.first.server_key();
    let bearer = format!("Bearer {key}");
    let definitions = |server: &Server| server.get("/api/v1/definitions").key(&key);
    until("both have seen it", || instances.revisions().0 == instances.revisions().1);
    let before = definitions(&instances.first).send();
    let tag = before.header("etag").unwrap();
    let revision = before.json()["revision"].to_string();
    let streams = [&instances.first, &instances.second]
        .map(|one| one.stream("/api/v1/stream", &[("authorization", &bearer)]));

    // As after a failover to a copy without the last change, and another change there.
    let sql = "UPDATE flag_configs SET config = REPLACE(config, '\"enabled\":true', '\"enabled\":false'); \
        UPDATE changes SET created_at = created_at + 1000000 WHERE revision = \
        (SELECT revision FROM environments WHERE id = environment_id)";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(instances.database.execute(sql)).unwrap();
    for (server, stream) in [&instances.first, &instances.second].into_iter().zip(streams) {
        stream.line(|line| line == "event: refetch");
        let after = definitions(server).header("if-none-match", tag).send();
        assert_eq!(after.status, 200, "what is cached is of the other history");
        assert_eq!(after.json()["revision"].to_string(), revision);
        let reason = server.post("/api/v1/evaluate/theme").key(&key).send().json()["reason"].clone();
        assert_eq!(reason, "disabled");
        let headers = [("authorization", bearer.as_str()), ("last-event-id", &revision)];
        server.stream("/api/v1/stream", &headers).line(|line| line == "event: refetch");
    }
}
