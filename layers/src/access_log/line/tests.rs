use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;
use smallvec::smallvec;

use super::*;
use crate::kernel::{Client, Generation, Matched, Principal, PrincipalKind, RequestId};

fn ended() -> Ended {
    Ended {
        status: Some(StatusCode::TOO_MANY_REQUESTS),
        bytes: 1234,
        duration: Duration::from_micros(12_045),
        outcome: Outcome::Complete,
    }
}

fn time() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_795_225_288_007)
}

fn full() -> Exchange {
    let route = Matched::Route { id: 3, pattern: "/flags/{flag}", parameters: smallvec![(7, 11)] };
    let exchange = Exchange::new(Method::GET, "/flags/dark", route).with_generation(Generation::new(7));
    exchange.set_request_id(RequestId::parse(b"abc-1").unwrap());
    let address = "2001:db8::7".parse().unwrap();
    exchange.set_client(Client { address, secure: true, through_proxy: false });
    let context = [("project", "web".into()), ("environment", "test".into())];
    let principal = Principal::new(PrincipalKind::ServerKey, "key:web").with_context(context.into());
    exchange.set_principal(principal);
    exchange.set_stopped("sdk-limit".into(), StatusCode::TOO_MANY_REQUESTS);
    exchange.add_observed(Arc::from("strict-limit"));
    exchange.add_observed(Arc::from("csrf"));
    exchange
}

fn written(format: Format, exchange: &Exchange, ended: &Ended) -> String {
    let context = context(format, &[("instance", "flag stone".into()), ("release", "1.2".into())]);
    let mut buffer = Vec::new();
    Line { time: time(), exchange, ended }.write(format, &context, &mut Clock::default(), &mut buffer);
    String::from_utf8(buffer).unwrap()
}

#[test]
fn a_json_line_tells_everything() {
    let line = written(Format::Json, &full(), &ended());
    assert!(line.ends_with("}\n"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap(),
        json!({
            "timestamp": "2026-11-21T01:41:28.007Z", "level": "INFO", "message": "request",
            "method": "GET", "path": "/flags/dark", "route": "/flags/{flag}",
            "request_id": "abc-1", "client": "2001:db8::7",
            "principal_kind": "server_key", "principal": "key:web",
            "project": "web", "environment": "test",
            "status": 429, "duration_ms": 12.045, "bytes": 1234, "outcome": "complete",
            "stopped_by": "sdk-limit", "observed": ["strict-limit", "csrf"], "generation": 7,
            "instance": "flag stone", "release": "1.2",
        })
    );
}

#[test]
fn a_text_line_tells_the_same() {
    assert_eq!(
        written(Format::Text, &full(), &ended()),
        "2026-11-21T01:41:28.007Z level=INFO message=request method=GET path=/flags/dark route=/flags/{flag} \
         request_id=abc-1 client=2001:db8::7 principal_kind=server_key principal=key:web project=web \
         environment=test status=429 duration_ms=12.045 bytes=1234 outcome=complete stopped_by=sdk-limit observed=strict-limit,csrf \
         generation=7 instance=\"flag stone\" release=1.2\n"
    );
}

#[test]
fn what_is_not_known_is_left_out() {
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    let ended = Ended { status: None, bytes: 0, duration: Duration::ZERO, outcome: Outcome::Aborted };
    assert_eq!(
        written(Format::Json, &exchange, &ended),
        "{\"timestamp\":\"2026-11-21T01:41:28.007Z\",\"level\":\"INFO\",\"message\":\"request\",\"method\":\"GET\",\
         \"path\":\"/\",\"duration_ms\":0.000,\"bytes\":0,\"outcome\":\"aborted\",\
         \"instance\":\"flag stone\",\"release\":\"1.2\"}\n"
    );
}

#[test]
fn faults_of_the_server_are_errors() {
    let exchange = Exchange::new(Method::GET, "/", Matched::NotFound);
    for (status, outcome, level) in [
        (200, Outcome::Complete, "INFO"),
        (404, Outcome::Complete, "INFO"),
        (500, Outcome::Complete, "ERROR"),
        (200, Outcome::Failed, "ERROR"),
        (200, Outcome::Aborted, "INFO"),
    ] {
        let ended = Ended { status: StatusCode::from_u16(status).ok(), outcome, ..ended() };
        let line = written(Format::Json, &exchange, &ended);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["level"], level, "{status} {outcome:?}");
    }
}

#[test]
fn nobody_can_write_a_line_of_their_own() {
    let exchange =
        Exchange::new(Method::GET, "/a\n{\"level\":\"info\"}\r\u{1b}[2K\" status=200", Matched::NotFound);
    for format in [Format::Json, Format::Text] {
        let line = written(format, &exchange, &ended());
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.trim_end().chars().any(char::is_control), "{line}");
        assert_eq!(line.matches(r#"\" status=200""#).count(), 1, "{line}");
    }
}

#[test]
fn the_clock_follows_the_second() {
    let mut clock = Clock::default();
    assert_eq!(clock.text(0), "1970-01-01T00:00:00");
    assert_eq!(clock.text(951_782_400), "2000-02-29T00:00:00");
    assert_eq!(clock.text(951_782_401), "2000-02-29T00:00:01");
}
