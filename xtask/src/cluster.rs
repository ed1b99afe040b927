//! A private PostgreSQL cluster for tests: a folder of its own, a free loopback port, no care for power cuts.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::children::{Children, Running};
use crate::failure::Failure;

/// Where Debian puts the programs, in a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who runs the server where root starts it, which it refuses to be run by.
const USER: &str = "postgres";
/// The longest that starting takes.
const START: Duration = Duration::from_secs(30);
/// The longest that ending takes before it is killed.
const STOP: Duration = Duration::from_secs(10);
/// Its certificate, of a kind that speaks for itself, and the key.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// Somebody else may take the port that was found free.
const ATTEMPTS: usize = 3;

/// A running cluster with the superuser `flagstone`. Dropping it stops the server and removes its folder.
pub(crate) struct Cluster {
    server: Running,
    url: String,
    /// Removed after the server has ended.
    folder: TempDir,
}

/// What a cluster is made with.
struct Site<'a> {
    children: &'a Children,
    programs: PathBuf,
    folder: &'a Path,
    /// User and group, where root starts it.
    owner: Option<(u32, u32)>,
}

/// Whether the programs are on this machine.
pub(crate) fn is_possible() -> bool {
    programs().is_some()
}

/// Tells a command that makes a cluster itself where the programs are, `FLAGSTONE_TEST_POSTGRES_PROGRAMS`, and who runs
/// them where root starts them, `FLAGSTONE_TEST_POSTGRES_OWNER` (`UID:GID`).
pub(crate) fn show_programs_to(children: &Children, command: &mut Command) -> Result<(), Failure> {
    command.env("FLAGSTONE_TEST_POSTGRES_PROGRAMS", found_programs()?);
    if let Some((user, group)) = owner(children)? {
        command.env("FLAGSTONE_TEST_POSTGRES_OWNER", format!("{user}:{group}"));
    }
    Ok(())
}

// === impl Cluster ===

impl Cluster {
    /// Makes a cluster and returns once it takes connections.
    pub(crate) fn start(children: &Children) -> Result<Self, Failure> {
        let programs = found_programs()?;
        let temporary = std::env::temp_dir();
        let folder =
            TempDir::with_prefix_in("flagstone-postgres-", &temporary).map_err(Failure::file(&temporary))?;
        let site = Site { children, programs, folder: folder.path(), owner: owner(children)? };
        let password = random()?;
        site.initialise(&password)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = free_port()?;
            match site.serve(port) {
                Ok(server) => {
                    let url = format!("postgres://flagstone:{password}@127.0.0.1:{port}/postgres");
                    return Ok(Self { server, url, folder });
                }
                Err(failure @ Failure::Interrupted) => return Err(failure),
                Err(failure) if attempts >= ATTEMPTS => return Err(failure),
                Err(_) => {}
            }
        }
    }

    /// Tells a command how to reach it: `FLAGSTONE_TEST_POSTGRES` is the address of its database `postgres`,
    /// `FLAGSTONE_TEST_POSTGRES_CA` the file with its certificate.
    pub(crate) fn show_to(&self, command: &mut Command) {
        command
            .env("FLAGSTONE_TEST_POSTGRES", &self.url)
            .env("FLAGSTONE_TEST_POSTGRES_CA", self.folder.path().join(CERTIFICATE));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Asked in good order it also gives back its shared memory. Killed, it still ends.
        self.server.stop(STOP).ok();
    }
}

// === impl Site ===

impl Site<'_> {
    fn initialise(&self, password: &str) -> Result<(), Failure> {
        let file = self.folder.join("password");
        fs::write(&file, password).map_err(Failure::file(&file))?;
        if let Some((user, group)) = self.owner {
            for path in [self.folder, &file] {
                chown(path, Some(user), Some(group)).map_err(Failure::file(path))?;
            }
        }
        let mut command = self.command("initdb");
        command
            .args(["--username=flagstone", "--auth-local=trust", "--auth-host=password"])
            .args(["--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata=data"])
            .arg("--pwfile=password");
        self.children.read(command)?;
        let mut command = Command::new("openssl");
        command
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "7",
            ])
            .args(["-subj", "/CN=flagstone-test", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-keyout", KEY, "-out", CERTIFICATE]);
        self.children.read(self.as_owner(command)).map(drop)
    }

    fn serve(&self, port: u16) -> Result<Running, Failure> {
        let log = self.folder.join("log");
        let output = File::create(&log).map_err(Failure::file(&log))?;
        let errors = output.try_clone().map_err(Failure::file(&log))?;
        let mut command = self.command("postgres");
        command.args(["-D", "data", "-h", "127.0.0.1", "-p", &port.to_string(), "-k"]).arg(self.folder);
        command.args([
            "-c",
            "ssl=on",
            "-c",
            &format!("ssl_cert_file={}", self.folder.join(CERTIFICATE).display()),
        ]);
        command.args(["-c", &format!("ssl_key_file={}", self.folder.join(KEY).display())]);
        let settings = [
            "fsync=off",
            "full_page_writes=off",
            "autovacuum=off",
            "max_connections=400",
            "shared_buffers=64MB",
        ];
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.stdout(output).stderr(errors);
        let server = self.children.spawn(command)?;
        let ready = Cell::new(false);
        // Its last line says how far the server is.
        let state = self.folder.join("data/postmaster.pid");
        let ended = server.ends_within(START, || {
            let text = fs::read_to_string(&state).unwrap_or_default();
            ready.set(text.lines().last().is_some_and(|line| line.trim() == "ready"));
            ready.get()
        });
        if self.children.interrupted() {
            return Err(Failure::Interrupted);
        }
        if ready.get() && !ended {
            return Ok(server);
        }
        let log = fs::read_to_string(&log).unwrap_or_default();
        Err(Failure::Setup(format!("PostgreSQL did not start:\n{log}")))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("LC_ALL", "C");
        self.as_owner(command)
    }

    fn as_owner(&self, mut command: Command) -> Command {
        command.current_dir(self.folder);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

fn found_programs() -> Result<PathBuf, Failure> {
    programs().ok_or_else(|| Failure::Setup(format!("there is no PostgreSQL server in {VERSIONS}")))
}

/// The folder with the programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.flatten().map(|entry| entry.path());
    let with_version =
        |path: PathBuf| Some((path.file_name()?.to_str()?.parse::<u32>().ok()?, path.join("bin")));
    let installed =
        versions.filter_map(with_version).filter(|(_, programs)| programs.join("initdb").exists());
    installed.max().map(|(_, programs)| programs)
}

fn owner(children: &Children) -> Result<Option<(u32, u32)>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let id = |which: &str| {
        let mut command = Command::new("id");
        command.args([which, USER]);
        let text = String::from_utf8_lossy(&children.read(command)?).trim().to_owned();
        text.parse().map_err(|_| Failure::Setup(format!("id {which} {USER} answers {text}")))
    };
    Ok(Some((id("-u")?, id("-g")?)))
}

fn free_port() -> Result<u16, Failure> {
    let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(|error| Failure::Setup(format!("no free port: {error}")))
}

/// 128 random bits in hexadecimal.
fn random() -> Result<String, Failure> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source).and_then(|mut file| file.read_exact(&mut bytes)).map_err(Failure::file(source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_leaves_nothing_behind() {
        if !is_possible() {
            return;
        }
        let cluster = Cluster::start(&Children::new().unwrap()).unwrap();
        let folder = cluster.folder.path().to_owned();
        assert!(folder.join("data").exists());
        let port: u16 = cluster.url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(cluster);
        assert!(!folder.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
