//! Change streams (DESIGN §5 "SDK wire", OFREP `eventStreams`).

use serde_json::json;

use crate::harness::{Server, Setup};

fn authorization(server: &Server) -> String {
    format!("Bearer {}", server.client_key())
}

#[test]
fn a_change_is_streamed_on_both_wires() {
    let server = Server::demo();
    let bearer = authorization(&server);
    let sdk = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
    let bulk = server
        .post("/ofrep/v1/evaluate/flags")
        .key(&server.client_key())
        .json(&json!({ "context": {} }))
        .send();
    let events = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let ofrep = server.stream(&events, &[("origin", "https://shop.example")]);
    server.sign_in().switch("beta-search", false);
    let event = sdk.data();
    assert_eq!((&event["type"], &event["flagKey"]), (&json!("flag_update"), &json!("beta-search")));
    assert!(event["revision"].as_u64().unwrap() > 0);
    assert_eq!(ofrep.data()["type"], "refetchEvaluation");
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_or_is_told_to_refetch() {
    let server = Server::demo();
    let bearer = authorization(&server);
    let admin = server.sign_in();
    let first = server.stream("/api/v1/stream", &[("authorization", &bearer)]);
    admin.switch("beta-search", false);
    let seen = first.data()["revision"].as_u64().unwrap();
    drop(first);
    admin.switch("banner-text", false);
    admin.switch("theme", false);
    let id = seen.to_string();
    let back = server.stream("/api/v1/stream", &[("authorization", &bearer), ("last-event-id", &id)]);
    assert_eq!(back.data()["flagKey"], "banner-text");
    assert_eq!(back.data()["flagKey"], "theme");
    let lost = server.stream("/api/v1/stream", &[("authorization", &bearer), ("last-event-id", "nonsense")]);
    assert_eq!(lost.data()["type"], "refetch");
}

#[test]
fn revoking_a_key_ends_its_streams_and_no_other() {
    let server = Server::demo();
    let admin = server.sign_in();
    let keys = "/api/management/projects/demo/environments/development/keys";
    let made = admin.post(keys).json(&json!({ "kind": "client", "name": "second" })).send();
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let (second, first) = (format!("Bearer {key}"), authorization(&server));
    let second = server.stream("/api/v1/stream", &[("authorization", &second)]);
    let first = server.stream("/api/v1/stream", &[("authorization", &first)]);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(admin.request("DELETE", &format!("{keys}/{id}")).send().status, 204);
    second.end();
    assert_eq!(server.post("/api/v1/evaluate").key(&key).send().status, 401);
    admin.switch("theme", false);
    assert_eq!(first.data()["flagKey"], "theme");
}

#[test]
fn a_forged_or_missing_token_opens_nothing() {
    let server = Server::demo();
    for path in ["/ofrep/v1/events", "/ofrep/v1/events?token=", "/ofrep/v1/events?token=a.b.c"] {
        assert_eq!(server.get(path).send().status, 401, "{path}");
    }
}

#[test]
fn a_stream_is_kept_alive_and_ends_at_its_age() {
    let server = Setup::demo()
        .variable("FLAGSTONE_STREAMS__HEARTBEAT", "100ms")
        .pipeline(|text| {
            text.replace("lifetime = \"24h\"", "lifetime = \"600ms\"")
                .replace("jitter = \"2h\"", "jitter = 0")
        })
        .start();
    let bearer = authorization(&server);
    let lines = server.stream("/api/v1/stream", &[("authorization", &bearer)]).end();
    assert!(lines.iter().any(|line| line == ":"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("retry: ")), "{lines:?}");
}

#[test]
fn a_reload_that_keeps_an_address_out_ends_its_streams_and_no_other() {
    let server = Server::demo();
    let bearer = authorization(&server);
    let headers = [("authorization", bearer.as_str())];
    let kept = server.stream_from("127.0.0.1", "/api/v1/stream", &headers);
    let refused = server.stream_from("127.0.0.2", "/api/v1/stream", &headers);
    let open = "block = { env = \"IP_BLOCK\", default = \"\" }";
    let observing = "block = \"127.0.0.2\"\nmode = \"observe\"";
    let admin = server.sign_in();

    server.apply(|text| text.replace(open, observing));
    admin.switch("beta-search", false);
    assert_eq!(refused.data()["flagKey"], "beta-search", "a filter that only observes ends nothing");
    assert_eq!(server.pipeline()["streams_ended"], 0);

    server.apply(|text| text.replace(observing, "block = \"127.0.0.2\""));
    let lines = refused.end();
    assert!(lines.iter().any(|line| line.starts_with("retry: ")), "{lines:?}");
    assert_eq!(server.pipeline()["streams_ended"], 1);
    admin.switch("theme", false);
    assert_eq!(kept.data()["flagKey"], "beta-search");
    assert_eq!(kept.data()["flagKey"], "theme");

    server.apply(|text| text.replace("requests = 5000", "requests = 6000"));
    admin.switch("max-items", false);
    assert_eq!(kept.data()["flagKey"], "max-items", "what has nothing to do with it ends nothing");
    assert_eq!(server.pipeline()["streams_ended"], 1);
}

#[test]
fn a_reload_that_asks_for_another_key_ends_the_streams_of_the_others() {
    let server = Server::demo();
    let (client, key) = (authorization(&server), format!("Bearer {}", server.server_key()));
    let client = server.stream("/api/v1/stream", &[("authorization", &client)]);
    let kept = server.stream("/api/v1/stream", &[("authorization", &key)]);
    let bulk = server.post("/ofrep/v1/evaluate/flags").key(&server.client_key()).json(&json!({})).send();
    let events = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    let ofrep = server.stream(&events, &[]);
    server.apply(|text| text.replace("stream = [\"@sdk\",", "stream = [\"@definitions\","));
    client.end();
    server.sign_in().switch("theme", false);
    assert_eq!(kept.data()["flagKey"], "theme");
    assert_eq!(ofrep.data()["type"], "refetchEvaluation", "another route, whose rules are what they were");
    let again = server.get("/api/v1/stream").key(&server.client_key()).send();
    assert_eq!(again.status, 403, "who comes back is refused as the stream was");
}

#[test]
fn the_token_is_not_logged() {
    let server = Server::demo();
    assert_eq!(server.get("/ofrep/v1/events?token=secret-token").send().status, 401);
    let line = server.log_line(|line| line["path"] == "/ofrep/v1/events");
    assert!(!line.to_string().contains("secret-token"), "{line}");
}
