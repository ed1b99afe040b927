use super::*;
use crate::accounts::fixture::{EMAIL, Fixture, PASSWORD, user_actor, visitor};
use crate::accounts::{Purged, SignIn};
use crate::store::Executor;

const MINUTE: u64 = 60;

async fn signed_in() -> (Fixture, SignedIn) {
    let (fixture, _) = Fixture::with_user().await;
    let signed_in = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    (fixture, signed_in)
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_without_asking_anybody() {
    let (fixture, signed_in) = signed_in().await;
    fixture.db.close(Duration::from_secs(5)).await.unwrap();
    let longer = format!("{}A", signed_in.token.reveal());
    for token in ["", "short", &longer] {
        assert!(matches!(fixture.accounts.verify_cached(token), Some(Err(SessionError::Invalid))), "{token}");
        assert!(matches!(fixture.accounts.verify(token).await, Err(SessionError::Invalid)));
    }
}

#[tokio::test]
async fn an_unknown_token_is_invalid() {
    let (fixture, _) = signed_in().await;
    let token = Token::generate("").unwrap();
    assert!(fixture.accounts.verify_cached(token.reveal()).is_none());
    assert!(matches!(fixture.accounts.verify(token.reveal()).await, Err(SessionError::Invalid)));
}

#[tokio::test]
async fn a_database_that_is_away_logs_nobody_out() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    assert!(fixture.accounts.verify_cached(token).is_none());
    fixture.accounts.verify(token).await.unwrap();
    fixture.db.close(Duration::from_secs(5)).await.unwrap();
    fixture.pass(4);
    assert!(matches!(fixture.accounts.verify_cached(token), Some(Ok(_))), "remembered for a moment");
    fixture.pass(1);
    let answer = fixture.accounts.verify(token).await;
    assert!(matches!(answer, Err(SessionError::Service(ServiceError::Unavailable { .. }))), "{answer:?}");
}

#[tokio::test]
async fn an_idle_session_expires() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    fixture.pass(60 * MINUTE - 1);
    fixture.accounts.verify(token).await.unwrap();
    fixture.pass(60 * MINUTE - 1);
    fixture.accounts.verify(token).await.unwrap();
    fixture.pass(60 * MINUTE);
    assert!(matches!(fixture.accounts.verify(token).await, Err(SessionError::Expired)));
}

#[tokio::test]
async fn no_session_outlives_twelve_hours() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    for _ in 0..23 {
        fixture.pass(30 * MINUTE);
        fixture.accounts.verify(token).await.unwrap();
    }
    fixture.pass(30 * MINUTE - 1);
    fixture.accounts.verify(token).await.unwrap();
    fixture.pass(1);
    assert!(matches!(fixture.accounts.verify_cached(token), Some(Err(SessionError::Expired))), "in memory");
    fixture.pass(MINUTE);
    assert!(matches!(fixture.accounts.verify(token).await, Err(SessionError::Expired)), "in the database");
}

#[tokio::test]
async fn the_last_use_is_written_once_a_minute() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    let written = async || fixture.accounts.sessions(signed_in.user.id).await.unwrap()[0].last_seen_at;
    let start = fixture.clock.now();
    fixture.pass(59);
    fixture.accounts.verify(token).await.unwrap();
    assert_eq!(written().await, start);
    fixture.pass(10);
    let active = fixture.accounts.verify(token).await.unwrap();
    assert_eq!(written().await, fixture.clock.now());
    assert_eq!(active.session.last_seen_at, fixture.clock.now());
}

#[tokio::test]
async fn a_session_deleted_while_it_is_verified_is_invalid() {
    let (fixture, signed_in) = signed_in().await;
    fixture.pass(2 * MINUTE);
    let trigger = if fixture.database.is_postgres() {
        "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN DELETE FROM sessions WHERE id = OLD.id; RETURN NULL; END';
         CREATE TRIGGER gone BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION gone()"
    } else {
        "CREATE TRIGGER gone BEFORE UPDATE ON sessions BEGIN DELETE FROM sessions WHERE id = OLD.id; END"
    };
    fixture.database.execute(trigger).await.unwrap();
    assert!(matches!(fixture.accounts.verify(signed_in.token.reveal()).await, Err(SessionError::Invalid)));
}

#[tokio::test]
async fn signing_out_ends_the_session_at_once() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    fixture.accounts.verify(token).await.unwrap();
    let actor = user_actor(&signed_in.user);
    fixture.accounts.sign_out(&actor, token).await.unwrap();
    assert!(fixture.accounts.verify_cached(token).is_none());
    assert!(matches!(fixture.accounts.verify(token).await, Err(SessionError::Invalid)));
    let row = fixture.last_audit().await;
    assert_eq!((row.kind.as_str(), row.actor.as_str()), ("session.sign_out", EMAIL));
    assert_eq!(row.entity, signed_in.session.id.to_string());
    let rows = fixture.audit().await.len();
    fixture.accounts.sign_out(&actor, token).await.unwrap();
    assert_eq!(fixture.audit().await.len(), rows, "nothing happened the second time");
    assert_eq!(fixture.accounts.figures().sessions_revoked, [1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn without_its_audit_row_a_session_goes_on() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    fixture.break_audit().await;
    assert!(fixture.accounts.sign_out(&user_actor(&signed_in.user), token).await.is_err());
    fixture.accounts.verify(token).await.unwrap();
}

#[tokio::test]
async fn users_see_and_end_their_own_sessions_only() {
    let (fixture, mine) = signed_in().await;
    fixture.pass(1);
    let second = fixture.sign_in_from(2, EMAIL, PASSWORD).await.unwrap();
    fixture.create_user("bob@example.com").await;
    let other = fixture.sign_in("bob@example.com", PASSWORD).await.unwrap();
    let accounts = &fixture.accounts;
    let listed = accounts.sessions(mine.user.id).await.unwrap();
    assert_eq!(listed, [second.session.clone(), mine.session.clone()]);

    let actor = user_actor(&mine.user);
    let answer = accounts.end_session(&actor, other.session.id).await;
    assert!(matches!(answer, Err(ServiceError::NotFound("session"))), "{answer:?}");
    accounts.verify(other.token.reveal()).await.unwrap();
    let answer = accounts.end_session(&visitor(1), mine.session.id).await;
    assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");

    accounts.verify(second.token.reveal()).await.unwrap();
    accounts.end_session(&actor, second.session.id).await.unwrap();
    assert!(accounts.verify(second.token.reveal()).await.is_err());
    accounts.verify(mine.token.reveal()).await.unwrap();
    assert_eq!(accounts.session_count().await.unwrap(), 2);
    let answer = accounts.end_session(&actor, second.session.id).await;
    assert!(matches!(answer, Err(ServiceError::NotFound("session"))), "{answer:?}");
}

#[tokio::test]
async fn only_the_hash_of_a_token_is_stored() {
    let (fixture, signed_in) = signed_in().await;
    assert!(!fixture.is_written_anywhere(signed_in.token.reveal()).await);
    let mut read = fixture.db.read().await.unwrap();
    let row = read.query_one("SELECT token_hash FROM sessions", Vec::new()).await.unwrap();
    assert_eq!(row.get::<[u8; 32]>(0).unwrap(), signed_in.token.hash());
}

#[tokio::test]
async fn a_long_user_agent_is_cut() {
    let (fixture, _) = Fixture::with_user().await;
    let mut actor = visitor(1);
    actor.user_agent = Some("é".repeat(20_000));
    let request = SignIn { email: EMAIL.to_owned(), password: PASSWORD.into(), previous: None };
    let signed_in = fixture.accounts.sign_in(&actor, request).await.unwrap();
    assert_eq!(signed_in.session.user_agent, Some("é".repeat(MAXIMUM_USER_AGENT)));
}

#[tokio::test]
async fn what_is_over_is_neither_listed_nor_counted_and_gets_purged() {
    let (fixture, first) = signed_in().await;
    fixture.pass(30 * MINUTE);
    let second = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    for number in 0..3 {
        fixture.sign_in(&format!("user{number}@example.com"), PASSWORD).await.unwrap_err();
    }
    fixture.pass(30 * MINUTE);
    let accounts = &fixture.accounts;
    assert_eq!(accounts.sessions(first.user.id).await.unwrap(), [second.session]);
    assert_eq!(accounts.session_count().await.unwrap(), 1);
    assert_eq!(accounts.figures().sessions_active, 2, "time ends a session; the purge notices");
    assert_eq!(accounts.purge().await.unwrap(), Purged { sessions: 1, failed_attempts: 0 });
    assert_eq!(accounts.figures().sessions_active, 1);
    assert_eq!(fixture.count("SELECT COUNT(*) FROM sessions").await, 1);
    fixture.pass(24 * 60 * MINUTE);
    // Three accounts and the address they were tried from.
    assert_eq!(accounts.purge().await.unwrap(), Purged { sessions: 1, failed_attempts: 4 });
    assert_eq!(accounts.purge().await.unwrap(), Purged::default());
}

#[tokio::test]
async fn who_signs_in_too_often_ends_the_oldest_session() {
    let (fixture, first) = signed_in().await;
    let most = fixture.accounts.0.options.sessions_per_user;
    let other = fixture.create_user("bob@example.com").await;
    let bobs = fixture.sign_in(&other.email, PASSWORD).await.unwrap();
    let mut opened = vec![first];
    for _ in 1..most {
        fixture.pass(1);
        opened.push(fixture.sign_in(EMAIL, PASSWORD).await.unwrap());
    }
    for signed_in in &opened {
        fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
    }
    fixture.pass(1);
    let last = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    let (oldest, others) = opened.split_first().unwrap();
    let gone = fixture.accounts.verify(oldest.token.reveal()).await;
    assert!(matches!(gone, Err(SessionError::Invalid)), "at once, whatever memory held: {gone:?}");
    for signed_in in others.iter().chain([&last, &bobs]) {
        fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
    }
    assert_eq!(fixture.accounts.sessions(last.user.id).await.unwrap().len(), most);
    let audited = fixture.audit().await.into_iter().find(|row| row.kind == "session.displace").unwrap();
    assert_eq!(audited.entity, oldest.session.id.to_string());
    assert_eq!(audited.actor, EMAIL);
}

#[tokio::test]
async fn sessions_that_are_over_displace_none() {
    let (fixture, _) = signed_in().await;
    let most = fixture.accounts.0.options.sessions_per_user;
    for _ in 1..most {
        fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    }
    fixture.pass(61 * MINUTE);
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    assert!(fixture.audit().await.iter().all(|row| row.kind != "session.displace"));
}

#[tokio::test]
async fn a_clock_set_back_an_hour_and_on_again_signs_nobody_out() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    fixture.accounts.verify(token).await.unwrap();
    let user = signed_in.user.id;
    fixture.clock.set_back(Duration::from_secs(60 * MINUTE));
    assert!(fixture.accounts.verify_cached(token).is_none(), "what was read in the future is read again");
    for minutes in [0, 5, 55] {
        fixture.pass(minutes * MINUTE);
        let active = fixture.accounts.verify(token).await.unwrap();
        assert!(active.session.last_seen_at >= fixture.clock.now(), "never idle for less than no time");
        assert_eq!(fixture.accounts.sessions(user).await.unwrap().len(), 1);
        assert_eq!(fixture.accounts.purge().await.unwrap(), Purged::default());
    }
    fixture.pass(61 * MINUTE);
    assert!(matches!(fixture.accounts.verify(token).await, Err(SessionError::Expired)));
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_is_not_kept_by_a_clock_set_back() {
    let (fixture, signed_in) = signed_in().await;
    let token = signed_in.token.reveal();
    fixture.accounts.verify(token).await.unwrap();
    fixture.database.execute("DELETE FROM sessions").await.unwrap();
    fixture.clock.set_back(Duration::from_secs(60 * MINUTE));
    assert!(matches!(fixture.accounts.verify(token).await, Err(SessionError::Invalid)));
}
