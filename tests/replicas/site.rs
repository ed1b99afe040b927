//! Three instances on one database, each behind a proxy on its way there.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    harness::{Answer, EventStream, Request, Server, Setup},
    history::{Figures, History},
    proxy::Proxy,
    records::Records,
    settle, until,
};

pub(crate) const DATABASE: &str = "flagstone";
pub(crate) const PROJECT: &str = "/api/management/projects/web";
/// Those that a project is made with.
pub(crate) const ENVIRONMENTS: [&str; 3] = ["development", "staging", "production"];
pub(crate) const PASSWORD: &str = "a long and quiet evening";

/// How long an instance waits for a connection, and for each statement.
const DATABASE_TIMEOUT: &str = "2s";
/// The longest that management takes to answer, whatever is broken: a change waits up to 10 s for those before it, and
/// then as above; the rest is slack for a busy machine.
const ANSWERED: Duration = Duration::from_secs(25);
/// The longest that an instance is waited for, a paused one too.
const GIVEN_UP: Duration = Duration::from_secs(100);
/// Between two evaluations.
const PACE: Duration = Duration::from_millis(10);
/// Keys looked at after each fault; after the last, all are.
const LATEST: usize = 12;

/// All there is.
pub(crate) struct Site {
    pub(crate) cluster: Mutex<Cluster>,
    pub(crate) instances: [Instance; 3],
    pub(crate) history: History,
    /// The session's cookie, which every instance takes.
    pub(crate) cookie: String,
    /// A server key for each environment.
    pub(crate) keys: [String; 3],
    /// The ids of the keys that writers made, and the keys.
    pub(crate) secrets: Mutex<Vec<(String, String)>>,
    /// Held by writers while they ask for something, and by whoever needs them quiet.
    pub(crate) quiet: RwLock<()>,
    pub(crate) done: AtomicBool,
    pub(crate) evaluations: AtomicU64,
    /// The longest that the instances took to be well again.
    pub(crate) healing: Mutex<Duration>,
}

/// One of the instances.
pub(crate) struct Instance {
    pub(crate) proxy: Proxy,
    setup: Setup,
    server: Mutex<Option<Server>>,
    url: RwLock<String>,
    agent: ureq::Agent,
    /// Odd while it is paused or gone.
    disturbances: AtomicU64,
    /// The longest that an answer took while it was not.
    longest: Mutex<Duration>,
}

/// Ends the run, also where the test fails.
pub(crate) struct Ending<'s>(pub(crate) &'s AtomicBool);

/// The shipped configuration on this database.
pub(crate) fn setup(database: &str) -> Setup {
    Setup::shipped()
        .variable("DATABASE_URL", database)
        .variable("ADMIN_PASSWORD", PASSWORD)
        .variable("RATE_LIMIT_MAX", "10000000")
        .variable("STRICT_RATE_LIMIT_MAX", "10000000")
        .variable("FLAGSTONE_DATABASE__WAIT_TIMEOUT", DATABASE_TIMEOUT)
        .variable("FLAGSTONE_DATABASE__STATEMENT_TIMEOUT", DATABASE_TIMEOUT)
        .variable("FLAGSTONE_DATABASE__CONNECTIONS", "6")
        .variable("LOG_FILE", "log.json")
}

// === impl Site ===

impl Site {
    /// Starts everything on an empty database: the instances at once.
    pub(crate) fn start() -> Self {
        let cluster = Cluster::start_new();
        cluster.create(DATABASE);
        let instances = [(); 3].map(|()| Instance::new(cluster.address()));
        thread::scope(|scope| {
            for instance in &instances {
                scope.spawn(|| instance.start());
            }
        });
        let (cookie, keys) = {
            let server = instances[0].server.lock().unwrap();
            prepare(server.as_ref().unwrap())
        };
        for (instance, key) in instances.iter().flat_map(|one| keys.iter().map(move |key| (one, key))) {
            until("all know the keys", || {
                let asked = instance.send(instance.request("POST", "/api/v1/evaluate").key(key));
                asked.is_some_and(|answer| answer.status == 200)
            });
        }
        Self {
            cluster: Mutex::new(cluster),
            instances,
            history: History::default(),
            cookie,
            keys,
            secrets: Mutex::default(),
            quiet: RwLock::default(),
            done: AtomicBool::new(false),
            evaluations: AtomicU64::new(0),
            healing: Mutex::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// Evaluates on one instance until the end. It answers, whatever happens.
    pub(crate) fn evaluate(&self, number: usize) {
        let _ending = Ending(&self.done);
        let instance = &self.instances[number];
        let context = json!({ "context": { "user_id": "ada" } });
        while !self.is_done() {
            let request = instance.request("POST", "/api/v1/evaluate").key(&self.keys[0]).json(&context);
            if let Some(answer) = instance.send(request) {
                assert_eq!(answer.status, 200, "instance {number}: {answer:?}");
                self.evaluations.fetch_add(1, Ordering::Relaxed);
            }
            thread::park_timeout(PACE);
        }
    }

    /// Waits until everything is healed, with the writers quiet, and checks that nothing was lost, done by half, or is
    /// otherwise on one instance than on the others or in the database.
    pub(crate) fn heals(&self, is_last: bool) -> Figures {
        let began = Instant::now();
        let _quiet = self.quiet.write().unwrap();
        for (number, instance) in self.instances.iter().enumerate() {
            until(&format!("instance {number} is ready"), || {
                let answer = instance.send(instance.request("GET", "/health/ready"));
                answer.is_some_and(|answer| answer.status == 200)
            });
        }
        let address = self.cluster.lock().unwrap().address();
        settle("all instances answer as the database is", || {
            let records = Records::open(address);
            self.answer_as(&records)?;
            self.open_as(&records, if is_last { usize::MAX } else { LATEST })
        });
        let mut healing = self.healing.lock().unwrap();
        *healing = healing.max(began.elapsed());
        drop(healing);
        for key in &self.keys {
            for path in ["/api/v1/evaluate", "/ofrep/v1/evaluate/flags"] {
                let context = json!({ "context": { "targetingKey": "ada" } });
                let [first, others @ ..] = self.instances.each_ref().map(|instance| {
                    let request = instance.request("POST", path).key(key).json(&context);
                    instance.send(request).unwrap().json()["flags"].take()
                });
                assert!(others.iter().all(|other| *other == first), "{path}: {first} {others:?}");
            }
        }
        let records = Records::open(address);
        records.agree();
        self.history.check(&records)
    }

    /// Revisions and flags.
    fn answer_as(&self, records: &Records) -> Result<(), String> {
        for (environment, key) in ENVIRONMENTS.into_iter().zip(&self.keys) {
            let (revision, flags) = (records.revision(environment), records.flags(environment));
            for (number, instance) in self.instances.iter().enumerate() {
                let definitions = instance.definitions(key).ok_or("no definitions")?;
                if definitions["revision"] != revision {
                    let shown = &definitions["revision"];
                    return Err(format!("instance {number}, {environment}: {shown}, stored is {revision}"));
                }
                let shown = definitions["flags"].as_array().unwrap();
                if shown.len() != flags.len() {
                    return Err(format!("instance {number}: {} flags of {}", shown.len(), flags.len()));
                }
                for flag in shown {
                    let (config, stored) =
                        (&flag["environments"][environment], flags.get(flag["key"].as_str().unwrap()));
                    let of_writers = json!([
                        flag["version"],
                        flag["description"],
                        config["version"],
                        config["enabled"],
                        config["salt"]
                    ]);
                    if stored != Some(&of_writers) {
                        return Err(format!("instance {number}: {flag}, stored is {stored:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The latest keys open, or do not, what they should.
    fn open_as(&self, records: &Records, latest: usize) -> Result<(), String> {
        let valid = records.keys();
        for (id, secret) in self.secrets.lock().unwrap().iter().rev().take(latest) {
            // One that a failover lost is not there.
            let wanted = if valid.get(id) == Some(&true) { 200 } else { 401 };
            for (number, instance) in self.instances.iter().enumerate() {
                let answer = instance.send(instance.request("POST", "/api/v1/evaluate").key(secret));
                let status = answer.map(|answer| answer.status);
                if status != Some(wanted) {
                    return Err(format!("instance {number}: {status:?} to the key {id}, {wanted} is right"));
                }
            }
        }
        Ok(())
    }
}

/// The administrator's cookie, and a server key for each environment of a new project.
fn prepare(server: &Server) -> (String, [String; 3]) {
    let credentials = json!({ "email": "admin@localhost", "password": PASSWORD });
    let admin = server.sign_in_with(&credentials).unwrap_or_else(|answer| panic!("{answer:?}"));
    let made = admin.post("/api/management/projects").json(&json!({ "key": "web" })).send();
    assert_eq!(made.status, 201, "{made:?}");
    let keys = ENVIRONMENTS.map(|environment| {
        let path = format!("{PROJECT}/environments/{environment}/keys");
        let made = admin.post(&path).json(&json!({ "kind": "server", "name": "all along" })).send();
        made.json()["key"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
    });
    (admin.cookie().to_owned(), keys)
}

// === impl Instance ===

impl Instance {
    fn new(database: SocketAddr) -> Self {
        let proxy = Proxy::to(database);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(GIVEN_UP));
        Self {
            setup: setup(&Cluster::url(DATABASE, proxy.address())),
            proxy,
            server: Mutex::default(),
            url: RwLock::default(),
            agent: agent.build().into(),
            disturbances: AtomicU64::new(0),
            longest: Mutex::default(),
        }
    }

    fn start(&self) {
        let server = self.setup.clone().start();
        self.url.write().unwrap().clone_from(&server.url);
        *self.server.lock().unwrap() = Some(server);
    }

    /// Kills it and starts it again.
    pub(crate) fn crash(&self) {
        self.disturbances.fetch_add(1, Ordering::SeqCst);
        let mut server = self.server.lock().unwrap().take().unwrap();
        server.signal("KILL");
        server.wait();
        self.start();
        self.disturbances.fetch_add(1, Ordering::SeqCst);
    }

    /// Nothing of it runs while `meanwhile` does.
    pub(crate) fn pause(&self, meanwhile: impl FnOnce()) {
        let server = self.server.lock().unwrap();
        self.disturbances.fetch_add(1, Ordering::SeqCst);
        server.as_ref().unwrap().signal("STOP");
        meanwhile();
        server.as_ref().unwrap().signal("CONT");
        self.disturbances.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn stream(&self, key: &str) -> EventStream {
        let bearer = format!("Bearer {key}");
        let server = self.server.lock().unwrap();
        server.as_ref().unwrap().stream("/api/v1/stream", &[("authorization", &bearer)])
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.agent, method, format!("{}{path}", self.url.read().unwrap()))
    }

    /// The answer; nothing where the instance was paused or gone meanwhile, and fails where it was not.
    pub(crate) fn send(&self, request: Request) -> Option<Answer> {
        let before = self.disturbances.load(Ordering::SeqCst);
        let began = Instant::now();
        let outcome = request.try_send();
        let is_disturbed = !before.is_multiple_of(2) || self.disturbances.load(Ordering::SeqCst) != before;
        match outcome {
            Ok(answer) => {
                if !is_disturbed {
                    let took = began.elapsed();
                    assert!(took < ANSWERED, "{took:?}: {answer:?}");
                    let mut longest = self.longest.lock().unwrap();
                    *longest = longest.max(took);
                }
                Some(answer)
            }
            Err(error) => {
                assert!(is_disturbed, "after {:?}: {error}", began.elapsed());
                None
            }
        }
    }

    pub(crate) fn longest(&self) -> Duration {
        *self.longest.lock().unwrap()
    }

    fn definitions(&self, key: &str) -> Option<Value> {
        let answer = self.send(self.request("GET", "/api/v1/definitions").key(key))?;
        assert_eq!(answer.status, 200, "{answer:?}");
        Some(answer.json())
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
