use http::{Method, Request, StatusCode};

use super::*;
use crate::{
    kernel::{
        Body, Client, Exchange, Instance, LayerSpec as _, Matched, Next, Optional, Prepared, Problem, chain,
    },
    testing::{Seen, config, send_with},
};

const EXPECTED: [(&str, &str); 12] = [
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    (
        "permissions-policy",
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-xss-protection", "0"),
    ("origin-agent-cluster", "?1"),
    ("x-dns-prefetch-control", "off"),
    ("x-permitted-cross-domain-policies", "none"),
];

async fn answer(text: &str, secure: bool, inner: &[(&'static str, &str)]) -> Seen {
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    exchange.set_client(Client { address: [192, 0, 2, 1].into(), secure, through_proxy: true });
    let headers = inner
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    let request = Request::get("/").body(Body::empty()).unwrap();
    send_with(&SecurityHeaders::layer(&config(text)), request, exchange, headers.collect()).await
}

#[tokio::test]
async fn every_answer_has_them() {
    let seen = answer("", true, &[]).await;
    for (name, value) in EXPECTED {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(seen.header("strict-transport-security"), "max-age=63072000; includeSubDomains; preload");
    assert_eq!(seen.response.headers().len(), EXPECTED.len() + 1);
}

#[tokio::test]
async fn https_is_demanded_only_over_https() {
    assert_eq!(answer("", false, &[]).await.header("strict-transport-security"), "");
    let seen =
        answer("hsts = { max_age = '1h', include_subdomains = false, preload = false }", true, &[]).await;
    assert_eq!(seen.header("strict-transport-security"), "max-age=3600");
    assert_eq!(answer("hsts = false", true, &[]).await.header("strict-transport-security"), "");
}

#[tokio::test]
async fn a_handler_keeps_its_own_and_the_server_is_not_named() {
    let inner = [
        ("content-security-policy", "default-src 'self'"),
        ("content-security-policy", "frame-ancestors 'self'"),
        ("referrer-policy", "origin"),
        ("server", "flagstone"),
        ("x-powered-by", "coffee"),
    ];
    let seen = answer("", false, &inner).await;
    let values = |name: &str| seen.response.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(values("content-security-policy"), ["default-src 'self'", "frame-ancestors 'self'"]);
    assert_eq!(values("referrer-policy"), ["origin"]);
    assert_eq!(seen.header("server") + &seen.header("x-powered-by"), "");
}

#[tokio::test]
async fn each_can_be_changed_or_turned_off() {
    let changed = "content_security_policy = \"default-src 'self'\"\nframe_options = 'SAMEORIGIN'\n\
        referrer_policy = 'origin'\npermissions_policy = 'usb=()'\ncoop = 'unsafe-none'\n\
        coep = 'credentialless'\ncorp = 'cross-origin'\nxss_protection = '1; mode=block'\n\
        dns_prefetch = 'on'\ncross_domain_policies = 'all'";
    let seen = answer(changed, false, &[]).await;
    for (name, value) in [
        ("content-security-policy", "default-src 'self'"),
        ("x-frame-options", "SAMEORIGIN"),
        ("referrer-policy", "origin"),
        ("permissions-policy", "usb=()"),
        ("cross-origin-opener-policy", "unsafe-none"),
        ("cross-origin-embedder-policy", "credentialless"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("x-xss-protection", "1; mode=block"),
        ("x-dns-prefetch-control", "on"),
        ("x-permitted-cross-domain-policies", "all"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let off = toml::to_string(&Preset::Helmet.headers()).unwrap();
    let off: String = off
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| format!("{name} = false\n"))
        .chain(["hsts = false".to_owned()])
        .collect();
    let seen = answer(&off, true, &[]).await;
    assert_eq!(seen.response.headers().len(), 0, "{off}");
}

#[tokio::test]
async fn a_refusal_of_those_inside_has_them_too() {
    let refusing = |head: &mut RequestHead| {
        Flow::<()>::refuse(head, Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", "No."))
    };
    struct Refusing<F>(F);
    impl<F: Fn(&mut RequestHead) -> Flow<()> + Send + Sync + 'static> Hook for Refusing<F> {
        type State = ();
        fn on_request(&self, head: &mut RequestHead) -> Flow<()> {
            (self.0)(head)
        }
    }
    let instance = |name: &str, prepared| Instance {
        name: name.into(),
        prepared,
        observe: false,
        stats: std::sync::Arc::default(),
    };
    let instances = [
        instance("headers", Prepared::hook(SecurityHeaders::new(&Config::default()))),
        instance("refusing", Prepared::hook(Refusing(refusing))),
    ];
    let chain = chain(&instances, Next::new(|_| unreachable!("the request was refused")));
    let exchange = std::sync::Arc::new(Exchange::new(Method::GET, "/", Matched::NotFound));
    let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
    let response = chain.call(crate::kernel::Request::new(parts, Body::empty(), exchange)).wait().await;
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-frame-options"], "DENY");
    assert!(Spec::order(&Config::default()).sees_refusals);
}

#[tokio::test]
async fn a_preset_is_what_single_settings_differ_from() {
    let seen = answer("preset = 'sdk'\nframe_options = 'SAMEORIGIN'", false, &[]).await;
    assert_eq!(seen.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(seen.header("x-frame-options"), "SAMEORIGIN");
    assert_eq!(seen.header("content-security-policy"), EXPECTED[0].1);
    let pages = answer("preset = 'dashboard'", false, &[]).await.header("content-security-policy");
    assert!(pages.contains("script-src 'self'; ") && pages.contains("frame-ancestors 'none'"), "{pages}");
    assert_eq!(answer("preset = 'legacy'", false, &[]).await.header("x-xss-protection"), "1; mode=block");
    let helmet = answer("preset = 'helmet'", true, &[]).await;
    assert_eq!(helmet.header("strict-transport-security"), "max-age=31536000; includeSubDomains");
    assert_eq!(helmet.header("x-download-options"), "noopen");
    assert_eq!(helmet.header("cross-origin-embedder-policy"), "");
}

#[test]
fn https_is_known_only_inside_of_client_ip() {
    use crate::kernel::Fact;
    assert_eq!(Spec::order(&config("")).needs, [Fact::ClientIp]);
    assert!(Spec::order(&config("hsts = false")).needs.is_empty());
}

#[test]
fn bad_settings_are_refused() {
    for bad in [
        "content_security_policy = \"a\\nb\"",
        "content_security_policy = ''",
        "content_security_policy = true",
        "permissions_policy = 'ü'",
        "frame_options = 'ALLOW-FROM x'",
        "corp = 'any'",
        "hsts = { max_age = 'long' }",
        "hsts = { age = '1d' }",
        "x_frame_options = 'DENY'",
        "preset = 'strict'",
    ] {
        assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_header_that_preload_lists_refuse_is_doubted() {
    assert!(Spec::check(&Config::default()).is_empty());
    assert!(Spec::check(&Config { hsts: Some(Optional::OFF), ..Config::default() }).is_empty());
    for text in ["hsts = { max_age = '364d' }", "hsts = { include_subdomains = false }"] {
        assert_eq!(Spec::check(&config(text)).len(), 1, "{text}");
    }
}
