//! What becomes of the counters of a rate limit when its pipeline is saved: kept wherever it is still the same limit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::{fs, sync::Arc};

use flagstone_layers::kernel::{
    Access, Body, Call, Exchange, Matched, Next, Request, Resources, Response, RouteSpec,
};
use flagstone_pipeline::{Host, Outcome, Pipeline, Trigger};
use http::Method;
use tempfile::TempDir;

struct Server {
    folder: TempDir,
    pipeline: Pipeline,
}

impl Server {
    fn start(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.toml");
        fs::write(&path, file).unwrap();
        let answer = || Next::new(|_: Request| Call::Ready(Response::new(Body::empty())));
        let host = Host {
            registry: flagstone_layers::registry(),
            resources: Resources::new(),
            routes: vec![(RouteSpec::new(Method::GET, "/", "root", Access::Public), answer())],
            fallback: answer(),
            variables: Arc::new(|_| None),
            settings: None,
            background: None,
        };
        let pipeline = Pipeline::load(&path, host).unwrap_or_else(|report| panic!("{report}"));
        Self { folder, pipeline }
    }

    async fn save(&self, file: &str) -> Outcome {
        fs::write(self.folder.path().join("pipeline.toml"), file).unwrap();
        self.pipeline.reload(Trigger::Admin).await
    }

    /// What remains of the limit after one more request; `None` where it was refused.
    async fn remaining(&self) -> Option<u64> {
        let snapshot = self.pipeline.current();
        let matched = Matched::Route { id: 0, pattern: "/", parameters: Default::default() };
        let exchange = Exchange::new(Method::GET, "/", matched).with_peer("192.0.2.1:1".parse().unwrap());
        let (parts, ()) = http::Request::get("/").header("x", "x").body(()).unwrap().into_parts();
        let request = Request::new(parts, Body::empty(), Arc::new(exchange));
        let response = snapshot.chain(0).unwrap().call(request).wait().await;
        if response.status() == 429 {
            return None;
        }
        Some(response.headers()["ratelimit-remaining"].to_str().unwrap().parse().unwrap())
    }
}

/// A file with this limit.
fn with(name: &str, limit: &str) -> String {
    layers(&format!("[layers.{name}]\nkind = 'rate_limit'\n{limit}\n"), &["client", name])
}

fn layers(layers: &str, chain: &[&str]) -> String {
    format!(
        "version = 1\n[layers.client]\nkind = 'client_ip'\n{layers}\n[chains]\nall = {chain:?}\n\
         [[routes]]\npath = '/{{*rest}}'\nchain = 'all'\n[fallback]\nchain = 'all'\n"
    )
}

fn limit(settings: &str) -> String {
    with("limit", settings)
}

const TEN: &str = "key = 'client_ip'\nrequests = 10\nwindow = '60s'";

/// One of several limits.
fn listed(name: &str, key: &str, requests: u64) -> String {
    format!(
        "[[layers.limit.limits]]\nname = '{name}'\nkey = '{key}'\nrequests = {requests}\nwindow = '60s'\n"
    )
}

#[tokio::test]
async fn counters_are_kept_wherever_it_is_still_the_same_limit() {
    let ten = limit(TEN);
    let changed = |from: &str, to: &str| limit(&TEN.replace(from, to));
    let several = |limits: &[String]| with("limit", &limits.concat());
    let both = several(&[listed("a", "client_ip", 10), listed("b", "header:x", 50)]);
    let other = "[layers.other]\nkind = 'timeout'\nafter = '1s'\n";
    let ten_and_other =
        |chain: &[&str]| layers(&format!("[layers.limit]\nkind = 'rate_limit'\n{TEN}\n{other}"), chain);
    let shared = |name: &str, state: &str| with(name, &format!("{TEN}\nstate = '{state}'"));
    // What it was before, what it becomes in one or more saves, and what remains after three requests and one more.
    for (case, before, saves, remaining) in [
        (
            "header style",
            ten.clone(),
            vec![limit(&format!("{TEN}\nheaders = 'draft-6'\nmax_keys = 5"))],
            Some(6),
        ),
        ("more requests", ten.clone(), vec![changed("10", "20")], Some(16)),
        ("fewer requests", ten.clone(), vec![changed("10", "3")], None),
        ("many more, counted another way", ten.clone(), vec![changed("10", "100")], Some(96)),
        ("and back", ten.clone(), vec![changed("10", "100"), ten.clone()], Some(6)),
        ("no limit, and back", ten.clone(), vec![changed("10", "100"), ten.clone()], Some(6)),
        ("a longer window", ten.clone(), vec![changed("60s", "120s")], Some(6)),
        ("a shorter window", ten.clone(), vec![changed("60s", "30s")], Some(6)),
        ("both", ten.clone(), vec![limit("key = 'client_ip'\nrequests = 200\nwindow = '5m'")], Some(196)),
        ("a block", ten.clone(), vec![limit(&format!("{TEN}\nblock_for = '10m'"))], Some(6)),
        (
            "a match that holds",
            ten.clone(),
            vec![limit(&format!("{TEN}\nmatch = {{ path = '/' }}"))],
            Some(6),
        ),
        (
            "observed in between",
            ten.clone(),
            vec![limit(&format!("{TEN}\nmode = 'observe'")), ten.clone()],
            Some(6),
        ),
        ("removed in between", ten.clone(), vec![layers("", &["client"]), ten.clone()], Some(6)),
        (
            "another kind in between",
            ten.clone(),
            vec![layers("[layers.limit]\nkind = 'concurrency'\nmax = 5", &["client", "limit"]), ten.clone()],
            Some(6),
        ),
        (
            "moved",
            ten_and_other(&["client", "limit", "other"]),
            vec![ten_and_other(&["client", "other", "limit"])],
            Some(6),
        ),
        ("a bad save in between", ten.clone(), vec![limit("key = 'client_ip'"), ten.clone()], Some(6)),
        ("another key", ten.clone(), vec![changed("client_ip", "header:x")], Some(9)),
        ("another key, and back", ten.clone(), vec![changed("client_ip", "header:x"), ten.clone()], Some(9)),
        ("another name", ten.clone(), vec![with("other-limit", TEN)], Some(9)),
        ("one of several in its place", ten.clone(), vec![several(&[listed("a", "client_ip", 10)])], Some(9)),
        (
            "in another order",
            both.clone(),
            vec![several(&[listed("b", "header:x", 50), listed("a", "client_ip", 10)])],
            Some(6),
        ),
        ("one more", several(&[listed("a", "client_ip", 10)]), vec![both.clone()], Some(6)),
        ("one less", both.clone(), vec![several(&[listed("a", "client_ip", 10)])], Some(6)),
        (
            "one of them by another key",
            both.clone(),
            vec![several(&[listed("a", "client_ip", 10), listed("b", "client_ip", 9)])],
            Some(6),
        ),
        ("a state of its own name", ten.clone(), vec![shared("limit", "people")], Some(9)),
        (
            "another layer, the same state",
            shared("limit", "people"),
            vec![shared("other-limit", "people")],
            Some(6),
        ),
        (
            "the same layer, another state",
            shared("limit", "people"),
            vec![shared("limit", "persons")],
            Some(9),
        ),
        (
            "a state removed in between",
            shared("limit", "people"),
            vec![layers("", &["client"]), shared("limit", "people")],
            Some(6),
        ),
    ] {
        let server = Server::start(&before);
        for _ in 0..3 {
            server.remaining().await.unwrap();
        }
        for save in &saves {
            let outcome = server.save(save).await;
            let bad = case == "a bad save in between";
            assert!(bad || matches!(outcome, Outcome::Applied(_)), "{case}: {outcome:?}");
        }
        assert_eq!(server.remaining().await, remaining, "{case}");
    }
}

#[tokio::test]
async fn layers_that_name_a_state_count_together() {
    let two = format!(
        "[layers.a]\nkind = 'rate_limit'\n{TEN}\nstate = 's'\n[layers.b]\nkind = 'rate_limit'\n{TEN}\nstate = 's'\n"
    );
    let server = Server::start(&layers(&two, &["client", "a", "b"]));
    assert_eq!(server.remaining().await, Some(8), "each request counts in both");
    assert_eq!(server.remaining().await, Some(6));
}
