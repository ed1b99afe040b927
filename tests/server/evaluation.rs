//! Flags as applications ask for them: our own wire and OFREP (R86, R90).

use serde_json::{Value, json};

use crate::harness::{Server, Setup};

fn ask(server: &Server, path: &str, body: &Value) -> Value {
    let answer = server.post(path).key(&server.client_key()).json(body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn the_five_flags_of_the_demonstration() {
    let server = Server::demo();
    let flags = ask(
        &server,
        "/api/v1/evaluate",
        &json!({ "context": { "user_id": "u", "attributes": { "plan": "pro" } } }),
    );
    let flags = flags["flags"].as_object().unwrap();
    assert_eq!(flags.len(), 5);
    assert_eq!(flags["beta-search"], json!({ "value": true, "variant": "on", "reason": "rule_match" }));
    assert_eq!(flags["banner-text"]["reason"], "default");
    assert_eq!(flags["max-items"]["value"], 50);
    assert!(flags["theme"]["value"].is_object());
    let free = ask(
        &server,
        "/api/v1/evaluate/beta-search",
        &json!({ "context": { "attributes": { "plan": "free" } } }),
    );
    assert_eq!(free, json!({ "value": false, "variant": "off", "reason": "default" }));
}

#[test]
fn attributes_may_stand_inside_or_beside_and_an_empty_body_is_an_empty_context() {
    let server = Server::demo();
    for context in [json!({ "attributes": { "plan": "team" } }), json!({ "plan": "team" })] {
        let answer =
            ask(&server, "/api/v1/evaluate/beta-search", &json!({ "context": context, "unknown": 1 }));
        assert_eq!(answer["value"], true, "{context}");
    }
    let answer = server.post("/api/v1/evaluate/beta-search").key(&server.client_key()).send();
    assert_eq!((answer.status, answer.json()["value"].clone()), (200, json!(false)));
}

#[test]
fn a_quarter_of_all_users_gets_the_new_checkout_and_keeps_it() {
    let server = Server::demo();
    let answer = |user: usize| {
        let body = json!({ "context": { "targetingKey": format!("user-{user}") } });
        ask(&server, "/ofrep/v1/evaluate/flags/new-checkout", &body)["value"] == true
    };
    let first: Vec<bool> = (0..400).map(answer).collect();
    let share = first.iter().filter(|on| **on).count();
    assert!((60..=140).contains(&share), "{share} of 400");
    assert_eq!(first, (0..400).map(answer).collect::<Vec<_>>());
}

#[test]
fn ofrep_answers_in_its_own_shapes() {
    let server = Server::demo();
    let key = server.client_key();
    let one = ask(
        &server,
        "/ofrep/v1/evaluate/flags/beta-search",
        &json!({ "context": { "targetingKey": "u", "plan": "pro" } }),
    );
    assert_eq!(
        one,
        json!({ "key": "beta-search", "reason": "TARGETING_MATCH", "variant": "on", "value": true })
    );
    let post = |path: &str, body: &str| {
        let answer = server.post(path).key(&key).header("content-type", "application/json").body(body).send();
        (answer.status, answer.json())
    };
    let (status, body) = post("/ofrep/v1/evaluate/flags/nothing", r#"{"context":{}}"#);
    assert_eq!(
        (status, &body["errorCode"], &body["key"]),
        (404, &json!("FLAG_NOT_FOUND"), &json!("nothing"))
    );
    for bad in ["", "{", "[1", "{\"context\":\"\\ud800\"}"] {
        let (status, body) = post("/ofrep/v1/evaluate/flags", bad);
        assert_eq!((status, &body["errorCode"]), (400, &json!("PARSE_ERROR")), "{bad}");
        assert!(body["errorDetails"].is_string());
    }
    for bad in [r#"{"context":[]}"#, r#"{"context":{"targetingKey":1}}"#, "7"] {
        let (status, body) = post("/ofrep/v1/evaluate/flags/theme", bad);
        assert_eq!((status, &body["errorCode"]), (400, &json!("INVALID_CONTEXT")), "{bad}");
    }
    let bulk = ask(&server, "/ofrep/v1/evaluate/flags", &json!({ "context": { "targetingKey": "u" } }));
    assert_eq!(bulk["flags"].as_array().unwrap().len(), 5);
    assert_eq!(bulk["eventStreams"][0]["type"], "sse");
}

#[test]
fn a_bulk_answer_has_a_tag_that_covers_the_whole_context() {
    let server = Server::demo();
    let key = server.client_key();
    let ask = |plan: &str, tag: Option<&str>| {
        let request = server.post("/ofrep/v1/evaluate/flags").key(&key);
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-none-match", tag));
        request.json(&json!({ "context": { "targetingKey": "u", "plan": plan } })).send()
    };
    let first = ask("free", None);
    let tag = first.header("etag").unwrap().to_owned();
    let again = ask("free", Some(&tag));
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(ask("pro", Some(&tag)).status, 200, "another plan under the same key");
    server.sign_in().switch("banner-text", false);
    assert_eq!(ask("free", Some(&tag)).status, 200, "after a change");
}

#[test]
fn keys_open_what_they_are_for_and_nothing_else() {
    let server = Server::demo();
    let (client, secret) = (server.client_key(), server.server_key());
    assert_eq!(server.post("/api/v1/evaluate").send().problem(), (401, "UNAUTHENTICATED".to_owned()));
    assert_eq!(server.post("/api/v1/evaluate").key("fs_cli_wrong").send().status, 401);
    assert_eq!(server.post("/api/v1/evaluate").header("x-api-key", &client).send().status, 200);
    assert_eq!(
        server.get("/api/v1/definitions").key(&client).send().problem(),
        (403, "FORBIDDEN".to_owned())
    );
    assert_eq!(server.post("/api/v1/evaluate?trace=true").key(&client).send().status, 403);
    let traced = server.post("/api/v1/evaluate/beta-search?trace=true").key(&secret).send().json();
    assert!(traced["trace"].is_object(), "{traced}");
    assert_eq!(
        server.get("/api/management/projects").key(&secret).send().status,
        401,
        "no key opens management"
    );
    let definitions = server.get("/api/v1/definitions").key(&secret).send();
    assert_eq!(definitions.json()["flags"].as_array().unwrap().len(), 5);
    let tag = definitions.header("etag").unwrap().to_owned();
    assert_eq!(
        server.get("/api/v1/definitions").key(&secret).header("if-none-match", &tag).send().status,
        304
    );
}

#[test]
fn environments_are_apart() {
    let server = Server::demo();
    let production = server.demo["keys"]["production"]["client"].as_str().unwrap().to_owned();
    let body = json!({ "context": { "attributes": { "plan": "pro" } } });
    let answer = server.post("/api/v1/evaluate/beta-search").key(&production).json(&body).send().json();
    assert_eq!(answer["reason"], "disabled");
}

#[test]
fn an_archived_flag_is_left_out_of_lists_and_is_404_alone() {
    let server = Server::demo();
    let admin = server.sign_in();
    let path = "/api/management/projects/demo/flags/theme";
    let mut flag = admin.get(path).send().json();
    flag["archived"] = json!(true);
    assert_eq!(admin.put(path, &flag).status, 200);
    let key = server.client_key();
    assert!(server.post("/api/v1/evaluate").key(&key).send().json()["flags"].get("theme").is_none());
    assert_eq!(server.post("/api/v1/evaluate/theme").key(&key).send().problem().0, 404);
    let one = server.post("/ofrep/v1/evaluate/flags/theme").key(&key).json(&json!({ "context": {} })).send();
    assert_eq!((one.status, one.json()["errorCode"].clone()), (404, json!("FLAG_NOT_FOUND")));
}

#[test]
fn pages_of_any_origin_may_evaluate_without_credentials() {
    let server = Setup::demo().start();
    let preflight = server
        .request("OPTIONS", "/ofrep/v1/evaluate/flags")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,if-none-match")
        .send();
    assert_eq!(preflight.status, 204, "{preflight:?}");
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
    let answer = server
        .post("/ofrep/v1/evaluate/flags")
        .key(&server.client_key())
        .header("origin", "https://shop.example")
        .json(&json!({ "context": {} }))
        .send();
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-expose-headers").unwrap().to_lowercase().contains("etag"));
    let closed = server.get("/api/management/projects").header("origin", "https://shop.example").send();
    assert_eq!((closed.status, closed.header("access-control-allow-origin")), (401, None));
    assert!(closed.header("vary").unwrap().to_lowercase().contains("origin"));
}
