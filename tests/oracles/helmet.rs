//! The preset `helmet` sends what the npm package sends, and its settings do what the package's options do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Value, json};

use crate::{
    harness::{Answer, Request, Server, Setup},
    program::Program,
};

/// A header's name and value, by name.
type Headers = BTreeMap<String, String>;

/// What the layer's settings are, as an inline table, and helmet's options for the same.
fn settings() -> Vec<(String, Value)> {
    let words = [
        (
            "frame_options",
            "xFrameOptions",
            "action",
            [("DENY", "deny"), ("SAMEORIGIN", "sameorigin")].as_slice(),
        ),
        ("referrer_policy", "referrerPolicy", "policy", &REFERRER_POLICIES.map(|word| (word, word))),
        ("coop", "crossOriginOpenerPolicy", "policy", &OPENER_POLICIES.map(|word| (word, word))),
        ("coep", "crossOriginEmbedderPolicy", "policy", &EMBEDDER_POLICIES.map(|word| (word, word))),
        ("corp", "crossOriginResourcePolicy", "policy", &RESOURCE_POLICIES.map(|word| (word, word))),
        (
            "cross_domain_policies",
            "xPermittedCrossDomainPolicies",
            "permittedPolicies",
            &CROSS_DOMAIN_POLICIES.map(|word| (word, word)),
        ),
    ];
    let words = words.into_iter().flat_map(|(setting, option, member, values)| {
        let pair = move |(ours, theirs): &(&str, &str)| {
            (format!("{setting} = \"{ours}\""), json!({ option: { member: theirs } }))
        };
        values.iter().map(pair).collect::<Vec<_>>()
    });
    let off = [
        ("content_security_policy", "contentSecurityPolicy"),
        ("hsts", "strictTransportSecurity"),
        ("content_type_options", "xContentTypeOptions"),
        ("frame_options", "xFrameOptions"),
        ("referrer_policy", "referrerPolicy"),
        ("coop", "crossOriginOpenerPolicy"),
        ("coep", "crossOriginEmbedderPolicy"),
        ("corp", "crossOriginResourcePolicy"),
        ("xss_protection", "xXssProtection"),
        ("origin_agent_cluster", "originAgentCluster"),
        ("dns_prefetch", "xDnsPrefetchControl"),
        ("cross_domain_policies", "xPermittedCrossDomainPolicies"),
        ("download_options", "xDownloadOptions"),
    ];
    let off = off.map(|(setting, option)| (format!("{setting} = false"), json!({ option: false })));
    let others = [
        ("dns_prefetch = \"on\"", json!({ "xDnsPrefetchControl": { "allow": true } })),
        (
            "hsts = { max_age = \"1d\", include_subdomains = false, preload = false }",
            json!({ "strictTransportSecurity": { "maxAge": 86_400, "includeSubDomains": false } }),
        ),
        (
            "hsts = { max_age = \"730d\", include_subdomains = true, preload = true }",
            json!({ "strictTransportSecurity": { "maxAge": 63_072_000, "preload": true } }),
        ),
        (
            "content_security_policy = \"default-src 'none';img-src 'self' data:\"",
            json!({ "contentSecurityPolicy": {
                "useDefaults": false,
                "directives": { "defaultSrc": ["'none'"], "imgSrc": ["'self'", "data:"] },
            } }),
        ),
    ];
    let others = others.map(|(setting, options)| (setting.to_owned(), options));
    words.chain(off).chain(others).collect()
}

const REFERRER_POLICIES: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];
const OPENER_POLICIES: [&str; 4] =
    ["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"];
const EMBEDDER_POLICIES: [&str; 3] = ["require-corp", "credentialless", "unsafe-none"];
const RESOURCE_POLICIES: [&str; 3] = ["same-origin", "same-site", "cross-origin"];
const CROSS_DOMAIN_POLICIES: [&str; 4] = ["none", "master-only", "by-content-type", "all"];

const SHIPPED: &str = "path = \"/health/{*rest}\" # and /health; not limited, so that a probe is never refused\nchain = \"probe\"\n";

/// The shipped pipeline with these settings for `/health`, and `/health/ready` without the layer.
fn pipeline(shipped: &str, settings: &str) -> String {
    assert!(shipped.contains(SHIPPED), "the shipped pipeline has another route for probes");
    let entry = format!("override.security-headers = {{ preset = \"helmet\"{settings} }}");
    let bare = "[[routes]]\npath = \"/health/ready\"\nchain = \"bare\"\n";
    shipped
        .replace(SHIPPED, &format!("path = \"/health\"\nchain = \"probe\"\n{entry}\n\n{bare}"))
        .replace("public = [", "bare = [\"@probe\", \"-security-headers\"]\npublic = [")
        // For paths that nobody knows.
        .replace("preset = \"api\"", "preset = \"helmet\"")
}

fn start() -> Server {
    Setup::demo().variable("TRUSTED_PROXIES", "127.0.0.1").pipeline(|shipped| pipeline(&shipped, "")).start()
}

/// As a proxy says that it was asked over https.
fn over_https(request: Request) -> Answer {
    request.header("x-forwarded-for", "198.51.100.1").header("x-forwarded-proto", "https").send()
}

/// What an answer has that one without the layer has not.
fn added(answer: &Answer, bare: &Answer) -> Headers {
    let known: BTreeSet<&str> = bare.headers().iter().map(|(name, _)| name.as_str()).collect();
    let added = answer.headers().iter().filter(|(name, _)| !known.contains(name.as_str()));
    added.cloned().collect()
}

#[test]
fn the_preset_is_what_the_package_sends() {
    let server = start();
    let helmet = Program::start("helmet.js", &[], &server);
    let ours = |method: &str, path: &str| {
        added(&over_https(server.request(method, path)), &over_https(server.get("/health/ready")))
    };
    let theirs = |method: &str, path: &str| {
        added(&helmet.request(method, path).send(), &helmet.request("GET", "/bare").send())
    };
    let expected = theirs("GET", "/");
    assert_eq!(expected.len(), 12, "{expected:#?}");
    assert_eq!(ours("GET", "/health"), expected);
    assert_eq!(ours("HEAD", "/health"), theirs("HEAD", "/"));
    // Answers of other kinds have headers of their own besides; none of these is missing.
    for (method, path) in [("GET", "/nothing"), ("DELETE", "/health")] {
        let answer = over_https(server.request(method, path));
        for (name, value) in &theirs("GET", "/nothing") {
            assert_eq!(answer.header(name), Some(value.as_str()), "{name} of {method} {path}");
        }
    }
}

/// The one difference: RFC 6797, 7.2 forbids `Strict-Transport-Security` over http, where browsers ignore it.
#[test]
fn in_the_clear_there_is_no_hsts_and_that_is_all_that_differs() {
    let server = start();
    let helmet = Program::start("helmet.js", &[], &server);
    let mut theirs = added(&helmet.request("GET", "/").send(), &helmet.request("GET", "/bare").send());
    let ours = added(&server.get("/health").send(), &server.get("/health/ready").send());
    assert!(theirs.remove("strict-transport-security").is_some());
    assert_eq!(ours, theirs);
}

#[test]
fn settings_do_what_the_options_do() {
    let server = start();
    let helmet = Program::start("helmet.js", &[], &server);
    let shipped = fs::read_to_string(Setup::shipped().pipeline_file()).unwrap();
    for (settings, options) in settings() {
        fs::write(server.pipeline_file(), pipeline(&shipped, &format!(", {settings}"))).unwrap();
        let outcome = server.admin("POST", "/pipeline/reload").send();
        assert_eq!(outcome.status, 200, "{settings}: {outcome:?}");
        let ours = added(&over_https(server.get("/health")), &over_https(server.get("/health/ready")));
        let answer = helmet.request("GET", "/").header("x-options", &options.to_string()).send();
        assert_eq!(answer.status, 200, "{options}");
        let theirs = added(&answer, &helmet.request("GET", "/bare").send());
        assert_eq!(ours, theirs, "{settings}");
    }
}
