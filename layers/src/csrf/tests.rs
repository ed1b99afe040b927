use http::{HeaderMap, Request};

use super::*;
use crate::{
    kernel::{Body, Exchange, LayerSpec as _, Matched, Severity},
    testing,
};

/// What a request with these headers is answered by a server whose public URL is this one.
async fn status(public: Option<&str>, trusted: &str, method: Method, headers: &[(&str, &str)]) -> u16 {
    let url = public.map(|url| PublicUrl::new(url.parse().unwrap()));
    let config = testing::config(&format!("trusted_origins = '{trusted}'"));
    let layer = Standalone::hook("csrf", Csrf::new(&config, url.as_ref()));
    let mut request = Request::builder().method(method.clone()).uri("/x").header("host", "flags.test:8080");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let exchange = Exchange::new(method, "/x", Matched::NotFound);
    let request = request.body(Body::empty()).unwrap();
    let seen = testing::send_with(&layer, request, exchange, HeaderMap::new()).await;
    assert_eq!(seen.inner.is_some(), seen.status() == 200);
    seen.status().as_u16()
}

#[tokio::test]
async fn fetch_metadata_decide_where_they_are_sent() {
    let site = async |value| status(None, "", Method::POST, &[("sec-fetch-site", value)]).await;
    assert_eq!(site("same-origin").await, 200);
    assert_eq!(site("none").await, 200);
    for refused in ["same-site", "cross-site", "", "Same-Origin", "same-origin, cross-site"] {
        assert_eq!(site(refused).await, 403, "{refused}");
    }
    let own_origin = [("sec-fetch-site", "cross-site"), ("origin", "http://flags.test:8080")];
    assert_eq!(status(None, "", Method::POST, &own_origin).await, 403);
    let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")];
    assert_eq!(status(None, "", Method::POST, &twice).await, 403);
}

#[tokio::test]
async fn only_changes_are_looked_at() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(status(None, "", method, &[("sec-fetch-site", "cross-site")]).await, 200);
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, "PURGE".parse().unwrap()] {
        assert_eq!(status(None, "", method, &[("sec-fetch-site", "cross-site")]).await, 403);
    }
}

#[tokio::test]
async fn without_metadata_the_origin_is_that_of_the_server() {
    let from = async |name, value| status(None, "", Method::POST, &[(name, value)]).await;
    assert_eq!(from("origin", "http://flags.test:8080").await, 200);
    assert_eq!(from("origin", "https://FLAGS.test:8080").await, 200);
    assert_eq!(from("referer", "http://flags.test:8080/team?x#y").await, 200);
    for other in [
        "null",
        "",
        "http://flags.test",
        "http://flags.test:80801",
        "http://evil.test",
        "http://flags.test:8080.evil.test",
        "http://flags.test:8080@evil.test",
        "//flags.test:8080",
        "flags.test:8080",
    ] {
        assert_eq!(from("origin", other).await, 403, "{other}");
        assert_eq!(from("referer", other).await, 403, "{other}");
    }
    let both = [("origin", "http://evil.test"), ("referer", "http://flags.test:8080/")];
    assert_eq!(status(None, "", Method::POST, &both).await, 403, "the origin counts");
}

#[tokio::test]
async fn a_public_url_is_what_counts_where_it_is_known() {
    let from = async |origin| {
        status(Some("https://flags.example.com:443"), "", Method::POST, &[("origin", origin)]).await
    };
    assert_eq!(from("https://flags.example.com").await, 200);
    for other in ["http://flags.example.com", "https://flags.example.com:444", "http://flags.test:8080"] {
        assert_eq!(from(other).await, 403, "{other}");
    }
}

#[tokio::test]
async fn a_trusted_origin_and_whoever_is_no_browser_pass() {
    let trusted = "https://app.example.com, http://localhost:*";
    for origin in ["https://app.example.com", "http://localhost:3000"] {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
        assert_eq!(status(None, trusted, Method::PUT, &headers).await, 200, "{origin}");
    }
    let other = [("origin", "https://app.example.org"), ("sec-fetch-site", "cross-site")];
    assert_eq!(status(None, trusted, Method::PUT, &other).await, 403);
    assert_eq!(status(None, "", Method::DELETE, &[]).await, 200);
}

#[test]
fn trusting_everybody_is_refused() {
    let findings = Spec::check(&testing::config("trusted_origins = ['*']"));
    assert_eq!(findings[0].severity, Severity::Error);
    assert_eq!(findings[0].key, Some("trusted_origins"));
    assert!(Spec::check(&testing::config("trusted_origins = ['https://a.test']")).is_empty());
}
