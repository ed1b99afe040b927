use std::sync::{Arc, atomic::Ordering};

use http::StatusCode;
use tokio::sync::Semaphore;

use crate::{
    Outcome, OutcomeKind, Pipeline, Trigger,
    harness::{EXTRA, HELLO, SLOW, STREAM, Server, becomes, chained, limited},
};

const OK: StatusCode = StatusCode::OK;
const LIMITED: StatusCode = StatusCode::TOO_MANY_REQUESTS;

fn headed(value: &str) -> String {
    chained(&format!("[layers.head]\nkind = \"header\"\nvalue = \"{value}\"\n"), &["head"])
}

fn kind(outcome: &Outcome) -> OutcomeKind {
    outcome.kind()
}

#[tokio::test]
async fn what_was_counted_counts_on_and_new_limits_bind_at_once() {
    let server = Server::start(&limited(2));
    assert_eq!(server.status(HELLO).await, OK);
    server.save(&limited(3));
    assert_eq!(kind(&server.reload().await), OutcomeKind::Applied);
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, OK]);
    assert_eq!(server.status(HELLO).await, LIMITED);
    server.save(&limited(5));
    server.reload().await;
    // Four were counted, the refused one among them.
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, LIMITED]);

    let status = server.pipeline.status();
    let [instance] = &*status.instances else { panic!("{:?}", status.instances) };
    assert!(instance.carried);
    assert_eq!((instance.since_generation, instance.refused, instance.observed), (3, 2, 0));
}

#[tokio::test]
async fn state_is_given_up_only_for_a_reason_that_is_told() {
    let keyed = |kind: &str, key: &str| {
        chained(&format!("[layers.limit]\nkind = \"{kind}\"\nlimit = 1\nkey = \"{key}\"\n"), &["limit"])
    };
    let server = Server::start(&keyed("count", "a"));
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, LIMITED]);

    server.save(&keyed("count", "b"));
    let outcome = server.reload().await;
    let reset = &outcome.applied().unwrap().changes.reset;
    assert_eq!(reset[0].reason, "it counts by another key");
    assert_eq!(server.pipeline.status().instances[0].reset, Some("it counts by another key"));
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, LIMITED]);

    server.save(&keyed("other_count", "b"));
    let outcome = server.reload().await;
    assert_eq!(outcome.applied().unwrap().changes.reset[0].reason, "the layer's kind changed");
    assert_eq!(server.status(HELLO).await, OK);
}

#[tokio::test]
async fn taking_a_layer_out_and_putting_it_back_clears_no_counters() {
    let server = Server::start(&limited(1));
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, LIMITED]);
    server.save(&headed("none"));
    let outcome = server.reload().await;
    let changes = &outcome.applied().unwrap().changes;
    assert_eq!((&*changes.removed, &*changes.added), (&["limit".to_owned()][..], &["head".to_owned()][..]));
    assert_eq!(server.status(HELLO).await, OK);
    server.save(&limited(1));
    assert_eq!(server.reload().await.applied().unwrap().changes.carried, ["limit"]);
    assert_eq!(server.status(HELLO).await, LIMITED);
}

#[tokio::test]
async fn the_same_files_are_no_new_generation() {
    let server = Server::start(&limited(1));
    assert!(matches!(server.reload().await, Outcome::Unchanged { generation: 1 }));
    server.save(&limited(2));
    server.reload().await;
    assert!(matches!(server.reload().await, Outcome::Unchanged { generation: 2 }));
}

#[tokio::test]
async fn another_value_in_the_environment_is_another_pipeline() {
    let file = headed("x").replace("\"x\"", "{ env = \"VALUE\", default = \"none\" }");
    let server = Server::start(&file);
    assert!(matches!(server.reload().await, Outcome::Unchanged { .. }));
    server.variables.lock().unwrap().insert("VALUE".to_owned(), "some".to_owned());
    assert_eq!(kind(&server.reload().await), OutcomeKind::Applied);
    assert_eq!(server.call(HELLO).await.headers()["x-test"], "some");
}

#[tokio::test]
async fn a_bad_file_leaves_everything_as_it_is_and_a_good_one_after_it_is_applied() {
    let server = Server::start(&headed("good"));
    for bad in [headed("good").replace("header", "heador"), String::new(), "version = ".to_owned()] {
        server.save(&bad);
        let outcome = server.reload().await;
        assert_eq!(kind(&outcome), OutcomeKind::Rejected);
        assert!(!outcome.diagnostics().is_empty());
        assert_eq!(server.call(HELLO).await.headers()["x-test"], "good");
        let status = server.pipeline.status();
        assert_eq!((status.generation, status.last_attempt.outcome), (1, OutcomeKind::Rejected));
    }
    std::fs::remove_file(server.path()).unwrap();
    assert_eq!(kind(&server.reload().await), OutcomeKind::Rejected);
    server.save(&headed("better"));
    assert_eq!(kind(&server.reload().await), OutcomeKind::Applied);
    assert_eq!(server.call(HELLO).await.headers()["x-test"], "better");
    let reloads = server.pipeline.status().reloads;
    let counts: Vec<_> =
        reloads.iter().map(|reload| (reload.trigger, reload.outcome, reload.count)).collect();
    assert_eq!(
        counts,
        [
            (Trigger::Start, OutcomeKind::Applied, 1),
            (Trigger::Admin, OutcomeKind::Applied, 1),
            (Trigger::Admin, OutcomeKind::Rejected, 4),
        ]
    );
}

#[tokio::test]
async fn all_layers_that_cannot_be_prepared_are_named_and_nothing_of_the_attempt_remains() {
    let server = Server::start(&limited(1));
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, LIMITED]);
    let layers = "[layers.limit]\nkind = \"count\"\nlimit = 9\nkey = \"other\"\n\
                  [layers.one]\nkind = \"faulty\"\npanics = false\n\
                  [layers.two]\nkind = \"faulty\"\npanics = true\n\
                  [layers.three]\nkind = \"header\"\nvalue = \"a\\nb\"\n";
    server.save(&chained(layers, &["limit", "one", "two", "three"]));
    let outcome = server.reload().await;
    let found: Vec<_> =
        outcome.diagnostics().iter().map(|found| (found.code, found.line, &*found.message)).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(found[0], ("prepare-failed", 8, "`one` cannot be prepared: it never can"));
    assert_eq!(found[1].1, 9);
    assert!(found[1].2.contains("the layer panicked: a bug in a layer"), "{}", found[1].2);
    assert_eq!(found[2].1, 14);
    // Neither the new limit nor the new counter came to be.
    assert_eq!(server.status(HELLO).await, LIMITED);
    server.save(&limited(3));
    assert_eq!(server.reload().await.applied().unwrap().changes.carried, ["limit"]);
    assert_eq!(server.status(HELLO).await, LIMITED, "three were counted");
}

#[tokio::test]
async fn a_panic_amid_an_attempt_is_an_outcome_and_the_next_attempt_is_as_good_as_any() {
    let server = Server::start(&limited(1));
    *server.settings.path.lock().unwrap() = Some(server.folder.path().join("server.toml"));
    let settings = Arc::clone(&server.settings);
    let poisoned = std::thread::spawn(move || {
        let _held = settings.path.lock().unwrap();
        panic!("the settings cannot be asked for");
    });
    assert!(poisoned.join().is_err());
    server.save(&limited(2));
    let outcome = server.reload().await;
    assert_eq!(kind(&outcome), OutcomeKind::Rejected);
    let [found] = outcome.diagnostics() else { panic!("{outcome:?}") };
    assert!(found.code == "internal" && found.message.contains("panicked"), "{found:?}");
    let status = server.pipeline.status();
    assert_eq!((status.generation, status.last_attempt.outcome), (1, OutcomeKind::Rejected));
    server.settings.path.clear_poison();
    assert_eq!(kind(&server.reload().await), OutcomeKind::Applied);
}

#[tokio::test]
async fn a_layer_that_stays_as_it_is_keeps_the_generation_it_came_with() {
    let two = |limit: u64| {
        let layers = format!(
            "[layers.limit]\nkind = \"count\"\nlimit = {limit}\n[layers.head]\nkind = \"header\"\nvalue = \"x\"\n"
        );
        chained(&layers, &["head", "limit"])
    };
    let server = Server::start(&two(1));
    server.save(&two(2));
    server.reload().await;
    let mut since: Vec<_> = server
        .pipeline
        .status()
        .instances
        .into_iter()
        .map(|instance| (instance.name, instance.since_generation, instance.carried))
        .collect();
    since.sort();
    assert_eq!(since, [("head".to_owned(), 1, false), ("limit".to_owned(), 2, true)]);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let server = Server::start(&limited(1));
    assert!(matches!(server.pipeline.dry_run().await, Outcome::Unchanged { generation: 1 }));
    server.save(&limited(7));
    let Outcome::Applied(applied) = server.pipeline.dry_run().await else { panic!("it could be applied") };
    assert_eq!((applied.generation, &*applied.changes.changed), (2, &["limit".to_owned()][..]));
    server.save("nonsense");
    assert_eq!(kind(&server.pipeline.dry_run().await), OutcomeKind::Rejected);
    let status = server.pipeline.status();
    assert_eq!(
        (status.generation, status.last_attempt.trigger, status.reloads.len()),
        (1, Trigger::Start, 1)
    );
    assert_eq!([server.status(HELLO).await, server.status(HELLO).await], [OK, LIMITED]);
    becomes(server.pipeline.inner.alive(), 1).await;
}

#[tokio::test]
async fn settings_that_need_a_restart_are_named_and_the_pipeline_is_applied_all_the_same() {
    let server = Server::start(&limited(1));
    let settings = server.folder.path().join("server.toml");
    std::fs::write(&settings, "listen\nworkers").unwrap();
    *server.settings.path.lock().unwrap() = Some(settings.clone());
    let Outcome::RestartRequired { fields, applied } = server.reload().await else { panic!("they changed") };
    assert_eq!(fields, ["listen", "workers"]);
    assert!(applied.is_none());

    server.save(&limited(2));
    let outcome = server.reload().await;
    assert_eq!(kind(&outcome), OutcomeKind::RestartRequired);
    assert_eq!(outcome.applied().unwrap().generation, 2);
    let json = serde_json::to_value(&outcome).unwrap();
    assert_eq!((&json["outcome"], &json["applied"]["generation"]), (&"restart_required".into(), &2.into()));

    server.save("nonsense");
    let outcome = server.reload().await;
    assert_eq!(kind(&outcome), OutcomeKind::Rejected);
    assert_eq!(outcome.fields(), ["listen", "workers"]);
    assert_eq!(server.pipeline.status().last_attempt.fields, ["listen", "workers"]);

    std::fs::write(&settings, "").unwrap();
    server.save(&limited(2));
    assert_eq!(kind(&server.reload().await), OutcomeKind::Unchanged);
}

#[tokio::test]
async fn an_instance_of_several_chains_is_prepared_once_and_shares_its_state() {
    let server = Server::start(&limited(2));
    assert_eq!(server.prepared.load(Ordering::Relaxed), 1);
    assert_eq!([server.status(HELLO).await, server.status(STREAM).await], [OK, OK]);
    assert_eq!(server.status(HELLO).await, LIMITED);
}

#[tokio::test]
async fn an_optional_route_is_left_out_until_an_entry_names_it() {
    let server = Server::start(&limited(1));
    assert!(server.pipeline.current().chain(EXTRA).is_none());
    server.save(&format!("{}[[routes]]\npath = \"/extra\"\nchain = \"all\"\n", limited(1)));
    let outcome = server.reload().await;
    assert_eq!(outcome.applied().unwrap().changes.routes, ["GET /extra"]);
    assert!(server.pipeline.current().chain(EXTRA).is_some());
    assert!(server.pipeline.current().chain(99).is_none());
}

#[tokio::test]
async fn aliases_come_and_go_with_the_file() {
    let server = Server::start(&limited(1));
    assert_eq!(server.pipeline.current().resolve_alias("/hi"), None);
    server.save(&format!("{}[[aliases]]\nfrom = \"/hi\"\nto = \"/hello\"\n", limited(1)));
    let outcome = server.reload().await;
    assert!(outcome.applied().unwrap().changes.aliases, "{outcome:?}");
    assert_eq!(server.pipeline.current().resolve_alias("/hi").as_deref(), Some("/hello"));
}

#[tokio::test]
async fn a_request_keeps_the_chain_it_started_on() {
    let server = Server::start(&headed("old"));
    let slow = tokio::spawn(server.call(SLOW));
    server.save(&headed("new"));
    server.reload().await;
    assert_eq!(server.call(HELLO).await.headers()["x-test"], "new");
    let draining = server.pipeline.status().draining;
    assert_eq!(draining.iter().map(|old| (old.generation, old.requests)).collect::<Vec<_>>(), [(1, 1)]);
    server.gate.add_permits(1);
    let response = slow.await.unwrap();
    assert_eq!(response.headers()["x-test"], "old");
    assert_eq!(response.into_body().read().await.unwrap(), "slow");
    assert!(server.pipeline.status().draining.is_empty());
}

#[tokio::test]
async fn calls_at_the_same_time_are_met_together_and_all_learn_the_outcome() {
    let server = Server::start(&limited(1));
    server.save(&limited(2));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let pipeline = server.pipeline.clone();
            tokio::spawn(async move { pipeline.reload(Trigger::Admin).await })
        })
        .collect();
    let mut kinds = Vec::new();
    for call in calls {
        kinds.push(kind(&call.await.unwrap()));
    }
    let attempts: u64 = server.pipeline.status().reloads.iter().map(|reload| reload.count).sum();
    assert_eq!(server.pipeline.status().generation, 2);
    assert!(kinds.contains(&OutcomeKind::Applied));
    assert!(kinds.iter().all(|kind| kind.is_success()));
    assert!(attempts < 20, "{attempts} attempts for 100 calls");
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nothing() {
    let server = Server::start(&limited(1));
    server.save(&limited(2));
    let mut reload = Box::pin(server.pipeline.reload(Trigger::Signal));
    assert!(futures_poll(&mut reload).is_pending());
    drop(reload);
    let attempt = server.attempt(|attempt| attempt.trigger == Trigger::Signal).await;
    assert_eq!(attempt.outcome, OutcomeKind::Applied);
    assert!(matches!(server.reload().await, Outcome::Unchanged { generation: 2 }));
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut context)
}

#[test]
fn a_runtime_that_ends_amid_a_reload_blocks_no_later_one() {
    let server = Server::start(&limited(1));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    first.block_on(async {
        let mut reload = Box::pin(server.pipeline.reload(Trigger::Admin));
        assert!(futures_poll(&mut reload).is_pending());
    });
    drop(first);
    server.save(&limited(2));
    assert_eq!(kind(&runtime().block_on(server.reload())), OutcomeKind::Applied);
}

#[tokio::test]
async fn a_bad_start_tells_all_faults() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&limited(1));
    let path = folder.path().join("pipeline.toml");
    std::fs::write(&path, headed("x").replace("header", "heador").replace("/{*rest}", "/nothing")).unwrap();
    let host = crate::Host {
        registry: flagstone_layers::registry(),
        resources: Default::default(),
        routes: Vec::new(),
        fallback: server.pipeline.current().fallback().clone(),
        variables: Arc::new(|_| None),
        settings: None,
        background: None,
    };
    let report = Pipeline::load(&path, host).unwrap_err();
    let codes: Vec<_> = report.diagnostics.iter().map(|found| found.code).collect();
    assert!(codes.contains(&"unknown-kind") && codes.len() >= 2, "{codes:?}");
}

#[tokio::test]
async fn the_status_is_written_as_the_design_says() {
    let server = Server::start(&limited(1));
    let status = serde_json::to_value(server.pipeline.status()).unwrap();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["digest"].as_str().unwrap().len(), 64);
    let applied_at: jiff::Timestamp = status["applied_at"].as_str().unwrap().parse().unwrap();
    assert!(applied_at <= jiff::Timestamp::now());
    assert_eq!(status["last_attempt"]["trigger"], "start");
    assert_eq!(status["last_attempt"]["outcome"], "applied");
    assert_eq!(status["last_attempt"]["diagnostics"], serde_json::json!([]));
    assert_eq!(status["last_attempt"]["fields"], serde_json::json!([]));
    assert_eq!(status["draining"], serde_json::json!([]));
    assert_eq!(
        status["instances"],
        serde_json::json!([{ "name": "limit", "kind": "count", "observe": false, "since_generation": 1,
            "carried": false, "refused": 0, "observed": 0 }])
    );
}

/// 1,000 reloads while 300 connections idle and 100 streams are open leave one snapshot in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_reloads_leaves_one_snapshot() {
    let server = Arc::new(Server::start(&headed("0")));
    let hang_up = Arc::new(Semaphore::new(0));
    let idle: Vec<_> = (0..300)
        .map(|_| {
            let (server, hang_up) = (Arc::clone(&server), Arc::clone(&hang_up));
            tokio::spawn(async move {
                assert_eq!(server.status(HELLO).await, OK);
                hang_up.acquire().await.unwrap().forget();
                assert_eq!(server.status(HELLO).await, OK);
            })
        })
        .collect();
    let mut streams = Vec::new();
    for number in 1..=1_000 {
        if number % 10 == 0 {
            streams.push(server.call(STREAM).await);
        }
        server.save(&headed(&number.to_string()));
        assert_eq!(kind(&server.reload().await), OutcomeKind::Applied);
    }
    becomes(server.pipeline.inner.alive(), 1).await;

    let status = server.pipeline.status();
    assert_eq!((status.generation, status.snapshots), (1_001, 1));
    assert_eq!(status.draining.len(), 100);
    assert!(status.draining.iter().all(|old| (old.requests, old.streams) == (0, 1)), "{:?}", status.draining);
    assert_eq!(server.call(HELLO).await.headers()["x-test"], "1000");

    drop(streams);
    assert!(server.pipeline.status().draining.is_empty());
    hang_up.add_permits(300);
    for connection in idle {
        connection.await.unwrap();
    }
    assert_eq!(server.ended.load(Ordering::Relaxed), 300 + 100 + 1 + 300);
}
