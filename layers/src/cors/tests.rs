use http::{HeaderName, Request};

use super::*;
use crate::{
    kernel::{Body, Exchange, LayerSpec as _, Matched, Resources},
    testing::{Seen, States, config, prepare, send, send_with},
};

const LISTED: &str = "origins = 'https://app.example.com, http://localhost:*'\ncredentials = true";

fn layer(text: &str) -> Standalone {
    Cors::layer(&config(text)).unwrap()
}

fn get(origin: &str) -> Request<Body> {
    Request::get("/").header("origin", origin).body(Body::empty()).unwrap()
}

fn preflight(origin: &str) -> Request<Body> {
    Request::options("/")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-evil")
        .body(Body::empty())
        .unwrap()
}

async fn answered(layer: &Standalone, inner: &[(&'static str, &str)], request: Request<Body>) -> Seen {
    let headers = inner
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    let exchange = Exchange::new(request.method().clone(), "/", Matched::NotFound);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    send_with(layer, request, exchange, map).await
}

fn control_headers(seen: &Seen) -> Vec<&str> {
    let names = seen.response.headers().keys().map(HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test]
async fn a_listed_origin_may_read_the_answer() {
    for origin in ["https://app.example.com", "http://localhost:5173"] {
        let seen = send(&layer(LISTED), get(origin)).await;
        assert_eq!(seen.header("access-control-allow-origin"), origin);
        assert_eq!(seen.header("access-control-allow-credentials"), "true");
        assert_eq!(seen.header("vary"), "Origin");
        assert_eq!(
            seen.header("access-control-expose-headers"),
            "x-request-id, etag, retry-after, ratelimit, ratelimit-policy, ratelimit-limit, ratelimit-remaining, \
             ratelimit-reset"
        );
        assert!(seen.inner.is_some());
    }
}

#[tokio::test]
async fn any_other_origin_gets_nothing_but_is_told_that_it_matters() {
    for origin in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
        let seen = send(&layer(LISTED), get(origin)).await;
        assert_eq!(control_headers(&seen), [""; 0], "{origin}");
        assert_eq!(seen.header("vary"), "Origin");
        assert_eq!(seen.status(), 200, "the request itself goes on");
        let seen = send(&layer(LISTED), preflight(origin)).await;
        assert_eq!(control_headers(&seen), [""; 0], "{origin}");
        assert_eq!((seen.status().as_u16(), seen.header("vary").as_str()), (204, "Origin"));
        assert!(seen.inner.is_none());
    }
    let without = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(send(&layer(LISTED), without).await.header("vary"), "Origin");
    let twice = Request::get("/").header("origin", "https://app.example.com").header("origin", "null");
    let seen = send(&layer(LISTED), twice.body(Body::empty()).unwrap()).await;
    assert_eq!(control_headers(&seen), [""; 0]);
}

#[tokio::test]
async fn a_preflight_is_answered_and_is_no_refusal() {
    let layer = layer(LISTED);
    let seen = send(&layer, preflight("https://app.example.com")).await;
    assert_eq!(seen.status(), 204);
    assert_eq!(seen.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(seen.header("access-control-allow-credentials"), "true");
    assert_eq!(seen.header("access-control-allow-methods"), "GET, POST, PUT, PATCH, DELETE, OPTIONS");
    assert_eq!(
        seen.header("access-control-allow-headers"),
        "content-type, authorization, x-api-key, x-request-id, if-match, if-none-match, last-event-id"
    );
    assert_eq!(seen.header("access-control-max-age"), "7200");
    assert_eq!(seen.header("access-control-expose-headers"), "");
    assert!(seen.inner.is_none(), "it goes no further");
    assert_eq!(seen.exchange.stopped(), None);
    assert_eq!(layer.stats().refused(), 0);
}

#[tokio::test]
async fn other_options_requests_go_on() {
    let plain = Request::options("/").header("origin", "https://app.example.com");
    assert!(send(&layer(LISTED), plain.body(Body::empty()).unwrap()).await.inner.is_some());
    let no_origin = Request::options("/").header("access-control-request-method", "PUT");
    assert!(send(&layer(LISTED), no_origin.body(Body::empty()).unwrap()).await.inner.is_some());
}

#[tokio::test]
async fn what_the_server_took_for_a_preflight_is_answered_too() {
    let exchange = Exchange::new(Method::OPTIONS, "/", Matched::NotFound).as_preflight();
    let request = Request::options("/").body(Body::empty()).unwrap();
    let seen = send_with(&layer(LISTED), request, exchange, HeaderMap::new()).await;
    assert_eq!(seen.status(), 204);
}

#[tokio::test]
async fn any_origin_gets_one_answer_that_caches_may_share() {
    let layer = layer("origins = '*'");
    let without = Request::get("/").body(Body::empty()).unwrap();
    for request in [get("https://anywhere.example"), get("null"), without, preflight("https://a.example")] {
        let seen = send(&layer, request).await;
        assert_eq!(seen.header("access-control-allow-origin"), "*");
        assert_eq!(seen.header("access-control-allow-credentials"), "");
        assert_eq!(seen.header("vary"), "");
    }
}

#[tokio::test]
async fn what_answers_depend_on_already_is_kept() {
    for (inner, expected) in [
        (&[("vary", "Accept-Encoding")][..], "Accept-Encoding, Origin"),
        (&[("vary", "Accept-Encoding, ORIGIN")], "Accept-Encoding, ORIGIN"),
        (&[("vary", "Accept"), ("vary", "origin")], "Accept, origin"),
        (&[("vary", "*")], "*"),
        (&[("vary", "X-Origin")], "X-Origin, Origin"),
    ] {
        let seen = answered(&layer(LISTED), inner, get("https://app.example.com")).await;
        assert_eq!(seen.header("vary"), expected);
    }
}

#[tokio::test]
async fn a_handler_cannot_open_what_the_layer_closes() {
    let inner = [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")];
    let seen = answered(&layer(LISTED), &inner, get("https://app.example.com")).await;
    assert_eq!(seen.header("access-control-allow-origin"), "https://app.example.com");
    let seen = answered(&layer(LISTED), &inner, get("https://evil.example")).await;
    assert_eq!(control_headers(&seen), [""; 0]);
    let seen = answered(&layer("origins = '*'"), &inner, get("https://a.example")).await;
    assert_eq!(seen.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn a_developers_own_pages_may_call_in_development_only() {
    for (environment, expected) in [(Environment::Development, true), (Environment::Production, false)] {
        let resources = Resources::new().with(environment);
        let layer =
            Standalone::prepared("cors", prepare::<Spec>("", &resources, &mut States::default()).unwrap());
        for origin in ["http://localhost:5173", "http://localhost", "capacitor://localhost"] {
            let seen = send(&layer, get(origin)).await;
            assert_eq!(seen.header("access-control-allow-origin") == origin, expected, "{origin}");
        }
    }
    let unsaid = prepare::<Spec>("", &Resources::new(), &mut States::default()).unwrap();
    let seen = send(&Standalone::prepared("cors", unsaid), get("http://localhost:5173")).await;
    assert_eq!(seen.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn lists_can_be_changed_and_emptied() {
    let text =
        "origins = ['https://a.example']\nmethods = 'get, purge'\nheaders = []\nexpose = ''\nmax_age = 0";
    let seen = send(&layer(text), preflight("https://a.example")).await;
    assert_eq!(seen.header("access-control-allow-methods"), "GET, PURGE");
    assert!(!seen.response.headers().contains_key("access-control-allow-headers"));
    assert_eq!(seen.header("access-control-max-age"), "0");
    let seen = send(&layer(text), get("https://a.example")).await;
    assert_eq!(control_headers(&seen), ["access-control-allow-origin"]);
}

#[test]
fn any_origin_with_credentials_is_refused() {
    let both: Config = config("origins = '*'\ncredentials = true");
    let findings = Spec::check(&both);
    assert_eq!(findings[0].key, Some("origins"));
    assert_eq!(findings[0].severity, crate::kernel::Severity::Error);
    assert!(Cors::layer(&both).is_err(), "alone, too");
    assert_eq!(Spec::check(&config("origins = '*, https://a.example'")).len(), 1);
    assert!(Spec::check(&Config::default()).is_empty());
    for bad in
        ["headers = ['a b']", "methods = ['*']", "expose = '*'", "origins = ['example.com']", "origin = '*'"]
    {
        assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
    }
}

#[test]
fn refusals_have_the_headers_too() {
    let order = Spec::order(&Config::default());
    assert!(order.sees_refusals && !order.refuses);
}
