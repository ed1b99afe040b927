use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Fixture, PROJECT, admin};

#[tokio::test]
async fn a_token_opens_its_environment_for_ten_minutes() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("staging").await;
    let tokens = &fixture.services.stream_tokens;
    let token = tokens.issue(&grant);
    fixture.clock.advance(Duration::from_secs(599));
    assert_eq!(tokens.verify(&token).unwrap().id, grant.id);
    fixture.clock.advance(Duration::from_secs(1));
    assert!(tokens.verify(&token).is_none());
}

#[tokio::test]
async fn a_token_outlives_a_restart_but_not_its_key() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("staging").await;
    let token = fixture.services.stream_tokens.issue(&grant);
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.services.stream_tokens.verify(&token).unwrap().id, grant.id);
    fixture.services.keys.revoke(&admin(), PROJECT, "staging", grant.id).await.unwrap();
    assert!(fixture.services.stream_tokens.verify(&token).is_none());
}

#[tokio::test]
async fn an_altered_token_opens_nothing() {
    let fixture = Fixture::new().await;
    let grant = fixture.grant("staging").await;
    let tokens = &fixture.services.stream_tokens;
    let token = tokens.issue(&grant);
    let parts: Vec<&str> = token.split('.').collect();
    let [key, payload, tag] = parts[..] else { panic!("{token}") };
    // A later expiry under the old tag.
    let mut later = URL_SAFE_NO_PAD.decode(payload).unwrap();
    later[7] ^= 0x40;
    let later = URL_SAFE_NO_PAD.encode(later);
    for wrong in [
        format!("{key}.{later}.{tag}"),
        format!("{key}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{key}.{payload}."),
        format!("{key}.{payload}"),
        format!("x.{payload}.{tag}"),
        format!("{token}.x"),
        String::new(),
        "..".to_owned(),
        "a".repeat(100_000),
    ] {
        assert!(tokens.verify(&wrong).is_none(), "{wrong:.80}");
    }
    assert!(tokens.verify(&token).is_some());
}

#[tokio::test]
async fn another_server_signs_with_another_key() {
    let (one, other) = (Fixture::new().await, Fixture::new().await);
    let token = one.services.stream_tokens.issue(&*one.grant("staging").await);
    assert!(other.services.stream_tokens.verify(&token).is_none());
    assert_eq!(one.number("SELECT COUNT(*) FROM secrets").await, 1);
}
