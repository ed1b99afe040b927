//! Three instances behind the shipped nginx configuration, and clients that meet another one with each request (R81).

use std::{
    io::Write,
    net::TcpStream,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use flagstone_services::store::testing::TestDatabase;
use serde_json::{Value, json};

use crate::{
    PROJECTS,
    front::{Proxy, free_address},
    harness::{Answer, EventStream, Request, Server, Setup},
    until,
};

const ME: &str = "/api/auth/me";
const KEYS: &str = "/api/management/projects/demo/environments/development/keys";
const EVALUATE: &str = "/ofrep/v1/evaluate/flags";
const STREAM: &str = "/api/v1/stream";
/// Of the demonstration.
const FLAGS: [&str; 5] = ["beta-search", "new-checkout", "banner-text", "max-items", "theme"];
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "violin gravel otter seventeen";
/// Clients that ask all the time.
const CLIENTS: usize = 4;
/// Answers that each of them gets while something goes on.
const ANSWERS: u64 = 30;
/// The longest that what one instance ended is believed by the others.
const BELIEVED: Duration = Duration::from_secs(1);

/// Three instances on one database behind nginx.
struct Balanced {
    instances: [Server; 3],
    nginx: Proxy,
    agent: ureq::Agent,
    setup: Setup,
    database: std::sync::Arc<TestDatabase>,
}

/// Somebody who signed in through nginx.
struct Member<'b> {
    balanced: &'b Balanced,
    cookie: String,
}

/// Ends the clients, also where the test fails.
struct Ending<'s>(&'s AtomicBool);

#[test]
fn who_signs_in_at_one_is_known_to_all_until_the_session_ends() {
    let balanced = Balanced::start(Setup::demo());
    let (admin, other) = (balanced.admin(), balanced.admin());
    for instance in &balanced.instances {
        assert_eq!(admin.at(instance, ME), 200);
    }
    for _ in &balanced.instances {
        assert_eq!(admin.request("GET", "/api/auth/sessions").send().status, 200);
    }
    let asked = r#"http_request_duration_seconds_count{method="GET",path="/api/auth/sessions",status="200"}"#;
    for instance in &balanced.instances {
        assert_eq!(instance.figure(asked), 1, "nginx asks them in turn");
    }
    // What pages of other origins send is refused, and what its own do is taken, whoever gets it.
    for number in 0..3 {
        let create = |origin: &str| {
            let document = json!({ "key": format!("web-{number}") });
            admin.request("POST", PROJECTS).header("origin", origin).json(&document).send().status
        };
        assert_eq!(create("https://elsewhere.example"), 403);
        assert_eq!(create(&balanced.url()), 201);
    }
    assert_eq!(admin.request("POST", "/api/auth/logout").send().status, 204);
    balanced.all_answer(401, ME, &admin.cookie);
    balanced.all_answer(200, ME, &other.cookie);
}

#[test]
fn what_becomes_of_a_user_counts_at_all() {
    let balanced = Balanced::start(Setup::demo());
    balanced.user(&["create", EMAIL, "--role", "admin"], PASSWORD);
    let ada = balanced.sign_in(EMAIL, PASSWORD).unwrap();
    balanced.all_answer(200, KEYS, &ada.cookie);
    balanced.execute("UPDATE users SET role = 'member' WHERE email = 'ada@example.com'");
    balanced.all_answer(403, KEYS, &ada.cookie);
    balanced.all_answer(200, ME, &ada.cookie);

    balanced.user(&["set-password", EMAIL], "seventeen otter gravel violin");
    balanced.all_answer(401, ME, &ada.cookie);
    let ada = balanced.sign_in(EMAIL, "seventeen otter gravel violin").unwrap();
    balanced.all_answer(200, ME, &ada.cookie);

    // Failures are counted together. The wait after the fifth is a second: it is made longer than the test.
    for _ in 0..5 {
        assert!(balanced.sign_in(EMAIL, PASSWORD).is_err());
    }
    balanced
        .execute("UPDATE failed_attempts SET locked_until = locked_until + 900000000 WHERE kind = 'account'");
    for instance in &balanced.instances {
        let credentials = json!({ "email": EMAIL, "password": "seventeen otter gravel violin" });
        assert!(instance.sign_in_with(&credentials).is_err(), "the account is locked");
    }
    balanced.all_answer(200, ME, &ada.cookie);

    balanced.execute("DELETE FROM users WHERE email = 'ada@example.com'");
    balanced.all_answer(401, ME, &ada.cookie);
}

#[test]
fn a_set_up_token_counts_once_among_all() {
    let balanced = Balanced::start(Setup::shipped());
    let [first, second, third] = &balanced.instances;
    let token = balanced.user(&["setup-token"], "");
    let set_up = |server: &Server| {
        let body = json!({ "token": token.trim(), "email": EMAIL, "password": PASSWORD });
        server.post("/api/auth/setup").json(&body).send().status
    };
    assert_eq!(set_up(second), 201);
    assert_eq!((set_up(first), set_up(second), set_up(third)), (409, 409, 409));
    let admin = balanced.sign_in(EMAIL, PASSWORD).unwrap();
    balanced.all_answer(200, ME, &admin.cookie);
}

#[test]
fn a_key_opens_all_until_it_is_revoked() {
    let balanced = Balanced::start(Setup::demo());
    let admin = balanced.admin();
    let made = admin.request("POST", KEYS).json(&json!({ "kind": "client" })).send();
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    let ask = |server: &Server| server.post(EVALUATE).key(key).json(&json!({ "context": {} })).send();
    let mut streams = Vec::new();
    for (number, instance) in balanced.instances.iter().enumerate() {
        until("the key is taken", || ask(instance).status == 200);
        streams.push(instance.stream(STREAM, &[("authorization", &format!("Bearer {key}"))]));
        // A token for a stream, given by one, opens it at another.
        let path = ask(instance).json()["eventStreams"][0]["endpoint"]["requestUri"].take();
        let next = &balanced.instances[(number + 1) % 3];
        until("it has the key too", || ask(next).status == 200);
        streams.push(next.stream(path.as_str().unwrap(), &[]));
    }
    let revoked = admin.request("DELETE", &format!("{KEYS}/{}", made["id"].as_str().unwrap())).send();
    assert_eq!(revoked.status, 204, "{revoked:?}");
    for (instance, streams) in balanced.instances.iter().zip(streams.chunks(2)) {
        until("the key is refused", || ask(instance).status == 401);
        streams.iter().for_each(|stream| drop(stream.end()));
    }
}

#[test]
fn a_change_made_anywhere_is_everywhere_in_the_same_order() {
    let balanced = Balanced::start(Setup::demo());
    let admin = balanced.admin();
    let key = balanced.instances[0].server_key();
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let streams = balanced.instances.each_ref().map(|one| one.stream(STREAM, &headers));
    let begun = balanced.same_answers(&balanced.instances)["revision"].as_u64().unwrap();
    let wanted: Vec<(u64, String)> = (1..=20)
        .map(|number: usize| (begun + number as u64, FLAGS[number % FLAGS.len()].to_owned()))
        .collect();
    // Each through another instance.
    for (number, (_, flag)) in wanted.iter().enumerate() {
        // All off, then all on, and so on: each is a change.
        admin.switch(flag, number / FLAGS.len() % 2 == 1);
    }
    for stream in &streams {
        let seen: Vec<(u64, String)> = wanted.iter().map(|_| event(stream)).collect();
        assert_eq!(seen, wanted);
    }
    balanced.same_answers(&balanced.instances);

    // A client whose stream broke off goes on at another instance, where it left off.
    let [first, second, _] = &balanced.instances;
    for moved in 1..=3 {
        let last_seen = wanted[wanted.len() - 1 - moved].0.to_string();
        let headers = [("authorization", bearer.as_str()), ("last-event-id", last_seen.as_str())];
        for resumed in [
            first.stream(STREAM, &headers),
            second.stream(STREAM, &headers),
            EventStream::open(balanced.nginx.address, STREAM, &headers),
        ] {
            for missed in &wanted[wanted.len() - moved..] {
                assert_eq!(event(&resumed), *missed);
            }
        }
    }
}

#[test]
fn an_instance_that_stands_still_is_passed_over_and_catches_up() {
    let balanced = Balanced::start(Setup::demo());
    let admin = balanced.admin();
    let [first, second, third] = &balanced.instances;
    let bearer = format!("Bearer {}", first.client_key());
    let streams = [second, third].map(|one| one.stream(STREAM, &[("authorization", &bearer)]));
    balanced.under_load(|go_on| {
        second.signal("STOP");
        for enabled in [false, true, false] {
            for flag in FLAGS {
                admin.switch_at(first, flag, enabled);
            }
        }
        go_on();
        balanced.same_answers_of(&[first, third]);
        second.signal("CONT");
        balanced.same_answers(&balanced.instances);
    });
    let [late, all_along] = streams.map(|stream| (0..15).map(|_| event(&stream)).collect::<Vec<_>>());
    assert_eq!(late, all_along, "it missed none");
}

#[test]
fn an_instance_that_stops_is_missed_by_nobody() {
    let mut balanced = Balanced::start(Setup::demo());
    let bearer = format!("Bearer {}", balanced.instances[0].client_key());
    // One at each: nginx asks them in turn.
    let streams =
        [(); 3].map(|()| EventStream::open(balanced.nginx.address, STREAM, &[("authorization", &bearer)]));
    let admin = balanced.admin();
    balanced.under_load(|go_on| {
        admin.switch("theme", false);
        let seen = streams.each_ref().map(event);
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        balanced.instances[1].signal("TERM");
        until("it is gone", || TcpStream::connect(balanced.instances[1].address()).is_err());
        go_on();
        admin.switch_at(&balanced.instances[0], "banner-text", false);
        let last_seen = seen[0].0.to_string();
        let headers = [("authorization", bearer.as_str()), ("last-event-id", last_seen.as_str())];
        let missed = event(&EventStream::open(balanced.nginx.address, STREAM, &headers));
        assert_eq!(missed, (seen[0].0 + 1, "banner-text".to_owned()));
        let ended = streams.iter().filter(|stream| stream.data_or_end().is_none()).count();
        assert_eq!(ended, 1, "only its own stream ended");
    });
    assert!(balanced.instances[1].wait().success());
}

/// The next event's revision and flag.
fn event(stream: &EventStream) -> (u64, String) {
    let data = stream.data();
    (data["revision"].as_u64().unwrap(), data["flagKey"].as_str().unwrap_or_default().to_owned())
}

// === impl Balanced ===

impl Balanced {
    fn start(first: Setup) -> Self {
        let address = free_address();
        let database = first.postgres();
        let behind = |setup: Setup| {
            setup
                .variable("DATABASE_URL", database.address())
                .variable("PUBLIC_URL", &format!("http://{address}"))
                .variable("TRUSTED_PROXIES", "127.0.0.1")
                .variable("RATE_LIMIT_MAX", "1000000")
                .variable("STRICT_RATE_LIMIT_MAX", "1000000")
                .pipeline(|text| text.replace("requests = 5000", "requests = 1000000"))
        };
        let setup = behind(Setup::shipped());
        // One after the other: the demonstration needs an empty database.
        let instances = [behind(first), setup.clone(), behind(Setup::shipped())].map(Setup::start);
        let nginx = Proxy::nginx_before(address, &instances.each_ref().map(Server::address));
        let agent = instances[0].agent();
        Self { instances, nginx, agent, setup, database }
    }

    /// Where people reach all of them.
    fn url(&self) -> String {
        format!("http://{}", self.nginx.address)
    }

    /// A request to whichever instance nginx chooses.
    fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.agent, method, format!("{}{path}", self.url()))
    }

    fn sign_in(&self, email: &str, password: &str) -> Result<Member<'_>, Answer> {
        let credentials = json!({ "email": email, "password": password });
        let answer = self.request("POST", "/api/auth/login").json(&credentials).send();
        match answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()) {
            Some(cookie) if answer.status == 200 => Ok(Member { balanced: self, cookie: cookie.to_owned() }),
            _ => Err(answer),
        }
    }

    /// The demonstration's.
    fn admin(&self) -> Member<'_> {
        let demo = &self.instances[0].demo;
        let [email, password] = ["email", "password"].map(|name| demo[name].as_str().unwrap());
        self.sign_in(email, password).unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    /// Runs `flagstone user` beside the instances. Returns what it printed.
    fn user(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.setup.command(&[&["user"], arguments].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Changes the database behind the instances' backs.
    fn execute(&self, sql: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.database.execute(sql)).unwrap();
    }

    /// Each instance answers so from now on, but to requests that began while it may believe what it knew.
    fn all_answer(&self, status: u16, path: &str, cookie: &str) {
        let since = Instant::now();
        let member = Member { balanced: self, cookie: cookie.to_owned() };
        for (number, instance) in self.instances.iter().enumerate() {
            loop {
                let began = since.elapsed();
                let answer = member.at(instance, path);
                if answer == status {
                    break;
                }
                assert!(began < BELIEVED, "instance {number} answers {answer} after {began:?}");
            }
        }
    }

    /// Waits until these instances have the same definitions, which is what it returns. Then they answer alike.
    fn same_answers_of(&self, instances: &[&Server]) -> Value {
        let key = self.instances[0].server_key();
        let all = |ask: &dyn Fn(&Server) -> Value| -> Option<Value> {
            let mut answers: Vec<Value> = instances.iter().map(|one| ask(one)).collect();
            answers.windows(2).all(|pair| pair[0] == pair[1]).then(|| answers.swap_remove(0))
        };
        let definitions = || all(&|one| one.get("/api/v1/definitions").key(&key).send().json());
        until("all are at the same state", || definitions().is_some());
        let context = json!({ "context": { "targetingKey": "ada", "plan": "pro" } });
        let flags = all(&|one| one.post(EVALUATE).key(&key).json(&context).send().json()["flags"].take());
        assert_eq!(flags.expect("all answer alike").as_array().unwrap().len(), FLAGS.len());
        definitions().unwrap()
    }

    fn same_answers(&self, instances: &[Server; 3]) -> Value {
        self.same_answers_of(&instances.each_ref())
    }

    /// Clients ask nginx for flags, before, while and after something happens: each of their requests is answered. What
    /// happens can wait until they had some answers more.
    fn under_load(&self, happening: impl FnOnce(&dyn Fn())) {
        let (done, failures) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let answered: [AtomicU64; CLIENTS] = Default::default();
        let (agent, url, key) = (&self.agent, self.url(), self.instances[0].server_key());
        let request = |method, path| Request::new(agent, method, format!("{url}{path}")).key(&key);
        let context = json!({ "context": { "targetingKey": "ada" } });
        let client = |answered: &AtomicU64| {
            while !done.load(Ordering::Relaxed) {
                for request in [
                    request("POST", EVALUATE).json(&context),
                    request("POST", "/api/v1/evaluate/theme").json(&context),
                    request("GET", "/api/v1/definitions"),
                ] {
                    match request.try_send() {
                        Ok(answer) if answer.status == 200 => answered.fetch_add(1, Ordering::Relaxed),
                        failure => return failures.lock().unwrap().push(failure),
                    };
                }
            }
        };
        let go_on = || {
            let before = answered.each_ref().map(|count| count.load(Ordering::Relaxed));
            until("clients are answered", || {
                assert!(failures.lock().unwrap().is_empty(), "{failures:?}");
                let counts = answered.iter().zip(before);
                counts.into_iter().all(|(now, before)| now.load(Ordering::Relaxed) >= before + ANSWERS)
            });
        };
        thread::scope(|scope| {
            let _ending = Ending(&done);
            answered.iter().for_each(|answered| drop(scope.spawn(|| client(answered))));
            go_on();
            happening(&go_on);
            go_on();
        });
        assert!(failures.lock().unwrap().is_empty(), "{failures:?}");
    }
}

// === impl Member ===

impl Member<'_> {
    fn request(&self, method: &str, path: &str) -> Request {
        self.balanced.request(method, path).header("cookie", &self.cookie)
    }

    /// The status of one instance's answer.
    fn at(&self, instance: &Server, path: &str) -> u16 {
        instance.get(path).header("cookie", &self.cookie).send().status
    }

    /// Switches a flag of the demonstration on or off through nginx.
    fn switch(&self, flag: &str, enabled: bool) {
        switch(|method, path| self.request(method, path), flag, enabled);
    }

    /// The same at one of the instances.
    fn switch_at(&self, instance: &Server, flag: &str, enabled: bool) {
        switch(|method, path| instance.request(method, path).header("cookie", &self.cookie), flag, enabled);
    }
}

fn switch(request: impl Fn(&str, &str) -> Request, flag: &str, enabled: bool) {
    let path = format!("{PROJECTS}/demo/flags/{flag}/environments/development");
    let mut config = request("GET", &path).send().json();
    config["enabled"] = json!(enabled);
    let answer = request("PUT", &path).header("if-match", "*").json(&config).send();
    assert_eq!(answer.status, 200, "{answer:?}");
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
