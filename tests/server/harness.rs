//! Starts servers of its own on free ports, speaks to them and ends them.

#[path = "harness/event_stream.rs"]
mod event_stream;
#[path = "harness/request.rs"]
mod request;

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use flagstone_services::store::testing::{self, TestDatabase};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

pub(crate) use self::{
    event_stream::EventStream,
    request::{Answer, Request},
};

/// The longest anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server to be started. Clones share the folder: with a database in it, they start the same server again.
#[derive(Clone)]
pub(crate) struct Setup {
    folder: Arc<TempDir>,
    /// Where the tests run on PostgreSQL.
    database: Option<Arc<TestDatabase>>,
    variables: HashMap<String, String>,
    binary: PathBuf,
    /// What starts the binary, if anything but the test.
    launcher: Vec<String>,
    demo: bool,
    /// Whether its log goes elsewhere than to the test.
    silent: bool,
}

/// A server that runs. It is killed when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) admin_url: String,
    /// The ready file's `demo`.
    pub(crate) demo: Value,
    folder: Arc<TempDir>,
    _database: Option<Arc<TestDatabase>>,
    child: Child,
    lines: Receiver<String>,
    agent: ureq::Agent,
}

/// A signed-in person.
pub(crate) struct Person<'s> {
    server: &'s Server,
    cookie: String,
}

pub(crate) fn binary() -> PathBuf {
    std::env::var_os("FLAGSTONE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_flagstone").into(), PathBuf::from)
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// === impl Setup ===

impl Setup {
    /// The shipped configuration on a demonstration, with limits that tests do not run into.
    pub(crate) fn demo() -> Self {
        let mut setup = Self::shipped();
        setup.demo = true;
        setup.variable("RATE_LIMIT_MAX", "100000").variable("STRICT_RATE_LIMIT_MAX", "100000")
    }

    /// The shipped configuration as it is, on an empty database in the test's folder.
    pub(crate) fn shipped() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("config")).unwrap();
        for file in ["flagstone.toml", "pipeline.toml"] {
            fs::copy(repository().join("config").join(file), folder.path().join("config").join(file))
                .unwrap();
        }
        Self {
            folder,
            database: postgres_database(),
            variables: HashMap::new(),
            binary: binary(),
            launcher: Vec::new(),
            demo: false,
            silent: false,
        }
    }

    /// The shipped limits, for tests of them.
    pub(crate) fn with_shipped_limits(mut self) -> Self {
        self.variables.clear();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Changes the pipeline before the start.
    pub(crate) fn pipeline(self, change: impl FnOnce(String) -> String) -> Self {
        let path = self.pipeline_file();
        let changed = change(fs::read_to_string(&path).unwrap());
        fs::write(path, changed).unwrap();
        self
    }

    pub(crate) fn pipeline_file(&self) -> PathBuf {
        self.folder.path().join("config/pipeline.toml")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A database in this file.
    pub(crate) fn database(self, file: &Path) -> Self {
        let url = format!("sqlite:{}", file.display());
        self.variable("DATABASE_URL", &url)
    }

    /// Another copy of the binary.
    pub(crate) fn binary(mut self, binary: PathBuf) -> Self {
        self.binary = binary;
        self
    }

    /// Started by another program, which becomes the server: `setpriv`, `prlimit`.
    pub(crate) fn launched_by(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(ToString::to_string).collect();
        self
    }

    /// Its log goes elsewhere than to the test.
    pub(crate) fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// On SQLite, whatever the tests run on: a demonstration that is started anew needs a database that is.
    pub(crate) fn on_sqlite(mut self) -> Self {
        self.database = None;
        self
    }

    /// Its database where the tests run on PostgreSQL.
    pub(crate) fn postgres(&self) -> Arc<TestDatabase> {
        let database = self.database.clone();
        database.unwrap_or_else(|| panic!("{} names no PostgreSQL server", testing::SERVER))
    }

    /// A command of this setup's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.launcher.split_first() {
            Some((launcher, its_arguments)) => {
                let mut command = Command::new(launcher);
                command.args(its_arguments).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        // Two variables for one setting would be refused.
        let named = self.variables.contains_key("DATABASE_URL_FILE");
        if let Some(database) = self.database.as_ref().filter(|_| !named) {
            command.env("DATABASE_URL", database.address());
        }
        // All tests may be run on another runtime than the default.
        if let Some(runtime) = std::env::var_os("FLAGSTONE_TEST_RUNTIME") {
            command.env("FLAGSTONE_SERVER__RUNTIME", runtime);
        }
        command.envs(&self.variables);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Starts the server and waits until it is ready: until it says so, or, where its log goes into a file, until its
    /// ready file is there.
    pub(crate) fn start(self) -> Server {
        let silent = self.silent || self.variables.contains_key("LOG_FILE");
        let ready = self.folder.path().join("ready.json");
        // One of an earlier start says nothing about this one.
        let _ = fs::remove_file(&ready);
        let mut command =
            self.command(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--ready-file").arg(&ready);
        if self.demo {
            command.arg("--demo");
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = follow(child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut server = Server {
            url: String::new(),
            admin_url: String::new(),
            demo: Value::Null,
            folder: self.folder,
            _database: self.database,
            child,
            lines,
            agent: request::agent(),
        };
        if silent {
            let deadline = Instant::now() + PATIENCE;
            while !ready.exists() {
                if let Some(status) = server.child.try_wait().unwrap() {
                    panic!("{status}: {}", server.lines.iter().collect::<Vec<_>>().join("\n"));
                }
                assert!(Instant::now() < deadline, "the server is not ready");
                thread::park_timeout(Duration::from_millis(5));
            }
        } else {
            server.log_line(|line| line["message"] == "ready");
        }
        let ready: Value = serde_json::from_slice(&fs::read(ready).unwrap()).unwrap();
        server.url = ready["url"].as_str().unwrap().to_owned();
        server.admin_url = ready["admin_url"].as_str().unwrap().to_owned();
        server.demo = ready["demo"].clone();
        assert_eq!(ready["pid"], server.child.id());
        server
    }
}

/// A database on the PostgreSQL server that `FLAGSTONE_TEST_POSTGRES` names, where it names one.
fn postgres_database() -> Option<Arc<TestDatabase>> {
    std::env::var_os(testing::SERVER)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(Arc::new(runtime.block_on(TestDatabase::new()).unwrap()))
}

/// Gathers a process's lines, so that it is never kept waiting.
fn follow(out: impl Read + Send + 'static, err: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    let error_sender = sender.clone();
    thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    thread::spawn(move || {
        BufReader::new(err).lines().map_while(Result::ok).all(|line| error_sender.send(line).is_ok())
    });
    lines
}

// === impl Server ===

impl Server {
    pub(crate) fn demo() -> Self {
        Setup::demo().start()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pipeline_file(&self) -> PathBuf {
        self.folder.path().join("config/pipeline.toml")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    pub(crate) fn client_key(&self) -> String {
        self.demo["keys"]["development"]["client"].as_str().unwrap().to_owned()
    }

    pub(crate) fn server_key(&self) -> String {
        self.demo["keys"]["development"]["server"].as_str().unwrap().to_owned()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        self.request_to(&self.url, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    pub(crate) fn admin(&self, method: &str, path: &str) -> Request {
        self.request_to(&self.admin_url, method, path)
    }

    fn request_to(&self, base: &str, method: &str, path: &str) -> Request {
        Request::new(&self.agent, method, format!("{base}{path}"))
    }

    /// What keeps connections to it, for threads that ask on their own.
    pub(crate) fn agent(&self) -> ureq::Agent {
        self.agent.clone()
    }

    /// Signs the demonstration's admin in.
    pub(crate) fn sign_in(&self) -> Person<'_> {
        let body = json!({ "email": self.demo["email"], "password": self.demo["password"] });
        self.sign_in_with(&body).unwrap_or_else(|answer| panic!("{answer:?}"))
    }

    pub(crate) fn sign_in_with(&self, body: &Value) -> Result<Person<'_>, Answer> {
        let answer = self.post("/api/auth/login").json(body).send();
        match answer.header("set-cookie") {
            Some(cookie) if answer.status == 200 => {
                Ok(Person { server: self, cookie: cookie.split(';').next().unwrap().to_owned() })
            }
            _ => Err(answer),
        }
    }

    /// Waits for a log line.
    pub(crate) fn log_line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match serde_json::from_str::<Value>(&line) {
                    Ok(parsed) if wanted(&parsed) => return parsed,
                    _ => seen.push(line),
                },
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the line did not come; there came\n{}", seen.join("\n"))
                }
            }
        }
    }

    /// The lines of the log file (`LOG_FILE=log.json`), once one is about this path.
    pub(crate) fn wait_for_log(&self, path: &str) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.folder.path().join("log.json")).unwrap_or_default();
            let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if lines.iter().any(|line| line["path"] == path) {
                return lines;
            }
            assert!(Instant::now() < deadline, "no line about {path}");
            thread::yield_now();
        }
    }

    /// Saves another pipeline and has it applied.
    pub(crate) fn apply(&self, change: impl FnOnce(&str) -> String) {
        let before = fs::read_to_string(self.pipeline_file()).unwrap();
        let after = change(&before);
        assert!(before != after, "nothing was changed");
        fs::write(self.pipeline_file(), after).unwrap();
        // Those who watch the file may have been quicker.
        let answer = self.admin("POST", "/pipeline/reload").send();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The pipeline's status.
    pub(crate) fn pipeline(&self) -> Value {
        self.admin("GET", "/pipeline").send().json()
    }

    /// The pipeline's status once nothing keeps an old snapshot in memory; a stream that is just asked again may for a
    /// moment.
    pub(crate) fn settled(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.pipeline();
            if status["snapshots"] == 1 {
                return status;
            }
            assert!(Instant::now() < deadline, "{status}");
        }
    }

    /// One of its figures, by its name and labels as `/metrics` shows them.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.admin("GET", "/metrics").send().body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no figure {name}")).parse().unwrap()
    }

    /// Opens a stream and waits until the server said that it is.
    pub(crate) fn stream(&self, path: &str, headers: &[(&str, &str)]) -> EventStream {
        EventStream::open(self.address(), path, headers)
    }

    /// Opens a stream from an address of loopback.
    pub(crate) fn stream_from(&self, source: &str, path: &str, headers: &[(&str, &str)]) -> EventStream {
        EventStream::on(self.connect_from(source), self.address(), path, headers)
    }

    /// Connects from an address of loopback.
    pub(crate) fn connect_from(&self, source: &str) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&self.address().into()).unwrap();
        TcpStream::from(socket)
    }

    /// Sends a signal, by `kill`, so that no unsafe code is needed.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        // Its lines end when it does, which is something to wait for.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the server did not end"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Person ===

impl<'s> Person<'s> {
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        self.server.request(method, path).header("cookie", &self.cookie)
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Puts a document over the one that is there, whatever its version.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path).header("if-match", "*").json(body).send()
    }

    /// Switches a flag of the demonstration on or off in `development`.
    pub(crate) fn switch(&self, flag: &str, enabled: bool) {
        let path = format!("/api/management/projects/demo/flags/{flag}/environments/development");
        let mut config = self.get(&path).send().json();
        config["enabled"] = json!(enabled);
        let answer = self.put(&path, &config);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
