//! The ways in which people and programs save files, replayed on a real folder. Unless a test is about the poll, the
//! poll is so far off that only the system's events can have woken the watcher.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::event::{AccessKind, AccessMode, DataChange, EventKind, ModifyKind};
use tempfile::TempDir;

use super::{Watcher, Watching, folders, is_reading};
use crate::{
    Attempt, OutcomeKind, Trigger,
    harness::{HELLO, SOON, Server, chained},
};

fn headed(value: &str) -> String {
    chained(&format!("[layers.head]\nkind = \"header\"\nvalue = \"{value}\"\n"), &["head"])
}

fn only_events() -> Watching {
    Watching {
        quiet: Duration::from_millis(60),
        longest: Duration::from_millis(500),
        poll: Duration::from_secs(3_600),
    }
}

impl Server {
    /// Watches, and waits until the watcher does.
    async fn watched(&self) -> Watcher {
        self.watched_with(only_events()).await
    }

    async fn watched_with(&self, watching: Watching) -> Watcher {
        let watcher = self.pipeline.watch_with(watching);
        rests(&watcher).await;
        watcher
    }

    fn attempts_by_watch(&self) -> u64 {
        let reloads = self.pipeline.status().reloads;
        reloads.iter().filter(|reload| reload.trigger == Trigger::Watch).map(|reload| reload.count).sum()
    }

    async fn applied(&self) -> Attempt {
        let generation = self.pipeline.status().generation;
        self.applied_after(generation).await
    }

    async fn applied_after(&self, generation: u64) -> Attempt {
        let pipeline = self.pipeline.clone();
        self.attempt(move |attempt| {
            attempt.outcome == OutcomeKind::Applied && pipeline.current().generation().number() > generation
        })
        .await
    }

    async fn rejected(&self) -> Attempt {
        self.attempt(|attempt| attempt.outcome == OutcomeKind::Rejected).await
    }

    async fn header(&self) -> String {
        self.call(HELLO).await.headers()["x-test"].to_str().unwrap().to_owned()
    }

    /// Saves in some way, and waits for what was saved to run, and for the watcher to rest: what is saved next is not
    /// found in passing.
    async fn follows(&self, watcher: &Watcher, value: &str, save: impl FnOnce(&Path, &str)) {
        let generation = self.pipeline.status().generation;
        save(&self.path(), &headed(value));
        self.applied_after(generation).await;
        assert_eq!(self.header().await, value);
        rests(watcher).await;
    }
}

async fn rests(watcher: &Watcher) {
    assert!(tokio::time::timeout(SOON, watcher.idle()).await.is_ok(), "it should rest by now");
}

fn in_place(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn renamed(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, path).unwrap();
}

fn with_backup(path: &Path, text: &str) {
    let backup = path.with_extension("toml~");
    fs::rename(path, &backup).unwrap();
    fs::write(path, text).unwrap();
    fs::remove_file(backup).unwrap();
}

#[tokio::test]
async fn writes_in_place_are_followed() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    for value in ["1", "2", "3"] {
        server.follows(&watcher, value, in_place).await;
    }
}

#[tokio::test]
async fn a_file_renamed_into_place_is_followed_again_and_again() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    for value in ["1", "2", "3"] {
        server.follows(&watcher, value, renamed).await;
    }
}

#[tokio::test]
async fn an_editor_that_moves_the_old_file_away_is_followed() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    for value in ["1", "2", "3"] {
        server.follows(&watcher, value, with_backup).await;
    }
    server.follows(&watcher, "4", renamed).await;
    server.follows(&watcher, "5", in_place).await;
}

/// As Kubernetes mounts a ConfigMap: `pipeline.toml → ..data/pipeline.toml`, `..data → ..1`, and a change replaces
/// `..data`. No event names the file.
#[tokio::test]
async fn the_swaps_of_a_config_map_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_path_buf();
    config_map(&root, "0");
    symlink("..data/pipeline.toml", root.join("pipeline.toml")).unwrap();
    let server = Server::start_in(folder, "pipeline.toml");
    let watcher = server.watched().await;
    for version in ["1", "2", "3"] {
        server.follows(&watcher, version, |_, _| config_map(&root, version)).await;
    }
}

fn config_map(root: &Path, version: &str) {
    let old = root.join("..data").read_link().ok();
    let folder = root.join(format!("..{version}"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("pipeline.toml"), headed(version)).unwrap();
    symlink(folder.file_name().unwrap(), root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    if let Some(old) = old {
        fs::remove_dir_all(root.join(old)).unwrap();
    }
}

#[tokio::test]
async fn a_link_further_up_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_path_buf();
    let release = |version: &str| {
        fs::create_dir_all(root.join("releases").join(version)).unwrap();
        fs::write(root.join("releases").join(version).join("pipeline.toml"), headed(version)).unwrap();
        symlink(Path::new("releases").join(version), root.join("new")).unwrap();
        fs::rename(root.join("new"), root.join("current")).unwrap();
    };
    release("0");
    let server = Server::start_in(folder, "current/pipeline.toml");
    let watcher = server.watched().await;
    for version in ["1", "2"] {
        server.follows(&watcher, version, |_, _| release(version)).await;
    }
    server.follows(&watcher, "again", |_, text| in_place(&root.join("releases/2/pipeline.toml"), text)).await;
}

#[tokio::test]
async fn a_truncated_file_is_rejected_and_the_watching_goes_on() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    server.save("");
    server.rejected().await;
    rests(&watcher).await;
    assert_eq!(server.header().await, "0");
    server.follows(&watcher, "1", in_place).await;
}

#[tokio::test]
async fn bad_saves_are_rejected_and_a_good_one_after_them_is_applied() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    for bad in ["[layers", "version = 2", "version = 1\n[layers.x]\nkind = \"nothing\""] {
        renamed(&server.path(), bad);
        let digest = server.pipeline.status().last_attempt.digest;
        server.attempt(|attempt| attempt.outcome == OutcomeKind::Rejected && attempt.digest != digest).await;
        assert_eq!((server.header().await.as_str(), server.pipeline.status().generation), ("0", 1));
        rests(&watcher).await;
    }
    server.follows(&watcher, "1", renamed).await;
}

#[tokio::test]
async fn a_file_that_goes_away_is_missed_and_found_again() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    fs::remove_file(server.path()).unwrap();
    server.rejected().await;
    rests(&watcher).await;
    server.follows(&watcher, "1", in_place).await;
}

#[tokio::test]
async fn a_folder_that_goes_away_is_missed_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let save = |_: &Path, text: &str| {
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("pipeline.toml"), text).unwrap();
    };
    save(Path::new(""), &headed("0"));
    let server = Server::start_in(folder, "config/pipeline.toml");
    let watcher = server.watched().await;
    fs::remove_dir_all(&config).unwrap();
    server.rejected().await;
    rests(&watcher).await;
    server.follows(&watcher, "1", save).await;
    server.follows(&watcher, "2", save).await;
}

#[tokio::test]
async fn of_two_saves_at_once_the_later_one_runs() {
    let server = Server::start(&headed("0"));
    let _watcher = server.watched().await;
    server.save(&headed("1"));
    // What is tested is the time between two saves, not a wait for something to happen.
    tokio::time::sleep(Duration::from_millis(10)).await;
    server.save(&headed("2"));
    let second = crate::plan(
        &server.path(),
        &flagstone_layers::registry(),
        &[],
        &(std::sync::Arc::new(|_: &str| None) as crate::Variables),
    );
    server.attempt(|attempt| attempt.digest == second.digest).await;
    assert_eq!(server.header().await, "2");
}

#[tokio::test]
async fn files_that_a_pipeline_reads_are_watched_from_when_it_reads_them() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    let folder = server.folder.path();
    fs::create_dir(folder.join("secrets")).unwrap();
    let secret = folder.join("secrets/value");
    fs::write(&secret, "1").unwrap();
    let file = headed("0").replace("\"0\"", "{ file = \"secrets/value\" }");
    server.save(&file);
    server.applied().await;
    rests(&watcher).await;
    assert_eq!(server.header().await, "1");
    server.follows(&watcher, "2", |_, _| renamed(&secret, "2")).await;

    fs::write(folder.join("more.toml"), "[layers.more]\nkind = \"header\"\nvalue = \"3\"\n").unwrap();
    server
        .save(&format!("include = [\"more.toml\"]\n{}", file.replace("[\"head\"]", "[\"more\", \"head\"]")));
    server.applied().await;
    rests(&watcher).await;
    assert_eq!(server.header().await, "3");
    let more = folder.join("more.toml");
    server
        .follows(&watcher, "4", |_, _| renamed(&more, "[layers.more]\nkind = \"header\"\nvalue = \"4\"\n"))
        .await;
}

#[tokio::test]
async fn settings_are_watched_too() {
    let server = Server::start(&headed("0"));
    let elsewhere = TempDir::new().unwrap();
    let settings = elsewhere.path().join("server.toml");
    *server.settings.path.lock().unwrap() = Some(settings.clone());
    let watcher = server.watched().await;
    for fields in [&["listen"][..], &["listen", "workers"], &[]] {
        renamed(&settings, &fields.join("\n"));
        let outcome = if fields.is_empty() { OutcomeKind::Unchanged } else { OutcomeKind::RestartRequired };
        server.attempt(|attempt| attempt.fields == fields && attempt.outcome == outcome).await;
        rests(&watcher).await;
    }
    assert_eq!((server.attempts_by_watch(), server.pipeline.status().generation), (3, 1));
}

#[tokio::test]
async fn what_somebody_else_loads_is_watched_from_then_on() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    fs::create_dir(server.folder.path().join("secrets")).unwrap();
    let secret = server.folder.path().join("secrets/value");
    fs::write(&secret, "1").unwrap();
    server.save(&headed("0").replace("\"0\"", "{ file = \"secrets/value\" }"));
    server.reload().await;
    rests(&watcher).await;
    server.follows(&watcher, "2", |_, _| renamed(&secret, "2")).await;
}

#[tokio::test]
async fn other_files_in_the_folder_cause_no_attempt() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    for number in 0..100 {
        fs::write(server.folder.path().join(format!("other-{number}")), "x").unwrap();
    }
    server.follows(&watcher, "1", in_place).await;
    assert_eq!(server.attempts_by_watch(), 1);
}

#[tokio::test]
async fn without_events_the_poll_finds_a_change() {
    let server = Server::start(&headed("0"));
    let elsewhere = TempDir::new().unwrap();
    let other_name = elsewhere.path().join("linked");
    fs::hard_link(server.path(), &other_name).unwrap();
    let polling = Watching { poll: Duration::from_millis(20), ..only_events() };
    let watcher = server.watched_with(polling).await;
    // What is written by the file's other name is no event in the folder that is watched.
    server.follows(&watcher, "1", |_, text| in_place(&other_name, text)).await;
}

#[tokio::test]
async fn a_watcher_that_was_dropped_looks_no_more() {
    let server = Server::start(&headed("0"));
    let watcher = server.watched().await;
    let task = watcher.task.clone();
    drop(watcher);
    let ends = async {
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(SOON, ends).await.is_ok(), "it still watches");
    server.save(&headed("1"));
    assert_eq!(server.reload().await.kind(), OutcomeKind::Applied);
    assert_eq!(server.attempts_by_watch(), 0);
}

#[test]
fn reading_is_not_a_change() {
    for (kind, reading) in [
        (EventKind::Access(AccessKind::Open(AccessMode::Any)), true),
        (EventKind::Access(AccessKind::Close(AccessMode::Read)), true),
        (EventKind::Access(AccessKind::Close(AccessMode::Write)), false),
        (EventKind::Modify(ModifyKind::Data(DataChange::Any)), false),
        (EventKind::Any, false),
        (EventKind::Other, false),
    ] {
        assert_eq!(is_reading(&kind), reading, "{kind:?}");
    }
}

#[test]
fn the_folders_of_all_links_on_the_way_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("a/real")).unwrap();
    fs::create_dir(root.join("b")).unwrap();
    symlink("../a", root.join("b/link")).unwrap();
    symlink(root.join("a/real/file"), root.join("a/file")).unwrap();
    let found = folders(&root.join("b/link/file"));
    let found: Vec<PathBuf> = found.iter().map(|folder| folder.canonicalize().unwrap()).collect();
    for expected in ["a", "a/real", "b"] {
        assert!(found.contains(&root.join(expected)), "{expected} in {found:?}");
    }
    assert!(folders(&root.join("not/there/yet")).contains(&root));
    symlink("circle", root.join("circle")).unwrap();
    assert!(folders(&root.join("circle")).contains(&root));
}
