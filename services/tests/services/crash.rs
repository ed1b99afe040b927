//! A server that is killed in the middle of its changes leaves each of them whole or not at all.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use flagstone_services::clock::Clock;
use flagstone_services::store::{DatabaseOptions, DatabaseUrl};
use flagstone_services::version::Expected;
use serde_json::json;

use super::{Fixture, PROJECT, member, open};

const DATABASE: &str = "FLAGSTONE_TEST_DATABASE";
/// Kills of one run of the test.
const ROUNDS: usize = 8;

/// Not a test by itself: the process that is killed. It changes a flag for ever and says so after each change.
#[test]
fn writer() {
    let Ok(address) = std::env::var(DATABASE) else { return };
    let database = DatabaseOptions::new(DatabaseUrl::parse(&address).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let services = open(database, &Clock::system()).await;
        for round in 0_u64.. {
            let name = json!({"key": "search", "type": "boolean", "name": format!("round {round}")});
            services.flags.update(&member(), PROJECT, "search", Expected::Any, &name).await.unwrap();
            println!("changed");
        }
    });
}

#[tokio::test]
async fn a_kill_leaves_changes_whole_or_not_at_all() {
    let mut fixture = Fixture::new().await;
    fixture.flag("search").await;
    for round in 0..ROUNDS {
        fixture.services.close(std::time::Duration::from_secs(5)).await.unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::writer", "--exact", "--nocapture", "--test-threads=1"])
            .env(DATABASE, fixture.database.address())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A different place of the loop each time. The pipe stays open: nothing but the kill ends the process.
        let changed = lines.by_ref().filter(|line| line.as_ref().is_ok_and(|line| line.contains("changed")));
        assert_eq!(changed.take(1 + round * 3).count(), 1 + round * 3);
        child.kill().unwrap();
        child.wait().unwrap();

        let version = fixture.number("SELECT version FROM flags").await;
        assert!(version > 1);
        let updates = fixture.number("SELECT COUNT(*) FROM audit_logs WHERE type = 'flag.update'").await;
        assert_eq!(updates, version - 1, "one audit row for each change");
        assert_eq!(
            fixture.number("SELECT COUNT(*) FROM changes").await,
            3 * version,
            "one row for each environment"
        );
        assert_eq!(fixture.number("SELECT MIN(revision) FROM environments").await, version);
        assert_eq!(fixture.number("SELECT MAX(revision) FROM environments").await, version);
        fixture.services = open(fixture.database.options().unwrap(), &fixture.clock).await;
        assert_eq!(fixture.handle("staging").snapshot.load().revision, u64::try_from(version).unwrap());
    }
}
