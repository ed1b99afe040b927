//! A PostgreSQL server of the test's own: stopped, killed, frozen, and replaced by an older copy of itself.
//!
//! `FLAGSTONE_TEST_POSTGRES_PROGRAMS` names the folder of its programs, `FLAGSTONE_TEST_POSTGRES_OWNER` who runs it
//! (`UID:GID`) where that is not the test's own user.

use std::{
    env, fs,
    fs::File,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::chown, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::until;

/// Nobody else has it: the port is of loopback, and the folder goes with the test.
const PASSWORD: &str = "5ca1ab1e0ddba11f00d1";

/// A cluster. Dropping it kills the server.
pub(crate) struct Cluster {
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    folder: TempDir,
    port: u16,
    /// Where in the folder the data is, and how many copies were made of it.
    data: String,
    copies: usize,
    server: Option<Child>,
}

// === impl Cluster ===

impl Cluster {
    /// Makes one and starts it.
    pub(crate) fn start_new() -> Self {
        let programs =
            env::var_os("FLAGSTONE_TEST_POSTGRES_PROGRAMS").expect("`cargo xtask test` names them");
        let owner = env::var("FLAGSTONE_TEST_POSTGRES_OWNER").ok().map(|owner| {
            let (user, group) = owner.split_once(':').unwrap();
            (user.parse().unwrap(), group.parse().unwrap())
        });
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (folder, data) = (tempfile::tempdir().unwrap(), "data".to_owned());
        let mut cluster =
            Self { programs: programs.into(), owner, folder, port, data, copies: 0, server: None };
        let password = cluster.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if let Some((user, group)) = owner {
            for path in [cluster.folder.path(), &password] {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        let mut command = cluster.command("initdb");
        command.args(["--username=flagstone", "--auth-local=trust", "--auth-host=password", "--no-sync"]);
        command.args(["--encoding=UTF8", "--locale=C", "--pgdata=data", "--pwfile=password"]);
        run(&mut command);
        cluster.start();
        cluster
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A database's address, by way of what listens there.
    pub(crate) fn url(database: &str, through: SocketAddr) -> String {
        format!("postgres://flagstone:{PASSWORD}@{through}/{database}?sslmode=disable")
    }

    /// Makes an empty database.
    pub(crate) fn create(&self, database: &str) {
        run(self.client("createdb").arg(database));
    }

    /// Starts the server and waits until it takes connections.
    pub(crate) fn start(&mut self) {
        // What a killed server left behind may be in the way for a moment.
        until("PostgreSQL starts", || {
            self.server = Some(self.launch());
            let server = self.server.as_mut().unwrap();
            let state = self.folder.path().join(&self.data).join("postmaster.pid");
            let mut ended = false;
            until("PostgreSQL takes connections, or ends", || {
                let text = fs::read_to_string(&state).unwrap_or_default();
                let is_its_own = text.lines().next() == Some(&server.id().to_string());
                ended = server.try_wait().unwrap().is_some();
                ended || (is_its_own && text.lines().last().is_some_and(|line| line.trim() == "ready"))
            });
            !ended
        });
    }

    /// Ends it in good order, its connections at once.
    pub(crate) fn stop(&mut self) {
        signal("INT", &[self.server.as_ref().unwrap().id()]);
        self.server.take().unwrap().wait().unwrap();
    }

    /// Kills all its processes.
    pub(crate) fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        signal("KILL", &processes(server.id()));
        server.wait().unwrap();
    }

    /// Stops the time for all its processes; first for the one that starts others.
    pub(crate) fn freeze(&self) {
        let server = self.server.as_ref().unwrap().id();
        signal("STOP", &[server]);
        signal("STOP", &processes(server));
    }

    pub(crate) fn thaw(&self) {
        signal("CONT", &processes(self.server.as_ref().unwrap().id()));
    }

    /// Copies the running server's data as it is now. Returns the copy's name.
    pub(crate) fn copy(&mut self) -> String {
        self.copies += 1;
        let copy = format!("copy-{}", self.copies);
        let mut command = self.client("pg_basebackup");
        run(command.args(["--checkpoint=fast", "--no-sync", "--pgdata", &copy]));
        copy
    }

    /// Kills the server and starts the copy in its place.
    pub(crate) fn fail_over(&mut self, copy: String) {
        self.kill();
        let lost = std::mem::replace(&mut self.data, copy);
        fs::remove_dir_all(self.folder.path().join(lost)).unwrap();
        self.start();
    }

    fn launch(&self) -> Child {
        let output = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = self.command("postgres");
        command.args(["-D", &self.data, "-h", "127.0.0.1", "-p", &self.port.to_string(), "-k"]);
        command.arg(self.folder.path());
        for setting in ["fsync=off", "autovacuum=off", "max_connections=60", "shared_buffers=64MB"] {
            command.args(["-c", setting]);
        }
        command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap()
    }

    /// A program that speaks to the server by its socket.
    fn client(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.arg("--host").arg(self.folder.path());
        command.args(["--username=flagstone", "--no-password", "--port", &self.port.to_string()]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).current_dir(self.folder.path());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Signals those of these processes that are still there.
fn signal(name: &str, processes: &[u32]) {
    let mut command = Command::new("kill");
    command.arg(format!("-{name}")).args(processes.iter().map(ToString::to_string));
    command.stderr(Stdio::null()).status().unwrap();
}

/// A process and its children.
fn processes(parent: u32) -> Vec<u32> {
    let parent_of = |process: u32| -> Option<u32> {
        let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Counted from behind the name, which may hold anything.
        line.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = all.filter(|process| parent_of(*process) == Some(parent));
    std::iter::once(parent).chain(children).collect()
}
