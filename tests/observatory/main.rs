//! Mozilla's HTTP Observatory grades the shipped pipeline behind the shipped nginx configuration (R33–R38).
//!
//! `cargo xtask test observatory` installs the scanner and runs it; nothing leaves the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "it serves the whole-server tests, which do more")]
#[path = "../server/harness.rs"]
mod harness;
#[expect(dead_code, reason = "it serves the tests of the edge, which do more")]
#[path = "../edge/proxy.rs"]
mod proxy;
mod site;
#[expect(dead_code, reason = "it serves the tests of the edge, which do more")]
#[path = "../edge/socket.rs"]
mod socket;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use harness::Setup;
use serde_json::Value;
use site::{HOST, Site};

/// What each page of the shipped pipeline scores. 130 is all there is: the scanner's other 15 points are for a session
/// cookie, for scripts with a checksum and for a name that browsers are shipped with, and none of these pages has one.
/// It grades no 404 and no 405; that those have the same headers is tested in `tests/server/headers.rs`.
const SHIPPED: [(&str, u64); 8] = [
    ("/health", 130),
    ("/api/auth/status", 130),
    ("/api/openapi.json", 130),
    ("/api/auth/me", 130),
    ("/api/management/projects", 130),
    ("/api/v1/definitions", 130),
    // Pages of any origin may read these, which costs the ten points for a `Cross-Origin-Resource-Policy` of one's own.
    ("/api/v1/stream", 120),
    ("/ofrep/v1/events", 120),
];

/// What the presets score. `helmet` allows styles that are written into pages, and more than its own origin.
const PRESETS: [(&str, u64); 5] =
    [("api", 130), ("dashboard", 130), ("legacy", 130), ("sdk", 120), ("helmet", 120)];

/// What the scanner says of these pages.
fn scan(site: &Site, pages: &[&str]) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/observatory");
    let output = Command::new("node")
        .arg("scan.js")
        .args([HOST, &site.http.port().to_string(), &site.https.port().to_string()])
        .args(pages)
        .current_dir(folder)
        .env("NODE_EXTRA_CA_CERTS", site.certificate())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The best grade, no test failed, and no fewer points than this.
fn assert_grade(name: &str, found: &Value, least: u64) {
    println!("observatory: {name}: {} {}", found["grade"].as_str().unwrap_or("-"), found["score"]);
    let score = found["score"].as_u64().unwrap_or(0);
    assert!(found["grade"] == "A+" && found["failed"] == 0 && score >= least, "{name}: {found:#}");
    assert_eq!(found["results"]["redirection"], "redirection-to-https", "{name}");
    assert_eq!(
        found["results"]["strict-transport-security"], "hsts-implemented-max-age-at-least-six-months",
        "{name}"
    );
}

fn setup() -> Setup {
    Setup::demo().variable("TRUSTED_PROXIES", "127.0.0.1").variable("PUBLIC_URL", &format!("https://{HOST}"))
}

#[test]
fn every_kind_of_page_is_graded_a_plus() {
    let server = setup().start();
    let site = Site::of(server.address());
    let found = scan(&site, &SHIPPED.map(|(page, _)| page));
    for (page, least) in SHIPPED {
        assert_grade(page, &found[page], least);
    }
}

#[test]
fn every_preset_is_graded_a_plus() {
    // A route for each preset, all with one chain.
    const ROUTES: [&str; 5] = [
        "/api/auth/me",
        "/api/auth/sessions",
        "/api/auth/status",
        "/health/ready",
        "/api/management/pipeline",
    ];
    let entries: String = PRESETS
        .iter()
        .zip(ROUTES)
        .map(|((preset, _), path)| {
            format!(
                "[[routes]]\npath = \"{path}\"\nmethods = [\"GET\"]\nchain = \"admin\"\n\
                 override.security-headers = {{ preset = \"{preset}\" }}\n\n"
            )
        })
        .collect();
    let server = setup()
        .pipeline(|text| {
            let text = text.replace("[[routes]]\npath = \"/api/auth/status\"\nchain = \"public\"\n", "");
            text.replacen("[[routes]]", &format!("{entries}[[routes]]"), 1)
        })
        .start();
    let site = Site::of(server.address());
    let found = scan(&site, &ROUTES);
    for ((preset, least), page) in PRESETS.into_iter().zip(ROUTES) {
        assert_grade(preset, &found[page], least);
    }
}
