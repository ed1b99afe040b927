use http::{HeaderMap, Request};

use super::*;
use crate::{
    kernel::{Body, Exchange, LayerSpec as _, Matched, Severity},
    testing,
};

/// The `Cache-Control` of an answer that the handler gave this one.
async fn sent(settings: &str, method: Method, secret: bool, handlers: &str) -> String {
    let layer = CacheControl::layer(&testing::config(settings)).unwrap();
    let exchange = Exchange::new(method.clone(), "/", Matched::NotFound);
    if secret {
        exchange.mark_secret();
    }
    let mut answer = HeaderMap::new();
    if !handlers.is_empty() {
        answer.insert(CACHE_CONTROL, handlers.parse().unwrap());
    }
    let request = Request::builder().method(method).body(Body::empty()).unwrap();
    testing::send_with(&layer, request, exchange, answer).await.header("cache-control")
}

#[tokio::test]
async fn nobody_keeps_anything_unless_told_to() {
    assert_eq!(sent("", Method::GET, false, "").await, "no-store");
    assert_eq!(sent("store = 'private'", Method::GET, false, "").await, "private, no-cache");
    let all = "store = 'public'\nmax_age = '5m'\nstale_while_revalidate = '1h'\nimmutable = true";
    assert_eq!(
        sent(all, Method::GET, false, "").await,
        "public, max-age=300, stale-while-revalidate=3600, immutable"
    );
    assert_eq!(sent(all, Method::POST, false, "").await, "no-store");
}

#[tokio::test]
async fn a_handler_knows_better_but_for_secrets() {
    let settings = "store = 'public'\nmax_age = '5m'";
    assert_eq!(sent(settings, Method::GET, false, "private, max-age=1").await, "private, max-age=1");
    assert_eq!(sent(settings, Method::GET, true, "public, max-age=1").await, "no-store");
    assert_eq!(sent(settings, Method::GET, true, "").await, "no-store");
}

#[test]
fn settings_that_contradict_each_other_are_said() {
    let check = |settings| Spec::check(&testing::config(settings));
    assert_eq!(check("max_age = '5m'")[0].severity, Severity::Warning);
    let contradiction = "store = 'private'\nmust_revalidate = true\nstale_while_revalidate = '5m'";
    assert_eq!(check(contradiction)[0].severity, Severity::Error);
    assert_eq!(check("store = 'public'")[0].severity, Severity::Warning);
    assert!(check("store = 'private'\nmax_age = '5m'").is_empty());
}
