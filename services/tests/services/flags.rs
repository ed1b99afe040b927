use flagstone_services::error::ServiceError;
use flagstone_services::flags::FlagFilter;
use flagstone_services::page::PageRequest;
use flagstone_services::version::Expected;
use serde_json::{Value, json};

use super::{Fixture, PROJECT, admin, anonymous, conflict, faults, is_forbidden, member, not_found};

fn on() -> Value {
    json!({"enabled": true})
}

#[tokio::test]
async fn a_new_flag_is_off_everywhere_until_it_is_switched_on() {
    let fixture = Fixture::new().await;
    let details = fixture.flag("search").await;
    assert_eq!(details.environments.len(), 3);
    assert!(details.environments.iter().all(|(_, config)| !config.config.enabled && config.version == 0));
    assert_eq!(fixture.answer("search").as_deref(), Some("off"));
    assert_eq!(fixture.configure("search", "development", on()).await.unwrap(), 1);
    assert_eq!(fixture.answer("search").as_deref(), Some("on"));
    let production = fixture.services.flags.config(PROJECT, "search", "production").await.unwrap();
    assert!(!production.config.enabled);
    assert_eq!(fixture.handle("development").snapshot.load().revision, 2);
    assert_eq!(fixture.handle("production").snapshot.load().revision, 1);
}

#[tokio::test]
async fn a_flag_is_shown_in_one_document() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    fixture.configure("search", "staging", on()).await.unwrap();
    let shown = serde_json::to_value(fixture.services.flags.get(PROJECT, "search").await.unwrap()).unwrap();
    assert_eq!(shown["key"], "search");
    assert_eq!(shown["version"], 1);
    assert_eq!(shown["archived"], false);
    assert_eq!(shown["environments"]["staging"]["enabled"], true);
    assert_eq!(shown["environments"]["staging"]["version"], 1);
    assert_eq!(shown["environments"]["production"]["version"], 0);
    let order: Vec<_> = shown["environments"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(order.len(), 3);
}

#[tokio::test]
async fn what_was_read_can_be_put_back() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    fixture.flag("search").await;
    fixture.configure("search", "staging", on()).await.unwrap();
    let mut document = serde_json::to_value(flags.get(PROJECT, "search").await.unwrap()).unwrap();
    document["description"] = json!("Finds things");
    let updated = flags.update(&member(), PROJECT, "search", Expected::Version(1), &document).await.unwrap();
    assert_eq!((updated.version, updated.flag.description.as_str()), (2, "Finds things"));
    assert!(updated.environments.iter().any(|(key, config)| key == "staging" && config.config.enabled));
    let config = document["environments"]["staging"].clone();
    let put = flags.put_config(&member(), PROJECT, "search", "staging", Expected::Version(1), config).await;
    assert_eq!(put.unwrap().version, 2);
}

#[tokio::test]
async fn stale_versions_are_refused_and_change_nothing() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    fixture.flag("search").await;
    fixture.configure("search", "development", on()).await.unwrap();
    let before = fixture.handle("development").snapshot.load().revision;
    let document = json!({"key": "search", "type": "boolean", "name": "Other"});
    let stale = flags.update(&member(), PROJECT, "search", Expected::Version(7), &document).await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 1 })));
    let stale = flags
        .put_config(
            &member(),
            PROJECT,
            "search",
            "development",
            Expected::Version(0),
            json!({"enabled": false}),
        )
        .await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 1 })));
    let stale = flags.delete(&member(), PROJECT, "search", Expected::Version(7)).await;
    assert!(matches!(stale, Err(ServiceError::StaleVersion { current: 1 })));
    assert_eq!(fixture.handle("development").snapshot.load().revision, before);
    assert_eq!(fixture.answer("search").as_deref(), Some("on"));
}

#[tokio::test]
async fn of_two_writers_with_the_same_version_one_wins() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let flags = &fixture.services.flags;
    let admin = admin();
    let put = || flags.put_config(&admin, PROJECT, "search", "development", Expected::Version(0), on());
    let (one, other) = tokio::join!(put(), put());
    let wins = [one.is_ok(), other.is_ok()].into_iter().filter(|won| *won).count();
    assert_eq!(wins, 1);
}

#[tokio::test]
async fn faults_come_all_at_once_with_their_places() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    let wrong = json!({"key": "a/b", "type": "bool", "colour": 1, "environments": {}});
    let pointers: Vec<_> = faults(flags.create(&member(), PROJECT, &wrong).await)
        .into_iter()
        .map(|fault| fault.pointer)
        .collect();
    for pointer in ["/key", "/type", "/colour", "/environments"] {
        assert!(pointers.iter().any(|found| found == pointer), "{pointer} of {pointers:?}");
    }
    fixture.flag("search").await;
    let wrong = json!({"enabled": true, "rules": [
        {"when": {"segment": "nobody"}, "serve": {"variant": "maybe"}},
        {"when": {"flag": "nothing", "variants": ["on"]}, "serve": {"variant": "on"}},
    ]});
    let codes: Vec<_> = faults(fixture.configure("search", "development", wrong).await)
        .into_iter()
        .map(|fault| fault.code)
        .collect();
    for code in ["unknown_segment", "unknown_variant", "unknown_flag"] {
        assert!(codes.contains(&code), "{code} of {codes:?}");
    }
    assert_eq!(fixture.answer("search").as_deref(), Some("off"));
}

#[tokio::test]
async fn a_cycle_is_refused() {
    let fixture = Fixture::new().await;
    fixture.flag("a").await;
    fixture.flag("b").await;
    let needs = |flag: &str| json!({"enabled": true, "prerequisites": [{"flag": flag, "variants": ["on"]}]});
    fixture.configure("a", "development", needs("b")).await.unwrap();
    let refused = fixture.configure("b", "development", needs("a")).await;
    assert_eq!(faults(refused)[0].code, "cycle");
    fixture.configure("b", "production", needs("a")).await.unwrap();
}

#[tokio::test]
async fn key_and_type_stay_as_they_were_made() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    let other = json!({"key": "other", "type": "string", "variants": [{"key": "a", "value": "x"}]});
    let refused = fixture.services.flags.update(&member(), PROJECT, "search", Expected::Any, &other).await;
    let found: Vec<_> = faults(refused).into_iter().map(|fault| (fault.pointer, fault.code)).collect();
    assert_eq!(found, [("/key".to_owned(), "immutable"), ("/type".to_owned(), "immutable")]);
}

#[tokio::test]
async fn variants_in_use_stay_and_implicit_configurations_follow() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    let text = |keys: &[&str]| {
        let variants: Vec<_> = keys.iter().map(|key| json!({"key": key, "value": key})).collect();
        json!({"key": "banner", "type": "string", "variants": variants})
    };
    flags.create(&member(), PROJECT, &text(&["a", "b"])).await.unwrap();
    // Nothing is stored anywhere yet: the implicit configuration takes what is there.
    flags.update(&member(), PROJECT, "banner", Expected::Any, &text(&["b", "c"])).await.unwrap();
    let config = flags.config(PROJECT, "banner", "development").await.unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap()["fallthrough"]["variant"], "b");
    fixture
        .configure("banner", "production", json!({"enabled": true, "fallthrough": {"variant": "c"}}))
        .await
        .unwrap();
    let refused = flags.update(&member(), PROJECT, "banner", Expected::Any, &text(&["b"])).await;
    let found = faults(refused);
    assert_eq!((found[0].pointer.as_str(), found[0].code), ("/variants", "in_use"));
    assert!(found[0].detail.contains("production"), "{}", found[0].detail);
}

#[tokio::test]
async fn what_others_lean_on_is_neither_deleted_nor_archived() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    fixture.flag("base").await;
    fixture.flag("top").await;
    let needs = json!({"enabled": true, "prerequisites": [{"flag": "base", "variants": ["on"]}]});
    fixture.configure("top", "production", needs).await.unwrap();
    let refused = flags.delete(&member(), PROJECT, "base", Expected::Any).await;
    let Err(ServiceError::Conflict { code: "in_use", detail }) = refused else { panic!("{refused:?}") };
    assert!(detail.contains("\"top\"") && detail.contains("\"production\""), "{detail}");
    let archived = json!({"key": "base", "type": "boolean", "archived": true});
    assert_eq!(conflict(flags.update(&member(), PROJECT, "base", Expected::Any, &archived).await), "in_use");
    flags.delete(&member(), PROJECT, "top", Expected::Any).await.unwrap();
    flags.delete(&member(), PROJECT, "base", Expected::Any).await.unwrap();
    assert_eq!(not_found(flags.get(PROJECT, "base").await), "flag");
    assert!(fixture.answer("base").is_none());
    fixture.flag("base").await;
}

#[tokio::test]
async fn flags_of_other_projects_are_not_found() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    fixture.services.projects.create(&admin(), &json!({"key": "other"})).await.unwrap();
    fixture.flag("search").await;
    let document = json!({"key": "search", "type": "boolean"});
    let any = Expected::Any;
    assert_eq!(not_found(flags.get("other", "search").await), "flag");
    assert_eq!(not_found(flags.update(&member(), "other", "search", any, &document).await), "flag");
    assert_eq!(not_found(flags.delete(&member(), "other", "search", any).await), "flag");
    assert_eq!(not_found(flags.put_config(&member(), "other", "search", "staging", any, on()).await), "flag");
    assert_eq!(not_found(flags.config("other", "search", "staging").await), "flag");
    assert_eq!(not_found(flags.get("none", "search").await), "project");
    assert_eq!(not_found(fixture.configure("search", "none", on()).await), "environment");
    // A segment of another project is unknown too.
    let segment = json!({"key": "team"});
    fixture.services.segments.create(&member(), "other", &segment).await.unwrap();
    let rule = json!({"rules": [{"when": {"segment": "team"}, "serve": {"variant": "on"}}]});
    assert_eq!(faults(fixture.configure("search", "staging", rule).await)[0].code, "unknown_segment");
}

#[tokio::test]
async fn nobody_who_is_not_signed_in_changes_flags() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    fixture.flag("search").await;
    let document = json!({"key": "search", "type": "boolean"});
    let (who, any) = (anonymous(), Expected::Any);
    assert!(is_forbidden(flags.create(&who, PROJECT, &document).await));
    assert!(is_forbidden(flags.update(&who, PROJECT, "search", any, &document).await));
    assert!(is_forbidden(flags.put_config(&who, PROJECT, "search", "staging", any, on()).await));
    assert!(is_forbidden(flags.delete(&who, PROJECT, "search", any).await));
}

#[tokio::test]
async fn lists_are_paged_searched_and_filtered() {
    let fixture = Fixture::new().await;
    let flags = &fixture.services.flags;
    for (key, tags) in [("alpha", json!(["web"])), ("beta", json!(["web", "api"])), ("gamma", json!([]))] {
        let document =
            json!({"key": key, "type": "boolean", "tags": tags, "description": format!("Über {key}")});
        flags.create(&member(), PROJECT, &document).await.unwrap();
    }
    fixture.configure("beta", "development", on()).await.unwrap();
    let archived = json!({"key": "gamma", "type": "boolean", "archived": true});
    flags.update(&member(), PROJECT, "gamma", Expected::Any, &archived).await.unwrap();
    let list = async |filter: FlagFilter, limit, offset| {
        let page = flags.list(PROJECT, &filter, PageRequest { limit, offset }).await.unwrap();
        (page.data.iter().map(|flag| flag.flag.key.clone()).collect::<Vec<_>>(), page.total)
    };
    let all = FlagFilter::default();
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    assert_eq!(list(all.clone(), 2, 0).await, (keys(&["alpha", "beta"]), 3));
    assert_eq!(list(all.clone(), 2, 2).await, (keys(&["gamma"]), 3));
    let tag = |tag: &str| FlagFilter { tag: Some(tag.to_owned()), ..FlagFilter::default() };
    assert_eq!(list(tag("api"), 9, 0).await, (keys(&["beta"]), 1));
    assert_eq!(list(tag("none"), 9, 0).await, (keys(&[]), 0));
    let search = FlagFilter { search: Some("ÜBER AL".to_owned()), ..FlagFilter::default() };
    assert_eq!(list(search, 9, 0).await, (keys(&["alpha"]), 1));
    let archived = |archived| FlagFilter { archived: Some(archived), ..FlagFilter::default() };
    assert_eq!(list(archived(true), 9, 0).await, (keys(&["gamma"]), 1));
    assert_eq!(list(archived(false), 9, 0).await, (keys(&["alpha", "beta"]), 2));
    let page = flags.list(PROJECT, &all, PageRequest::default()).await.unwrap();
    assert!(page.data[1].environments[0].1.config.enabled, "lists tell where a flag is on");
    assert!(!page.data[0].environments[0].1.config.enabled);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let fixture = Fixture::new().await;
    fixture.flag("search").await;
    fixture.configure("search", "development", on()).await.unwrap();
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.answer("search").as_deref(), Some("on"));
    assert_eq!(fixture.definitions("development").revision, 2);
    assert_eq!(fixture.defined("search").environments["development"].version, 1);
}

#[tokio::test]
async fn a_patched_snapshot_is_what_a_restart_reads() {
    let fixture = Fixture::new().await;
    for key in ["c", "a", "b"] {
        fixture.flag(key).await;
    }
    fixture.services.segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    let rule = json!({"enabled": true, "rules": [{"when": {"segment": "team"}, "serve": {"variant": "on"}}]});
    fixture.configure("a", "development", rule).await.unwrap();
    fixture.services.flags.delete(&member(), PROJECT, "b", Expected::Any).await.unwrap();
    let shown = |fixture: &Fixture| {
        let snapshot = fixture.handle("development").snapshot.load_full();
        let compiled: Vec<_> = snapshot.compiled.flags().map(|flag| flag.key().to_owned()).collect();
        format!("{} {:?} {:?} {compiled:?}", snapshot.revision, snapshot.flags, snapshot.segments)
    };
    let patched = shown(&fixture);
    assert_eq!(patched, shown(&fixture.reopened().await));
}

#[tokio::test]
async fn definitions_are_what_the_management_api_shows() {
    let fixture = Fixture::new().await;
    for key in ["c", "a", "b"] {
        fixture.flag(key).await;
    }
    let segment =
        json!({"key": "team", "include": ["ada"], "when": {"attribute": "plan", "op": "eq", "values": [1]}});
    fixture.services.segments.create(&member(), PROJECT, &segment).await.unwrap();
    let rule = json!({"enabled": true, "rules": [{"when": {"segment": "team"}, "serve": {"variant": "on"}}]});
    fixture.configure("a", "development", rule).await.unwrap();
    fixture.services.flags.delete(&member(), PROJECT, "b", Expected::Any).await.unwrap();
    let mut updated = serde_json::to_value(fixture.flag("d").await).unwrap();
    updated["description"] = json!("with \"quotes\"}");
    fixture.services.flags.update(&member(), PROJECT, "d", Expected::Any, &updated).await.unwrap();

    let handle = fixture.handle("development");
    let written = handle.definitions(&handle.snapshot.load());
    let definitions = fixture.definitions("development");
    assert_eq!(written, serde_json::to_vec(&definitions).unwrap(), "it is what its type says, to the byte");
    assert_eq!((definitions.project.as_str(), definitions.environment.as_str()), (PROJECT, "development"));
    assert_eq!(definitions.revision, 8);
    assert_eq!(definitions.segments[0].include, ["ada"]);
    let keys: Vec<_> = definitions.flags.iter().map(|defined| defined.flag.key.as_str()).collect();
    assert_eq!(keys, ["a", "c", "d"]);
    for defined in &definitions.flags {
        let shown = fixture.services.flags.get(PROJECT, &defined.flag.key).await.unwrap();
        let (environment, config) = &shown.environments[0];
        assert_eq!((&defined.flag, defined.version), (&*shown.flag, shown.version));
        assert_eq!(defined.environments.keys().collect::<Vec<_>>(), [environment]);
        let own = &defined.environments[environment];
        assert_eq!((&own.config, own.version), (&config.config, config.version));
    }
}

#[tokio::test]
async fn definitions_are_written_once_and_not_kept_for_ever() {
    let fixture = Fixture::new().await;
    fixture.flag("a").await;
    let handle = fixture.handle("development");
    let written = || handle.definitions(&handle.snapshot.load());
    let first = written();
    assert_eq!(first.as_ptr(), written().as_ptr(), "who asks next gets the same");
    fixture.services.housekeep().await.unwrap();
    let second = written();
    assert_ne!(first.as_ptr(), second.as_ptr(), "nobody had asked since");
    assert_eq!(first, second);
    fixture.flag("b").await;
    assert_ne!(second, written());
}

#[tokio::test]
async fn revisions_count_without_gaps_and_each_has_its_row() {
    let fixture = Fixture::new().await;
    fixture.flag("a").await;
    fixture.flag("b").await;
    fixture.configure("a", "development", on()).await.unwrap();
    fixture.services.segments.create(&member(), PROJECT, &json!({"key": "team"})).await.unwrap();
    fixture.services.flags.delete(&member(), PROJECT, "b", Expected::Any).await.unwrap();
    for (environment, revisions) in [("development", 5_i64), ("staging", 4), ("production", 4)] {
        let handle = fixture.handle(environment);
        assert_eq!(handle.snapshot.load().revision, revisions.unsigned_abs());
        let sql = "SELECT revision FROM changes WHERE environment_id = $1 ORDER BY revision";
        let rows = fixture.database.rows(sql, vec![handle.id.into()]).await.unwrap();
        let rows: Vec<i64> = rows.iter().map(|row| row.get(0).unwrap()).collect();
        assert_eq!(rows, (1..=revisions).collect::<Vec<_>>());
    }
}
