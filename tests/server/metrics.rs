//! `/metrics`: what is counted, under which labels, and who may see it (R47, R48).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    thread,
    time::Instant,
};

use serde_json::json;

use crate::{
    harness::{PATIENCE, Server, Setup},
    socket::{exchange, exchange_on},
};

/// Values by series.
type Series = BTreeMap<String, f64>;

/// A metric of docs/metrics.md: its labels, each with its values where these are listed.
type Documented = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn text(server: &Server) -> String {
    String::from_utf8(server.admin("GET", "/metrics").send().body).unwrap()
}

fn series(server: &Server) -> Series {
    let text = text(server);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

/// What rose or fell, of what only the test's own doing moves.
fn moved(before: &Series, after: &Series) -> BTreeMap<String, i64> {
    let moves_by_itself = |name: &str| {
        [
            "process_",
            "db_",
            "change_look_age",
            "http_connections",
            "http_requests_in_flight",
            "pipeline_draining",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
            || name.contains("_seconds_sum")
            || name.contains("_seconds_bucket")
            || name.contains("timestamp")
    };
    after
        .iter()
        .filter(|(name, _)| !moves_by_itself(name))
        .map(|(name, value)| (name.clone(), (value - before.get(name).unwrap_or(&0.0)) as i64))
        .filter(|(_, by)| *by != 0)
        .collect()
}

/// Waits until exactly this moved. A request is counted once its answer is out, so the last one may not be yet.
fn wait_until_moved(server: &Server, before: &Series, what: &str, wanted: &[(&str, i64)]) -> Series {
    let wanted: BTreeMap<String, i64> = wanted.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let after = series(server);
        let moved = moved(before, &after);
        if moved == wanted {
            return after;
        }
        assert!(Instant::now() < deadline, "{what}: {moved:#?}\nwanted {wanted:#?}");
        thread::yield_now();
    }
}

fn request_series(method: &str, path: &str, status: u16) -> String {
    format!("http_request_duration_seconds_count{{method=\"{method}\",path=\"{path}\",status=\"{status}\"}}")
}

fn attempt(status: &str, reason: &str) -> String {
    format!("auth_attempts_total{{method=\"password\",status=\"{status}\",reason=\"{reason}\"}}")
}

#[test]
fn each_series_moves_by_what_happened_and_no_other_does() {
    let server = Setup::demo().pipeline(|text| text.replace("requests = 10\n", "requests = 1000\n")).start();
    let (client, key) = (server.client_key(), server.server_key());
    let login = |email: &str, password: &str| {
        server.post("/api/auth/login").json(&json!({ "email": email, "password": password })).send()
    };
    let (email, password) =
        (server.demo["email"].as_str().unwrap(), server.demo["password"].as_str().unwrap());
    let mut before = series(&server);
    let mut then = |what: &str, done: &mut dyn FnMut(), wanted: &[(&str, i64)]| {
        done();
        before = wait_until_moved(&server, &before, what, wanted);
    };
    let asked = request_series;
    let brew = format!("BREW /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address());

    then("nothing", &mut || {}, &[]);
    then("an unknown path", &mut || drop(server.get("/x/y").send()), &[(&asked("GET", "unknown", 404), 1)]);
    then(
        "an unknown method",
        &mut || drop(exchange(server.address(), brew.as_bytes())),
        &[(&asked("OTHER", "unknown", 405), 1)],
    );
    let health =
        [(&*asked("GET", "/health", 200), 1), ("forwarded_headers_ignored_total{layer=\"client-ip\"}", 1)];
    then(
        "a claim of nobody who is trusted",
        &mut || drop(server.get("/health").header("x-forwarded-for", "192.0.2.1").send()),
        &health,
    );

    let at_login = |status| asked("POST", "/api/auth/login", status);
    then(
        "a wrong password",
        &mut || drop(login(email, "not the password")),
        &[(&attempt("failure", "wrong_password"), 1), ("password_hashes_total", 1), (&at_login(401), 1)],
    );
    then(
        "an unknown account",
        &mut || drop(login("nobody@example.com", "x")),
        &[(&attempt("failure", "unknown_account"), 1), ("password_hashes_total", 1), (&at_login(401), 1)],
    );
    let mut cookie = String::new();
    let signed_in = [
        (&*attempt("success", ""), 1),
        ("password_hashes_total", 1),
        ("sessions_created_total", 1),
        ("active_sessions", 1),
        (&at_login(200), 1),
    ];
    then(
        "a sign-in",
        &mut || {
            let answer = login(email, password);
            cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        },
        &signed_in,
    );
    then(
        "a sign-out",
        &mut || drop(server.post("/api/auth/logout").header("cookie", &cookie).send()),
        &[
            ("sessions_revoked_total{reason=\"sign_out\"}", 1),
            ("active_sessions", -1),
            (&asked("POST", "/api/auth/logout", 204), 1),
        ],
    );
    then(
        "a request without a session",
        &mut || drop(server.get("/api/auth/me").header("cookie", &cookie).send()),
        &[
            ("layer_refusals_total{layer=\"session\",kind=\"auth\"}", 1),
            (&asked("GET", "/api/auth/me", 401), 1),
        ],
    );

    then(
        "a key of the wrong kind",
        &mut || drop(server.get("/api/v1/definitions").key(&client).send()),
        &[
            ("authz_denials_total{layer=\"server-key\"}", 1),
            ("layer_refusals_total{layer=\"server-key\",kind=\"auth\"}", 1),
            (&asked("GET", "/api/v1/definitions", 403), 1),
        ],
    );
    then(
        "a trace that is not for this key",
        &mut || drop(server.post("/api/v1/evaluate/theme?trace=true").key(&client).send()),
        &[("authz_denials_total{layer=\"handler\"}", 1), (&asked("POST", "/api/v1/evaluate/{flag}", 403), 1)],
    );
    then(
        "all five flags",
        &mut || drop(server.post("/api/v1/evaluate").key(&key).send()),
        &[("flag_evaluations_total{protocol=\"sdk\"}", 5), (&asked("POST", "/api/v1/evaluate", 200), 1)],
    );
    then(
        "one flag by OFREP",
        &mut || drop(server.post("/ofrep/v1/evaluate/flags/theme").key(&key).json(&json!({})).send()),
        &[
            ("flag_evaluations_total{protocol=\"ofrep\"}", 1),
            (&asked("POST", "/ofrep/v1/evaluate/flags/{key}", 200), 1),
        ],
    );

    let mut stream = None;
    let bearer = format!("Bearer {client}");
    then(
        "a stream",
        &mut || stream = Some(server.stream("/api/v1/stream", &[("authorization", &bearer)])),
        &[("flag_streams", 1), ("http_streams_open", 1), (&asked("GET", "/api/v1/stream", 200), 1)],
    );
    let admin = server.sign_in();
    before = wait_until_moved(&server, &before, "a sign-in", &signed_in);
    let config = "/api/management/projects/{project}/flags/{flag}/environments/{environment}";
    admin.switch("theme", false);
    let changed = [
        ("flag_revisions", 1),
        ("flag_stream_events_total", 1),
        (&asked("GET", config, 200), 1),
        (&asked("PUT", config, 200), 1),
    ];
    before = wait_until_moved(&server, &before, "a change", &changed);

    server.admin("POST", "/pipeline/reload").send();
    let reloaded = [("pipeline_reloads_total{trigger=\"admin\",outcome=\"unchanged\"}", 1)];
    before = wait_until_moved(&server, &before, "a reload that changes nothing", &reloaded);
    server.signal("HUP");
    let reloaded = [("pipeline_reloads_total{trigger=\"signal\",outcome=\"unchanged\"}", 1)];
    before = wait_until_moved(&server, &before, "a signal", &reloaded);

    let changed = json!({ "current_password": password, "new_password": "seven quiet otters at noon" });
    assert_eq!(admin.post("/api/auth/change-password").json(&changed).send().status, 200);
    let wanted = [
        ("sessions_revoked_total{reason=\"password_changed\"}", 1),
        ("sessions_created_total", 1),
        ("password_hashes_total", 2),
        (&asked("POST", "/api/auth/change-password", 200), 1),
    ];
    wait_until_moved(&server, &before, "a new password", &wanted);
}

#[test]
fn a_limit_is_counted_from_its_first_hit_and_one_that_never_ran_leaves_nothing() {
    let server = Setup::demo().pipeline(|text| text.replace("requests = 5000", "requests = 0")).start();
    let with_limit = |text: &str| {
        text.replace("[layers.csrf]", "[layers.brand-new]\nkind = \"rate_limit\"\nkey = \"client_ip\"\nrequests = 3\nwindow = \"1h\"\n\n[layers.csrf]")
            .replace("public = [\"@edge\",", "public = [\"@edge\", \"brand-new\",")
    };
    let good = fs::read_to_string(server.pipeline_file()).unwrap();
    fs::write(server.pipeline_file(), with_limit(&good).replace("kind = \"cors\"", "kind = \"corse\""))
        .unwrap();
    assert_eq!(server.admin("POST", "/pipeline/reload").send().status, 422);
    assert!(!text(&server).contains("brand-new"), "a pipeline that was refused");
    fs::write(server.pipeline_file(), with_limit(&good)).unwrap();
    assert_eq!(server.admin("POST", "/pipeline/reload?dry_run=true").send().status, 200);
    assert!(!text(&server).contains("rate_limit_hits_total{type=\"brand-new"), "one that was only prepared");
    fs::write(server.pipeline_file(), &good).unwrap();
    server.apply(|_| with_limit(&good));
    let hits = "rate_limit_hits_total{type=\"brand-new\"}";
    assert!(!series(&server).contains_key(hits), "nobody hit it");
    let refused = (0..5).filter(|_| server.get("/api/auth/status").send().status == 429).count();
    assert_eq!(refused, 2);
    assert_eq!(series(&server)[hits], 2.0);
}

/// The requests of [`clients_make_no_series`] differ in what clients choose; in what they are told, they are as many
/// kinds as there are pairs of these.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "BREW", "RANDOM"];
const KINDS: usize = 6;

/// A request in which everything is chosen by the client.
fn random_request(server: &Server, number: usize, cookie: &str) -> String {
    // Spread over all numbers, and never the same twice.
    let id = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let method = match METHODS[number / KINDS % METHODS.len()] {
        "RANDOM" => format!("M{id:X}"),
        method => method.to_owned(),
    };
    let key = format!("Authorization: Bearer {}\r\n", server.server_key());
    let session = format!("Cookie: {cookie}\r\n");
    let (path, header) = match number % KINDS {
        0 => (format!("/{id:x}/{number}"), ""),
        1 => (format!("/api/v1/evaluate/f{id:x}"), &*key),
        2 => (format!("/ofrep/v1/evaluate/flags/f{id:x}?user={id}"), &*key),
        3 => (format!("/api/management/projects/p{id:x}"), &*session),
        4 => (format!("/api/management/projects/demo/flags/f{id:x}"), &*session),
        _ => (format!("/api/management/projects/demo/environments/e{id:x}/keys/{id}"), &*session),
    };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{header}", server.address());
    let _ = write!(head, "User-Agent: agent-{id:x}\r\nX-Request-Id: request-{id:x}\r\nContent-Length: 0\r\n");
    head
}

/// Sends requests one after the other on one connection.
fn send(server: &Server, numbers: std::ops::Range<usize>, cookie: &str) {
    let count = numbers.len();
    let mut bytes = String::new();
    for number in numbers.clone() {
        bytes.push_str(&random_request(server, number, cookie));
        bytes.push_str(if number + 1 == numbers.end { "Connection: close\r\n\r\n" } else { "\r\n" });
    }
    let statuses = exchange(server.address(), bytes.as_bytes()).statuses();
    assert_eq!(statuses.len(), count, "{statuses:?}");
    assert!(statuses.iter().all(|status| (400..500).contains(status)), "{statuses:?}");
}

#[test]
fn clients_make_no_series() {
    const REQUESTS: usize = 10_000;
    const ROUND: usize = METHODS.len() * KINDS;
    let server = Setup::demo().pipeline(|text| text.replace("requests = 5000", "requests = 0")).start();
    let login = json!({ "email": server.demo["email"], "password": server.demo["password"] });
    let answer = server.post("/api/auth/login").json(&login).send();
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    // Each kind of request and answer once, and what is counted only after the answer is out.
    send(&server, 0..ROUND, &cookie);
    send(&server, ROUND..2 * ROUND, &cookie);
    let requests = |series: &Series| -> f64 {
        let counts =
            series.iter().filter(|(name, _)| name.starts_with("http_request_duration_seconds_count"));
        counts.map(|(_, count)| count).sum()
    };
    let counted = |wanted: usize| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let series = series(&server);
            if requests(&series) as usize >= wanted {
                return series;
            }
            assert!(Instant::now() < deadline, "{} of {wanted} were counted", requests(&series));
            thread::yield_now();
        }
    };
    let names = |series: Series| -> BTreeSet<String> { series.into_keys().collect() };
    let warm = names(counted(1 + 2 * ROUND));
    for round in 2..2 + REQUESTS.div_ceil(ROUND) {
        send(&server, round * ROUND..(round + 1) * ROUND, &cookie);
    }
    let after = names(counted(1 + (2 + REQUESTS.div_ceil(ROUND)) * ROUND));
    let new: Vec<_> = after.difference(&warm).collect();
    assert!(new.is_empty(), "{} series became {}: {new:#?}", warm.len(), after.len());
}

/// What docs/metrics.md says, which another test holds to be what the binary says.
fn documented() -> Documented {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_start_matches("| ").trim_matches('`').to_owned();
        let labels = cells.nth(1).unwrap().split("<br>").filter(|label| label.contains(':'));
        let labels = labels.map(|label| {
            let (name, values) = label.split_once(": ").unwrap();
            let listed = values.split(", ").all(|value| value.starts_with('`') || value == "empty");
            let values = values.split(", ").map(|value| value.trim_matches('`').replace("empty", ""));
            (name.trim().trim_matches('`').to_owned(), values.filter(|_| listed).collect())
        });
        (name, labels.collect())
    })
    .collect()
}

/// A series' metric and its labels with their values.
fn parsed(series: &str) -> (String, Vec<(String, String)>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{series}"));
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), labels.collect())
}

#[test]
fn what_is_shown_is_what_is_documented() {
    let server = Server::demo();
    let documented = documented();
    assert!(documented.len() > 30, "{documented:?}");
    server.sign_in().switch("theme", false);
    server.get("/api/v1/definitions").key(&server.client_key()).send();
    let of_histogram = |name: &str| {
        let parts = ["_bucket", "_count", "_sum"].into_iter();
        let mut names = parts.filter_map(|part| name.strip_suffix(part)).map(ToOwned::to_owned);
        names.find(|name| documented.contains_key(name))
    };
    for name in series(&server).keys() {
        let (metric, labels) = parsed(name);
        let known = documented.get(&metric).or_else(|| documented.get(&of_histogram(&metric)?));
        let known = known.unwrap_or_else(|| panic!("docs/metrics.md lacks {name}"));
        for (label, value) in labels.iter().filter(|(label, _)| label != "le") {
            let values =
                known.get(label).unwrap_or_else(|| panic!("docs/metrics.md lacks the {label} of {name}"));
            assert!(
                values.is_empty() || values.contains(value),
                "docs/metrics.md lacks {label}={value} of {name}"
            );
        }
    }
    let text = text(&server);
    for name in documented.keys() {
        let named = format!("# HELP {} ", name.strip_suffix("_total").unwrap_or(name));
        assert!(text.contains(&named), "{name} is not shown: {text}");
    }
}

#[test]
fn the_alert_rules_ask_for_metrics_there_are() {
    let documented = documented();
    let rules =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/alerts.yml"))
            .unwrap();
    let mut asked = 0;
    for rule in rules.split("- alert: ").skip(1) {
        let (_, rest) = rule.split_once("expr: ").unwrap();
        let expression = rest.split("labels: {").next().unwrap();
        let selectors: Vec<&str> = expression.split('}').filter(|part| part.contains('{')).collect();
        assert!(!selectors.is_empty(), "{rule}");
        for selector in selectors {
            let (before, matchers) = selector.rsplit_once('{').unwrap();
            let name = before
                .rsplit(|symbol: char| !symbol.is_ascii_alphanumeric() && symbol != '_')
                .next()
                .unwrap();
            assert!(matchers.starts_with("job=\"flagstone\""), "{name}{{{matchers}}}");
            if name == "up" {
                continue;
            }
            let metric =
                ["_bucket", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            let labels = documented.get(metric).unwrap_or_else(|| panic!("there is no metric {name}"));
            for matcher in matchers.split(", ").skip(1) {
                let (label, value) = matcher.split_once(['=']).unwrap();
                let values = labels.get(label).unwrap_or_else(|| panic!("{name} has no label {label}"));
                let value = value.trim_matches(['"', '~']);
                assert!(values.is_empty() || values.contains(value), "{name} has no {label} {value}");
            }
            asked += 1;
        }
    }
    assert!(asked > 12, "only {asked} were found");
    // Braces are the only way to name a metric here, so that none was overlooked.
    for name in documented.keys() {
        let bare = rules.match_indices(name.as_str()).filter(|(at, _)| {
            let after = rules[at + name.len()..].trim_start_matches("_bucket").trim_start_matches("_count");
            !after.starts_with(['{', '_']) && !rules[..*at].ends_with('_')
        });
        assert_eq!(bare.count(), 0, "{name} without braces");
    }
}

#[test]
fn the_public_listener_shows_figures_only_where_and_to_whom_the_pipeline_says() {
    let server = Setup::demo().pipeline(|text| uncommented(&text)).start();
    let scraped = server.get("/metrics").send();
    assert_eq!(scraped.status, 200);
    assert_eq!(scraped.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(String::from_utf8(scraped.body).unwrap().contains("# TYPE process_open_fds gauge"));
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(server.get("/metrics").header("accept", accept).send().header("content-type"), Some(open));
    let admin = server.admin("GET", "/metrics").header("accept", accept).send();
    assert_eq!(admin.header("content-type"), Some(open));
    assert!(admin.body.ends_with(b"# EOF\n"));

    let head = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.address());
    for claim in ["", "X-Forwarded-For: 127.0.0.1\r\n", "Forwarded: for=127.0.0.1\r\n"] {
        let refused = exchange_on(server.connect_from("127.0.0.2"), format!("{head}{claim}\r\n").as_bytes());
        assert_eq!(refused.statuses(), [403], "{claim}");
        assert!(!refused.text.contains("process_open_fds"), "{claim}");
    }
    server.apply(|text| text.replace("10.0.0.0/8, 127.0.0.1", "10.0.0.0/8, 127.0.0.2"));
    assert_eq!(server.get("/metrics").send().problem(), (403, "ADDRESS_REFUSED".to_owned()));
    assert_eq!(
        exchange_on(server.connect_from("127.0.0.2"), format!("{head}\r\n").as_bytes()).statuses(),
        [200]
    );
}

/// The shipped pipeline with the route to the figures.
fn uncommented(text: &str) -> String {
    let (before, rest) =
        text.split_once("# [[routes]]\n# path = \"/metrics\"\n").expect("the commented route");
    let (route, after) = rest.split_once("\n\n").expect("its end");
    let route: Vec<&str> = route.lines().map(|line| line.strip_prefix("# ").expect("a comment")).collect();
    format!("{before}[[routes]]\npath = \"/metrics\"\n{}\n\n{after}", route.join("\n"))
}
