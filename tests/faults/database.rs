//! The database's file under a running server: evaluation and streams go on, management waits, nothing is lost, and no
//! restart is needed (R46, R74).

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Instant,
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, EventStream, PATIENCE, Server, Setup},
    machine::{SmallDisk, give_away, unprivileged},
    records::Records,
};

/// A server whose database is about to break.
struct Patient {
    server: Server,
    file: PathBuf,
    cookie: String,
    stream: EventStream,
    /// What the flags of the demonstration are evaluated to.
    answers: Value,
    /// The flags whose creation was acknowledged.
    made: Vec<String>,
}

fn setup() -> Setup {
    Setup::demo().variable("FLAGSTONE_DATABASE__BUSY_TIMEOUT", "100ms").variable("STRICT_RATE_LIMIT_MAX", "0")
}

// === impl Patient ===

impl Patient {
    fn new(setup: Setup, file: PathBuf) -> Self {
        let server = setup.database(&file).start();
        let cookie = server.sign_in().cookie().to_owned();
        let bearer = format!("Bearer {}", server.client_key());
        let stream = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
        let mut patient = Self { server, file, cookie, stream, answers: Value::Null, made: Vec::new() };
        patient.answers = patient.evaluate();
        assert_eq!(patient.answers.as_object().unwrap().len(), 5);
        patient.make("before", "").unwrap();
        patient
    }

    /// In the setup's own folder.
    fn beside_its_settings() -> Self {
        let setup = setup();
        let file = setup.folder().join("flagstone.db");
        Self::new(setup, file)
    }

    /// The demonstration's flags.
    fn evaluate(&self) -> Value {
        let context = json!({ "context": { "user_id": "ada", "attributes": { "plan": "pro" } } });
        let answer =
            self.server.post("/api/v1/evaluate").key(&self.server.client_key()).json(&context).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut flags = answer.json()["flags"].clone();
        flags.as_object_mut().unwrap().retain(|key, _| !key.starts_with("made-"));
        flags
    }

    /// Makes a flag. The answer where that was refused.
    fn make(&mut self, name: &str, description: &str) -> Result<(), Answer> {
        let key = format!("made-{name}");
        let answer = self
            .server
            .post("/api/management/projects/demo/flags")
            .header("cookie", &self.cookie)
            .json(&json!({ "key": key, "type": "boolean", "description": description }))
            .send();
        match answer.status {
            201 => {
                self.made.push(key);
                Ok(())
            }
            _ => Err(answer),
        }
    }

    fn readiness(&self) -> Answer {
        self.server.get("/health/ready").send()
    }

    /// Waits until readiness says so, and looks at all that has to go on and all that has to be refused.
    fn is_away(&mut self) {
        until("readiness notices", || self.readiness().status == 503);
        let ready = self.readiness().json();
        assert_eq!(ready["status"], "not ready");
        assert_eq!(ready["checks"]["database"]["status"], "unhealthy", "{ready}");
        assert!(!ready["checks"]["database"]["error"].as_str().unwrap().is_empty(), "{ready}");
        assert_eq!(self.server.get("/health").send().status, 200);
        assert_eq!(self.evaluate(), self.answers);
        let refused = self.make("refused", "").expect_err("it cannot be kept");
        assert_eq!(refused.problem(), (503, "UNAVAILABLE".to_owned()), "{refused:?}");
        let wait: u64 = refused.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!((1..60).contains(&wait));
        let read =
            self.server.get("/api/management/projects/demo/flags").header("cookie", &self.cookie).send();
        assert!(matches!(read.status, 200 | 503), "{read:?}");
        assert_eq!(self.evaluate(), self.answers, "also afterwards");
    }

    /// Waits until readiness says so, and looks whether all that was acknowledged is there, and nothing else.
    fn is_back(&mut self) {
        until("readiness recovers", || self.readiness().status == 200);
        assert_eq!(self.evaluate(), self.answers);
        self.make("after", "").unwrap();
        self.stream.line(|line| line.starts_with("data: ") && line.contains("made-after"));
        for key in &self.made {
            let path = format!("/api/management/projects/demo/flags/{key}");
            let found = self.server.get(&path).header("cookie", &self.cookie).send();
            assert_eq!(found.status, 200, "{key}: {found:?}");
        }
        let records = Records::open(&self.file);
        records.agree();
        let mut kept: Vec<_> = records.flags().into_keys().filter(|key| key.starts_with("made-")).collect();
        kept.sort();
        self.made.sort();
        assert_eq!(kept, self.made);
    }

    /// A consistent copy, as a backup is made.
    fn backup(&self) -> PathBuf {
        let copy = self.file.with_file_name("backup.db");
        let into = format!("VACUUM INTO '{}'", copy.display());
        Connection::open(&self.file).unwrap().execute_batch(&into).unwrap();
        copy
    }

    fn truncate(&self, length: u64) {
        OpenOptions::new().write(true).open(&self.file).unwrap().set_len(length).unwrap();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
    }
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).unwrap().len()
}

#[test]
fn locked_by_another_process() {
    let mut patient = Patient::beside_its_settings();
    let other = Connection::open(&patient.file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    patient.is_away();
    other.execute_batch("ROLLBACK").unwrap();
    patient.is_back();
}

#[test]
fn truncated_to_nothing_and_a_backup_in_its_place() {
    let mut patient = Patient::beside_its_settings();
    let backup = patient.backup();
    patient.truncate(0);
    patient.is_away();
    assert_eq!(length(&patient.file), 0, "not written to");
    fs::rename(backup, &patient.file).unwrap();
    patient.is_back();
}

#[test]
fn truncated_to_a_half_and_restored_in_place() {
    let mut patient = Patient::beside_its_settings();
    let outside = Connection::open(&patient.file).unwrap();
    outside.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(outside);
    let whole = fs::read(&patient.file).unwrap();
    patient.make("in-the-log", "").unwrap();
    let half = whole.len() as u64 / 2;
    patient.truncate(half);
    patient.is_away();
    assert_eq!(length(&patient.file), half, "not written to");
    fs::write(&patient.file, whole).unwrap();
    patient.is_back();
}

#[test]
fn deleted_and_a_backup_in_its_place() {
    let mut patient = Patient::beside_its_settings();
    let backup = patient.backup();
    fs::remove_file(&patient.file).unwrap();
    patient.is_away();
    assert!(!patient.file.exists(), "not made anew");
    fs::rename(backup, &patient.file).unwrap();
    patient.is_back();
}

#[test]
fn replaced_by_rubbish() {
    let mut patient = Patient::beside_its_settings();
    let backup = patient.backup();
    let rubbish: Vec<u8> =
        (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let other = patient.file.with_file_name("rubbish");
    fs::write(&other, &rubbish).unwrap();
    fs::rename(other, &patient.file).unwrap();
    patient.is_away();
    assert!(fs::read(&patient.file).unwrap() == rubbish, "not written to");
    fs::rename(backup, &patient.file).unwrap();
    patient.is_back();
}

#[test]
fn replaced_by_an_older_backup_memory_follows() {
    let mut patient = Patient::beside_its_settings();
    let backup = patient.backup();
    patient.make("forgotten", "").unwrap();
    fs::rename(backup, &patient.file).unwrap();
    patient.made.retain(|key| key != "made-forgotten");
    // Nobody needs to ask for it: but readiness, which is asked here, is what notices first.
    until("it is noticed", || patient.readiness().status == 200 && patient.make("noticed", "").is_ok());
    patient.stream.line(|line| line == "event: refetch");
    let key = patient.server.client_key();
    let gone = patient.server.post("/api/v1/evaluate/made-forgotten").key(&key).send();
    assert_eq!(gone.status, 404, "{gone:?}");
    patient.is_back();
}

#[test]
fn read_only() {
    let setup = unprivileged(setup());
    let file = setup.folder().join("flagstone.db");
    let mut patient = Patient::new(setup, file);
    let backup = patient.backup();
    fs::set_permissions(&backup, fs::Permissions::from_mode(0o444)).unwrap();
    give_away(&backup);
    fs::rename(backup, &patient.file).unwrap();
    patient.is_away();
    fs::set_permissions(&patient.file, fs::Permissions::from_mode(0o600)).unwrap();
    patient.is_back();
}

#[test]
fn on_a_full_disk() {
    let setup = setup();
    let folder = setup.folder().join("disk");
    let Some(disk) = SmallDisk::mount(folder.clone(), "6m") else {
        println!("SKIPPED on_a_full_disk: nothing can be mounted here; it takes root with CAP_SYS_ADMIN");
        return;
    };
    let mut patient = Patient::new(setup, folder.join("flagstone.db"));
    let filler = disk.fill();
    let description = "x".repeat(1_000);
    let full = (0..2_000).find_map(|number| patient.make(&format!("{number}"), &description).err());
    let full = full.expect("at some time it is full");
    assert_eq!(full.problem(), (503, "UNAVAILABLE".to_owned()), "{full:?}");
    patient.is_away();
    fs::remove_file(filler).unwrap();
    patient.is_back();
    // The server goes before its disk.
    drop(patient);
    drop(disk);
}
