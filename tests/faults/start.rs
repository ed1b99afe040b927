//! A start on a database that must not be opened: refused with its reason, and the file left as it is (R74).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use crate::{
    harness::Setup,
    machine::{SmallDisk, give_away, is_root, unprivileged},
};

/// A setup and the path of its database.
fn setup() -> (Setup, PathBuf) {
    let setup = Setup::shipped().variable("ADMIN_PASSWORD", "a long and quiet evening");
    let file = setup.folder().join("flagstone.db");
    (setup.database(&file), file)
}

/// A database of this program, closed as it should be.
fn used() -> (Setup, PathBuf) {
    let (setup, file) = setup();
    let mut server = setup.clone().start();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    (setup, file)
}

/// The reason that a start ends with at once.
fn refusal(setup: &Setup) -> String {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let ended = setup.run(&arguments);
    let reason = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{reason}");
    assert!(!reason.contains("panicked"), "{reason}");
    reason
}

/// The start is refused for this reason, and the file is what it was.
fn is_refused(setup: &Setup, file: &Path, reasons: &[&str]) {
    let before = fs::read(file).unwrap();
    let said = refusal(setup);
    for reason in reasons {
        assert!(said.contains(reason), "`{reason}` is not in: {said}");
    }
    assert!(fs::read(file).unwrap() == before, "{} was changed", file.display());
}

#[test]
fn a_newer_schema() {
    let (setup, file) = used();
    Connection::open(&file)
        .unwrap()
        .execute_batch("INSERT INTO schema_migrations VALUES (999, 'from the future', '', 0)")
        .unwrap();
    is_refused(&setup, &file, &["999", "from the future", "start the version that made it"]);
}

#[test]
fn random_bytes() {
    let (setup, file) = setup();
    let bytes: Vec<_> =
        (0..50_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&file, bytes).unwrap();
    is_refused(&setup, &file, &[file.to_str().unwrap(), "not a database", "backup"]);
}

#[test]
fn somebody_elses_text() {
    let (setup, file) = setup();
    fs::write(&file, "not a database, but a diary\n".repeat(500)).unwrap();
    is_refused(&setup, &file, &[file.to_str().unwrap(), "not a database", "backup"]);
}

#[test]
fn a_good_header_before_bad_pages() {
    let (setup, file) = used();
    let mut bytes = fs::read(&file).unwrap();
    let page = bytes.len() / 2 / 4_096 * 4_096;
    bytes[page..page + 4_096].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    is_refused(&setup, &file, &[file.to_str().unwrap(), "damaged", "backup"]);
}

#[test]
fn half_a_file() {
    let (setup, file) = used();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    is_refused(&setup, &file, &[file.to_str().unwrap(), "damaged", "backup"]);
}

#[test]
fn nothing_but_a_write_ahead_log() {
    let (setup, file) = setup();
    let mut server = setup.clone().start();
    server.signal("KILL");
    server.wait();
    let log = file.with_file_name("flagstone.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    fs::remove_file(&file).unwrap();
    is_refused(&setup, &log, &[file.to_str().unwrap(), "missing or empty", "backup"]);
    assert!(!file.exists());
}

#[test]
fn a_folder() {
    let (setup, file) = setup();
    fs::create_dir(&file).unwrap();
    let said = refusal(&setup);
    assert!(said.contains("is a folder") && said.contains(file.to_str().unwrap()), "{said}");
}

#[test]
fn no_folder_and_none_can_be_made() {
    let (setup, _) = setup();
    let file = setup.folder().join("config/pipeline.toml/flagstone.db");
    let said = refusal(&setup.database(&file));
    assert!(said.contains("cannot be made") && said.contains(file.to_str().unwrap()), "{said}");
}

#[test]
fn no_permission() {
    let (setup, file) = used();
    let setup = unprivileged(setup);
    for (mode, reason) in [(0o000, "Permission denied"), (0o400, "can only be read")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let said = refusal(&setup);
        assert!(said.contains(reason) && said.contains(file.to_str().unwrap()), "{mode:o}: {said}");
    }
    if is_root() {
        give_away(&file);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    drop(setup.start());
}

#[test]
fn a_full_disk() {
    let (setup, _) = setup();
    let folder = setup.folder().join("disk");
    let Some(disk) = SmallDisk::mount(folder.clone(), "1m") else {
        println!("SKIPPED a_full_disk: nothing can be mounted here; it takes root with CAP_SYS_ADMIN");
        return;
    };
    let filler = disk.fill();
    let setup = setup.database(&folder.join("flagstone.db"));
    let said = refusal(&setup);
    assert!(said.contains("full") || said.contains("space"), "{said}");
    fs::remove_file(filler).unwrap();
    drop(setup.start());
}
