//! Rate limits as they are shipped and as they can be set.

use std::fs;

use serde_json::json;

use crate::harness::{Server, Setup};

/// The shipped pipeline with its examples uncommented and put into their chains.
fn with_examples(text: &str) -> String {
    let (before, rest) = text.split_once("# --- Examples").expect("the examples begin");
    let (examples, after) = rest.split_once("# --- End of the examples.").expect("the examples end");
    let examples: String = examples
        .lines()
        .skip_while(|line| !line.starts_with("# ["))
        .map(|line| line.trim_start_matches("# ").trim_start_matches('#').to_owned() + "\n")
        .collect();
    assert!(examples.contains("[[layers.more-limits.limits]]"), "{examples}");
    let after = after.replace("\"global-limit\",", "\"global-limit\", \"more-limits\",");
    format!("{before}{examples}{after}")
}

#[test]
fn the_shipped_examples_are_good_and_do_what_they_say() {
    // The live limits of the sign-in would bind first.
    let setup = Setup::demo().variable("LOGIN_RATE_LIMIT_MAX", "1000");
    let server = setup.pipeline(|text| with_examples(&text)).start();
    let set_up = || server.post("/api/auth/setup").json(&json!({ "token": "x" })).send();
    for _ in 0..10 {
        assert_ne!(set_up().status, 429);
    }
    let blocked = set_up();
    assert_eq!(blocked.problem(), (429, "RATE_LIMITED".to_owned()));
    let wait: u64 = blocked.header("retry-after").unwrap().parse().unwrap();
    assert!((590..=600).contains(&wait), "{wait}");
    assert_eq!(server.get("/api/auth/status").send().status, 200, "others are not blocked");
}

#[test]
fn sign_in_is_limited_to_five_a_minute_as_shipped_and_each_answer_tells() {
    let server = Setup::demo().with_shipped_limits().start();
    let attempt =
        || server.post("/api/auth/login").json(&json!({ "email": "a@b.c", "password": "wrong" })).send();
    for remaining in (0..5).rev() {
        let answer = attempt();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("ratelimit-remaining"), Some(remaining.to_string().as_str()));
        assert_eq!(answer.header("ratelimit-limit"), Some("5"), "of the three, the nearest");
    }
    let refused = attempt();
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    assert!(refused.header("x-ratelimit-limit").is_none());
}

#[test]
fn an_sdk_key_has_its_own_limit_wherever_it_is_used_from() {
    let server = Setup::demo().pipeline(|text| text.replace("requests = 5000", "requests = 3")).start();
    let evaluate = |key: &str| server.post("/api/v1/evaluate").key(key).send().status;
    let (client, other) = (server.client_key(), server.server_key());
    assert_eq!(
        [evaluate(&client), evaluate(&client), evaluate(&client), evaluate(&client)],
        [200, 200, 200, 429]
    );
    assert_eq!(evaluate(&other), 200);
    let unlimited =
        fs::read_to_string(server.pipeline_file()).unwrap().replace("requests = 3\n", "requests = 0\n");
    fs::write(server.pipeline_file(), unlimited).unwrap();
    assert_eq!(server.admin("POST", "/pipeline/reload").send().status, 200);
    assert!((0..50).all(|_| evaluate(&client) == 200));
}

#[test]
fn the_newest_draft_is_a_setting() {
    let style = |text: String| {
        text.replace(
            "key = \"client_ip\"\nrequests = { env = \"RATE_LIMIT_MAX\"",
            "key = \"client_ip\"\nheaders = \"ietf\"\nrequests = { env = \"RATE_LIMIT_MAX\"",
        )
    };
    let server = Setup::demo().with_shipped_limits().pipeline(style).start();
    let answer = server.get("/api/auth/status").send();
    assert_eq!(answer.header("ratelimit-policy"), Some("\"global-limit\";q=100;w=60"));
    assert_eq!(answer.header("ratelimit"), Some("\"global-limit\";r=99;t=60"));
    assert_eq!(answer.header("ratelimit-limit"), None);
}

#[test]
fn a_limit_without_its_numbers_is_refused_where_it_stands() {
    let server = Server::demo();
    let broken = fs::read_to_string(server.pipeline_file()).unwrap();
    let broken = broken.replace("default = 10 }\nwindow = \"60s\"", "default = 10 }");
    fs::write(server.pipeline_file(), broken).unwrap();
    let outcome = server.admin("POST", "/pipeline/reload").send();
    assert_eq!(outcome.status, 422);
    let text = String::from_utf8_lossy(&outcome.body).into_owned();
    assert!(text.contains("`window` is not said") && text.contains("login-limit"), "{text}");
}
