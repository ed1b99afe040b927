//! A Redis of a test's own, on a free loopback port, that keeps nothing on disk.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use crate::harness::PATIENCE;

/// What it is started with.
const PASSWORD: &str = "five unrelated words make one";

/// A Redis that runs, or did. It is killed when dropped.
pub(crate) struct Redis {
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Child,
    folder: TempDir,
}

// === impl Redis ===

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(Vec::new)
    }

    /// With more arguments.
    pub(crate) fn start_with(arguments: impl Fn() -> Vec<String>) -> Self {
        // Somebody else may take the port that was found free.
        for _ in 0..5 {
            let (port, arguments) = (free_port(), arguments());
            let folder = tempfile::tempdir().unwrap();
            let mut redis = Self { port, child: spawn(&folder, port, &arguments), arguments, folder };
            if redis.answers() {
                return redis;
            }
        }
        panic!("no Redis starts");
    }

    /// Its address, with the password.
    pub(crate) fn url(&self) -> String {
        self.url_with(PASSWORD)
    }

    pub(crate) fn url_with(&self, password: &str) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", password.replace(' ', "%20"), self.port)
    }

    /// Its address for TLS, on the port where it speaks that.
    pub(crate) fn tls_url(&self, port: u16) -> String {
        self.url().replace("redis:", "rediss:").replace(&format!(":{}/", self.port), &format!(":{port}/"))
    }

    /// A connection for the test itself.
    pub(crate) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection_with_timeout(PATIENCE).unwrap()
    }

    /// Runs a command.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut self.connection()).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was, empty.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.arguments);
        assert!(self.answers(), "{}", self.output());
    }

    /// It takes connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until it answers; not where it ended.
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let client = redis::Client::open(self.url()).unwrap();
        loop {
            let answer =
                client.get_connection().and_then(|mut to| redis::cmd("PING").query::<String>(&mut to));
            if answer.is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "{answer:?} {}", self.output());
            thread::yield_now();
        }
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(folder: &TempDir, port: u16, arguments: &[String]) -> Child {
    let output = File::create(folder.path().join("output")).unwrap();
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--requirepass", PASSWORD])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server: {error}"))
}
