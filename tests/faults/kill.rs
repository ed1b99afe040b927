//! `kill -9` at random moments of a write load: what was acknowledged is there, and what was not is there whole or not
//! at all (R74).

use std::{
    collections::HashMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Request, Setup},
    machine::pass,
    random::Random,
    records::Records,
};

const KILLS: u64 = 50;
const CLIENTS: u64 = 4;
/// The longest that a server is let live under load.
const LIFE: Duration = Duration::from_millis(400);
/// After this time there are no more kills, and a failure where there were too few to mean anything.
const BUDGET: Duration = Duration::from_secs(90);
const PASSWORD: &str = "a long and quiet evening";
const WEB: &str = "/api/management/projects/web";

/// What a client knows of what it did.
#[derive(Default)]
struct Ledger {
    /// Each flag's last state that was acknowledged, and whether the next was asked for.
    flags: HashMap<String, (Stage, bool)>,
    /// Each key's name and whether its revocation was acknowledged or asked for.
    keys: HashMap<String, Revocation>,
}

/// What becomes of each flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nothing,
    Created,
    Enabled,
    Archived,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revocation {
    Asked,
    Acknowledged,
}

/// A client that writes until the server is gone.
struct Client<'s> {
    agent: ureq::Agent,
    url: &'s str,
    cookie: &'s str,
    ledger: Ledger,
    acknowledged: &'s AtomicU64,
}

/// Each client has an environment's keys of one kind to itself: two of a kind may be valid at a time.
fn keys_of(client: &str) -> (String, &'static str) {
    let number: u64 = client.split('-').nth(1).unwrap().parse().unwrap();
    let kind = if number.is_multiple_of(2) { "server" } else { "client" };
    let environment = if number < 2 { "staging" } else { "production" };
    (format!("{WEB}/environments/{environment}/keys"), kind)
}

// === impl Client ===

impl Client<'_> {
    /// Takes each flag through its stages, with a key beside it.
    fn write(mut self, name: &str) -> Ledger {
        if self.revoke_left_over(name).is_none() {
            return self.ledger;
        }
        for number in 0_u64.. {
            if self.flag(&format!("{name}-{number}")).is_none()
                || self.key(&format!("{name}-{number}")).is_none()
            {
                break;
            }
        }
        self.ledger
    }

    fn flag(&mut self, key: &str) -> Option<()> {
        let flag = json!({ "key": key, "type": "boolean", "tags": ["killed", key] });
        self.ledger.flags.insert(key.to_owned(), (Stage::Nothing, true));
        let made = self.send(self.request("POST", &format!("{WEB}/flags")).json(&flag))?;
        self.reach(key, Stage::Created);
        let path = format!("{WEB}/flags/{key}/environments/development");
        let mut config = made["environments"]["development"].clone();
        config["enabled"] = json!(true);
        self.ask(key);
        self.send(self.request("PUT", &path).header("if-match", "*").json(&config))?;
        self.reach(key, Stage::Enabled);
        let mut archived = made;
        archived["archived"] = json!(true);
        archived.as_object_mut().unwrap().remove("environments");
        self.ask(key);
        self.send(
            self.request("PUT", &format!("{WEB}/flags/{key}")).header("if-match", "*").json(&archived),
        )?;
        self.reach(key, Stage::Archived);
        Some(())
    }

    fn key(&mut self, name: &str) -> Option<()> {
        let (path, kind) = keys_of(name);
        let made = self.send(self.request("POST", &path).json(&json!({ "kind": kind, "name": name })))?;
        self.revoke(&path, &made)
    }

    fn revoke(&mut self, path: &str, key: &Value) -> Option<()> {
        let name = key["name"].as_str().unwrap();
        self.ledger.keys.insert(name.to_owned(), Revocation::Asked);
        self.send(self.request("DELETE", &format!("{path}/{}", key["id"].as_str().unwrap())))?;
        self.ledger.keys.insert(name.to_owned(), Revocation::Acknowledged);
        Some(())
    }

    /// Revokes what a client before this one, which was cut short, left valid.
    fn revoke_left_over(&mut self, name: &str) -> Option<()> {
        let (path, kind) = keys_of(name);
        let keys = self.send(self.request("GET", &path))?;
        for key in keys["data"].as_array().unwrap() {
            if key["kind"] == kind && key["revoked_at"].is_null() {
                self.revoke(&path, key)?;
            }
        }
        Some(())
    }

    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.agent, method, format!("{}{path}", self.url)).header("cookie", self.cookie)
    }

    /// Nothing where the server is gone.
    fn send(&self, request: Request) -> Option<Value> {
        let answer = request.try_send().ok()?;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Some(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn ask(&mut self, key: &str) {
        self.ledger.flags.get_mut(key).unwrap().1 = true;
    }

    fn reach(&mut self, key: &str, stage: Stage) {
        self.ledger.flags.insert(key.to_owned(), (stage, false));
    }
}

// === impl Ledger ===

impl Ledger {
    fn extend(&mut self, other: Self) {
        self.flags.extend(other.flags);
        self.keys.extend(other.keys);
    }

    fn is_kept_in(&self, records: &Records) {
        let flags = records.flags();
        for (key, (acknowledged, asked)) in &self.flags {
            let found = match flags.get(key) {
                None => Stage::Nothing,
                Some(flag) if flag.archived => Stage::Archived,
                Some(flag) if flag.enabled => Stage::Enabled,
                Some(_) => Stage::Created,
            };
            let next = if *asked { *acknowledged as u8 + 1 } else { *acknowledged as u8 };
            assert!(
                found >= *acknowledged && found as u8 <= next,
                "{key}: {acknowledged:?}, found {found:?}"
            );
        }
        let keys = records.keys();
        for (name, revocation) in &self.keys {
            let revoked = keys.get(name).unwrap_or_else(|| panic!("the key {name} is lost"));
            assert!(*revoked || *revocation != Revocation::Acknowledged, "{name} is valid again");
        }
    }
}

#[test]
fn fifty_kills_lose_nothing() {
    let setup = Setup::shipped()
        .variable("ADMIN_PASSWORD", PASSWORD)
        .variable("RATE_LIMIT_MAX", "1000000")
        .variable("STRICT_RATE_LIMIT_MAX", "1000000");
    let file = setup.folder().join("killed.db");
    let setup = setup.database(&file);
    let (mut random, mut ledger, acknowledged) =
        (Random::seeded("FLAGSTONE_KILL_SEED"), Ledger::default(), AtomicU64::new(0));
    let cookie = first_start(&setup);
    let begun = Instant::now();
    let mut kills = 0;
    while kills < KILLS && begun.elapsed() < BUDGET {
        let mut server = setup.clone().start();
        let client = || Client {
            agent: server.agent(),
            url: &server.url,
            cookie: &cookie,
            ledger: Ledger::default(),
            acknowledged: &acknowledged,
        };
        let life = random.below(LIFE);
        let ledgers: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (client, name) = (client(), format!("k{kills}-{number}"));
                    scope.spawn(move || client.write(&name))
                })
                .collect();
            pass(life);
            server.signal("KILL");
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        server.wait();
        kills += 1;
        ledgers.into_iter().for_each(|one| ledger.extend(one));
        check(&ledger, &file);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{kills} kills in {seconds:.1} s, {} changes acknowledged",
        acknowledged.load(Ordering::Relaxed)
    );
    assert!(kills >= KILLS / 2, "only {kills} kills in {seconds:.1} s");
    assert!(acknowledged.load(Ordering::Relaxed) > KILLS, "too few to mean anything");
    after_the_last(&setup, &cookie, &file);
}

/// Makes the project; the session's cookie, which outlives every kill.
fn first_start(setup: &Setup) -> String {
    let server = setup.clone().start();
    let credentials = json!({ "email": "admin@localhost", "password": PASSWORD });
    let admin = server.sign_in_with(&credentials).unwrap_or_else(|answer| panic!("{answer:?}"));
    let made = admin.post("/api/management/projects").json(&json!({ "key": "web" })).send();
    assert_eq!(made.status, 201, "{made:?}");
    admin.cookie().to_owned()
}

fn check(ledger: &Ledger, file: &Path) {
    let records = Records::open(file);
    records.agree();
    ledger.is_kept_in(&records);
}

/// The server goes on where it was: a stream's next event has the next revision.
fn after_the_last(setup: &Setup, cookie: &str, file: &Path) {
    let server = setup.clone().start();
    let key = server
        .post(&format!("{WEB}/environments/development/keys"))
        .header("cookie", cookie)
        .json(&json!({ "kind": "server", "name": "last" }))
        .send();
    let key = key.json()["key"].as_str().unwrap_or_else(|| panic!("{key:?}")).to_owned();
    let sql = "SELECT revision FROM environments WHERE key = 'development'";
    let revision = Records::open(file).number(sql);
    let stream = server.stream("/api/v1/stream", &[("authorization", &format!("Bearer {key}"))]);
    let flag = json!({ "key": "last", "type": "boolean" });
    let made = server.post(&format!("{WEB}/flags")).header("cookie", cookie).json(&flag).send();
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(stream.data()["revision"], revision + 1);
}
