//! `rate_limit` refuses whom express-rate-limit refuses, and says of it what that says.
//!
//! Where the two differ on purpose:
//!
//! | express-rate-limit | Flagstone | because |
//! |---|---|---|
//! | a window is fixed: at its end the whole quota is back | it slides: what is back is what has left it | twice the quota within a moment |
//! | above 64 requests too, the end is when the window ends | a little later: a share of the window before still counts | two weighted buckets |
//! | draft 6 with `RateLimit-Policy` | without | R28: one style or the other |
//! | the newest draft with `pk`, a digest of the key | without | nobody needs to be told |
//! | `X-RateLimit-*` by default | never | R28 |
//! | a text | a problem document | the same as all other refusals |
//! | 0 refuses everybody | 0 is no limit | R27 |

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{Answer, PATIENCE, Request, Server, Setup},
    program::Program,
};

/// Ends in no run of this.
const LONG: Duration = Duration::from_secs(3600);

/// Paths, their limits and how these are told.
const LIMITS: [(&str, u64, Style); 3] = [
    ("/health", 3, Style::Draft6),
    ("/health/ready", 5, Style::Newest),
    ("/api/auth/status", 100, Style::Draft6),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Draft6,
    Newest,
}

/// Both, with the same limits.
struct Pair {
    ours: Server,
    theirs: Program,
}

/// What an answer tells of a limit.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    refused: bool,
    limit: u64,
    remaining: u64,
    /// In seconds.
    reset: u64,
    retry_after: Option<u64>,
    /// In seconds, where it is told.
    window: Option<u64>,
}

impl Style {
    fn ours(self) -> &'static str {
        match self {
            Self::Draft6 => "draft-6",
            Self::Newest => "ietf",
        }
    }

    fn theirs(self) -> &'static str {
        match self {
            Self::Draft6 => "draft-6",
            Self::Newest => "draft-8",
        }
    }

    fn read(self, answer: &Answer) -> Told {
        let number = |name: &str| answer.header(name).map(|value| value.parse().unwrap());
        let refused = answer.status == 429;
        let retry_after = number("retry-after");
        match self {
            Self::Draft6 => Told {
                refused,
                limit: number("ratelimit-limit").unwrap(),
                remaining: number("ratelimit-remaining").unwrap(),
                reset: number("ratelimit-reset").unwrap(),
                retry_after,
                window: None,
            },
            Self::Newest => {
                let quota = parameters(answer.header("ratelimit-policy").unwrap());
                let state = parameters(answer.header("ratelimit").unwrap());
                let number = |of: &HashMap<String, String>, name: &str| of[name].parse().unwrap();
                Told {
                    refused,
                    limit: number(&quota, "q"),
                    remaining: number(&state, "r"),
                    reset: number(&state, "t"),
                    retry_after,
                    window: Some(number(&quota, "w")),
                }
            }
        }
    }
}

/// Those of a structured field's one item, which is a string: `"name";q=3;w=60`.
fn parameters(field: &str) -> HashMap<String, String> {
    let (name, parameters) = field.split_once(';').unwrap();
    assert!(name.len() > 2 && name.starts_with('"') && name.ends_with('"'), "{field}");
    let pair =
        |text: &str| text.trim().split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    parameters.split(';').map(|text| pair(text).unwrap()).collect()
}

/// The shipped pipeline with a limit of its own for each of the paths, over this window.
fn pipeline(shipped: &str, limits: &[(&str, u64, Style)], window: Duration) -> String {
    let window = format!("{}s", window.as_secs());
    let entries: String = limits
        .iter()
        .map(|(path, requests, style)| {
            let style = style.ours();
            format!(
                "[[routes]]\npath = \"{path}\"\nmethods = [\"GET\"]\nchain = \"limited\"\n\
                 override.limit = {{ requests = {requests}, headers = \"{style}\" }}\n\n"
            )
        })
        .collect();
    shipped
        .replacen("[[routes]]", &format!("{entries}[[routes]]"), 1)
        .replace("[[routes]]\npath = \"/api/auth/status\"\nchain = \"public\"\n", "")
        .replace("[chains]", &format!(
            "[layers.limit]\nkind = \"rate_limit\"\nkey = \"client_ip\"\nrequests = 1\nwindow = \"{window}\"\n\n\
             [chains]\nlimited = [\"@edge\", \"limit\", \"timeout\"]"
        ))
}

impl Pair {
    fn start(limits: &[(&str, u64, Style)], window: Duration) -> Self {
        let ours = Setup::demo()
            .variable("TRUSTED_PROXIES", "127.0.0.1")
            .pipeline(|shipped| pipeline(&shipped, limits, window))
            .start();
        let options = limits.iter().map(|(path, limit, style)| {
            let window = u64::try_from(window.as_millis()).unwrap();
            let options = json!({
                "windowMs": window, "limit": limit, "standardHeaders": style.theirs(), "legacyHeaders": false,
            });
            ((*path).to_owned(), options)
        });
        let options = Value::Object(options.collect());
        let theirs = Program::start("rate_limit.js", &[&options.to_string()], &ours);
        Self { ours, theirs }
    }

    /// Both answers to the request of a client.
    fn ask(&self, path: &str, client: &str) -> [Answer; 2] {
        [self.ask_ours(path, client), self.ask_theirs(path, client)]
    }

    fn ask_ours(&self, path: &str, client: &str) -> Answer {
        of_client(self.ours.get(path), client)
    }

    fn ask_theirs(&self, path: &str, client: &str) -> Answer {
        of_client(self.theirs.request("GET", path), client)
    }
}

fn of_client(request: Request, client: &str) -> Answer {
    request.header("x-forwarded-for", client).send()
}

/// In seconds, as they are told: what is left of a window of this length that began within `since`.
fn assert_left(reset: u64, window: Duration, since: Instant, about: &str) {
    let earliest = window.saturating_sub(since.elapsed()).as_secs();
    assert!((earliest..=window.as_secs()).contains(&reset), "{about}: {reset}, and not from {earliest}");
}

/// Clients that are one: addresses of a household, an IPv4 address written as IPv6. Others are not.
const CLIENTS: [&str; 9] = [
    "198.51.100.1",
    "::ffff:198.51.100.1",
    "198.51.100.2",
    "2001:db8:0:1::1",
    "2001:db8:0:1:ffff::2",
    "2001:db8:0:ff::1",
    "2001:db8:0:100::1",
    "2001:db8::",
    "203.0.113.9",
];

#[test]
fn the_same_requests_are_refused_and_the_same_is_said() {
    let pair = Pair::start(&LIMITS, LONG);
    let begun = Instant::now();
    let (mut refused, mut seed) = (0, 1_u64);
    for index in 0..1200 {
        // Any order will do, if it is the same in each run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let client = CLIENTS[usize::try_from(seed >> 33).unwrap() % CLIENTS.len()];
        // Most of them where the quota is large.
        let (path, requests, style) = LIMITS[usize::try_from(seed >> 60).unwrap().min(2)];
        let about = format!("request {index}: {client} {path}");
        let answers = pair.ask(path, client);
        let [ours, theirs] = answers.each_ref().map(|answer| style.read(answer));
        assert_eq!(
            (ours.refused, ours.limit, ours.remaining, ours.window),
            (theirs.refused, theirs.limit, theirs.remaining, theirs.window),
            "{about}"
        );
        assert_left(theirs.reset, LONG, begun, &about);
        if ours.refused && requests > 64 {
            // Two weighted buckets: one request's share of the window later.
            let share = LONG / u32::try_from(requests).unwrap();
            assert_left(ours.reset, LONG + share, begun, &about);
            assert!(Duration::from_secs(ours.reset) + begun.elapsed() >= LONG + share, "{about}");
        } else {
            assert_left(ours.reset, LONG, begun, &about);
        }
        for told in [&ours, &theirs] {
            assert_eq!(told.retry_after, told.refused.then_some(told.reset), "{about}");
        }
        refused += u64::from(ours.refused);
    }
    assert!(refused > 100, "{refused}");
    println!("express-rate-limit: 1200 requests of {} addresses, {refused} refused by both", CLIENTS.len());
}

#[test]
fn what_is_told_differs_in_this_alone() {
    let pair = Pair::start(&LIMITS, LONG);
    let told = |answer: &Answer| {
        let names = answer.headers().iter().map(|(name, _)| name.clone());
        let mut names: Vec<String> =
            names.filter(|name| name.contains("ratelimit") || name == "retry-after").collect();
        names.sort();
        names
    };
    let draft_6 = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let [ours, theirs] = pair.ask("/health", "198.51.100.1");
    assert_eq!(told(&ours), draft_6);
    assert_eq!(
        told(&theirs),
        ["ratelimit-limit", "ratelimit-policy", "ratelimit-remaining", "ratelimit-reset"]
    );

    let [ours, theirs] = pair.ask("/health/ready", "198.51.100.1");
    assert_eq!(told(&ours), ["ratelimit", "ratelimit-policy"]);
    assert_eq!(told(&theirs), told(&ours));
    let names = |answer: &Answer| {
        let mut names: Vec<_> = parameters(answer.header("ratelimit-policy").unwrap()).into_keys().collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(&ours), names(&theirs)),
        (vec!["q".into(), "w".into()], vec!["pk".into(), "q".into(), "w".into()])
    );

    for _ in 0..2 {
        pair.ask("/health", "198.51.100.1");
    }
    let [ours, theirs] = pair.ask("/health", "198.51.100.1");
    assert_eq!((ours.status, theirs.status), (429, 429));
    assert_eq!(ours.header("content-type"), Some("application/problem+json"));
    assert_eq!(ours.problem().1, "RATE_LIMITED");
    assert!(theirs.header("content-type").unwrap().starts_with("text/html"));
}

#[test]
fn no_requests_at_all_is_no_limit_here_and_nobody_there() {
    let pair = Pair::start(&[("/health", 0, Style::Draft6)], LONG);
    for _ in 0..3 {
        let [ours, theirs] = pair.ask("/health", "198.51.100.1");
        assert_eq!((ours.status, theirs.status), (200, 429));
        assert_eq!(ours.header("ratelimit-limit"), None);
    }
}

#[test]
fn both_let_in_again_and_only_a_fixed_window_lets_in_twice_the_quota() {
    let window = Duration::from_secs(3);
    let pair = Pair::start(&[("/health", 2, Style::Draft6)], window);
    // A machine that is held up may miss the moment: then another client tries.
    let held = (1..=10).any(|attempt| let_in_again(&pair, window, attempt));
    assert!(held, "the second request was never early enough before the end of the first one's window");
}

/// One request at once, another late in the window, two at its end. `false` where these came too late to tell.
fn let_in_again(pair: &Pair, window: Duration, attempt: u32) -> bool {
    const PATH: &str = "/health";
    // Another client tells the time: what is left of a window that began with this one's.
    let (client, clock) = (&format!("198.51.100.{attempt}"), &format!("203.0.113.{attempt}"));
    let begun = Instant::now();
    assert_eq!(pair.ask(PATH, client).map(|answer| answer.status), [200, 200]);
    while pair.ask_ours(PATH, clock).header("ratelimit-reset").unwrap() != "1" {
        assert!(begun.elapsed() < PATIENCE);
    }
    let late = Instant::now();
    let second = pair.ask(PATH, client);
    if second.each_ref().map(|answer| answer.header("ratelimit-remaining")) != [Some("0"), Some("0")] {
        return false;
    }
    let again = |ask: &dyn Fn() -> Answer| loop {
        let answer = ask();
        if answer.status == 200 {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
    };
    let theirs = again(&|| pair.ask_theirs(PATH, client));
    let ours = again(&|| pair.ask_ours(PATH, client));
    // Clocks of programs that count milliseconds.
    assert!(begun.elapsed() + Duration::from_millis(5) >= window, "nobody was let in early");
    let over = pair.ask(PATH, client);
    if late.elapsed() >= window {
        return false;
    }
    assert_eq!(theirs.header("ratelimit-remaining"), Some("1"), "the whole quota is back");
    assert_eq!(ours.header("ratelimit-remaining"), Some("0"), "one has left the window");
    assert_eq!(over.map(|answer| answer.status), [429, 200]);
    true
}
