use std::time::Duration;

use super::*;
use crate::accounts::fixture::{EMAIL, Fixture, PASSWORD, options, visitor};
use crate::actor::Identity;

fn settings(password: &str) -> Option<AdminCredentials> {
    Some(AdminCredentials { email: AdminCredentials::DEFAULT_EMAIL.to_owned(), password: password.into() })
}

fn request(token: &Token, email: &str) -> Setup {
    Setup {
        token: token.reveal().to_owned(),
        email: email.to_owned(),
        name: Some("Ada".to_owned()),
        password: PASSWORD.into(),
    }
}

async fn with_token() -> (Fixture, Token) {
    let fixture = Fixture::new().await;
    match fixture.accounts.ensure_first_admin(None).await.unwrap() {
        FirstAdmin::SetupToken(token) => (fixture, token),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_conflict<T: std::fmt::Debug>(answer: &Result<T, ServiceError>) {
    assert!(matches!(answer, Err(ServiceError::Conflict { code: "setup_done", .. })), "{answer:?}");
}

#[track_caller]
fn faults<T: std::fmt::Debug>(answer: Result<T, ServiceError>) -> Vec<String> {
    match answer {
        Err(ServiceError::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_settings_make_the_first_administrator_once() {
    let fixture = Fixture::new().await;
    assert!(fixture.accounts.setup_needed().await.unwrap());
    let FirstAdmin::Created(user) = fixture.accounts.ensure_first_admin(settings(PASSWORD)).await.unwrap()
    else {
        panic!("nobody was made")
    };
    assert_eq!(
        (user.email.as_str(), user.name.as_str(), user.role),
        ("admin@localhost", "admin", Role::Admin)
    );
    assert!(!fixture.accounts.setup_needed().await.unwrap());
    fixture.sign_in("admin@localhost", PASSWORD).await.unwrap();
    let again = fixture.accounts.ensure_first_admin(settings("umbrella tulip seven oboe")).await.unwrap();
    assert!(matches!(again, FirstAdmin::Present));
    fixture.sign_in("admin@localhost", PASSWORD).await.unwrap();
    let row = &fixture.audit().await[0];
    assert_eq!((row.kind.as_str(), row.actor.as_str(), row.success), ("user.setup", "system", true));
    is_conflict(&fixture.accounts.new_setup_token(&Actor::cli()).await);
}

#[tokio::test]
async fn a_bad_password_in_the_settings_stops_the_start() {
    let fixture = Fixture::new().await;
    for password in ["", "admin", "adminadminadminadmin"] {
        assert_eq!(faults(fixture.accounts.ensure_first_admin(settings(password)).await), ["/password"]);
    }
    let settings = AdminCredentials { email: "nobody".to_owned(), password: "short".into() };
    assert_eq!(faults(fixture.accounts.ensure_first_admin(Some(settings)).await), ["/email", "/password"]);
    assert!(fixture.accounts.setup_needed().await.unwrap());
}

#[tokio::test]
async fn the_set_up_token_makes_one_administrator_and_signs_them_in() {
    let (fixture, token) = with_token().await;
    assert!(!fixture.is_written_anywhere(token.reveal()).await);
    let signed_in = fixture.accounts.setup(&visitor(1), request(&token, EMAIL)).await.unwrap();
    assert_eq!(signed_in.user.role, Role::Admin);
    let active = fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
    assert_eq!(active.user, signed_in.user);
    is_conflict(&fixture.accounts.setup(&visitor(1), request(&token, "bob@example.com")).await);
    let kinds = fixture.audit().await.into_iter().map(|row| (row.kind, row.actor)).collect::<Vec<_>>();
    let row = |kind: &str, actor: &str| (kind.to_owned(), actor.to_owned());
    assert_eq!(
        kinds,
        [row("setup_token.create", "system"), row("user.setup", EMAIL), row("session.sign_in", EMAIL)]
    );
}

#[tokio::test]
async fn a_wrong_token_is_refused_before_anything_is_hashed() {
    let (fixture, token) = with_token().await;
    let wrong = Token::generate("").unwrap();
    assert_eq!(faults(fixture.accounts.setup(&visitor(1), request(&wrong, EMAIL)).await), ["/token"]);
    assert_eq!(fixture.accounts.figures().password_hashes, 0);
    let row = fixture.last_audit().await;
    assert_eq!((row.kind.as_str(), row.actor.as_str(), row.success), ("user.setup", "anonymous", false));
    fixture.accounts.setup(&visitor(1), request(&token, EMAIL)).await.unwrap();
}

#[tokio::test]
async fn faults_do_not_use_the_token_up() {
    let (fixture, token) = with_token().await;
    let mut bad = request(&token, "no address");
    bad.name = Some("x\n".to_owned() + &"x".repeat(100));
    bad.password = "short".into();
    let answer = fixture.accounts.setup(&visitor(1), bad).await;
    assert_eq!(faults(answer), ["/email", "/name", "/password"]);
    fixture.accounts.setup(&visitor(1), request(&token, EMAIL)).await.unwrap();
}

#[tokio::test]
async fn a_new_token_voids_the_older_and_each_lasts_a_day() {
    let (fixture, old) = with_token().await;
    let new = fixture.accounts.new_setup_token(&Actor::cli()).await.unwrap();
    assert_eq!(faults(fixture.accounts.setup(&visitor(1), request(&old, EMAIL)).await), ["/token"]);
    fixture.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(faults(fixture.accounts.setup(&visitor(1), request(&new, EMAIL)).await), ["/token"]);
    let FirstAdmin::SetupToken(fresh) = fixture.accounts.ensure_first_admin(None).await.unwrap() else {
        panic!("a restart prints a new one")
    };
    fixture.accounts.setup(&visitor(1), request(&fresh, EMAIL)).await.unwrap();
}

#[tokio::test]
async fn nobody_on_the_network_gets_a_token() {
    let (fixture, _) = with_token().await;
    let answer = fixture.accounts.new_setup_token(&visitor(1)).await;
    assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");
    let member = Identity::User { id: uuid::Uuid::now_v7(), email: EMAIL.to_owned(), role: Role::Member };
    let answer = fixture.accounts.new_setup_token(&Actor::new(member)).await;
    assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_set_ups_at_once_one_wins() {
    let (fixture, token) = with_token().await;
    // Each has its own service, as if each were another process on the same database.
    let attempts = (0..8_u8).map(|number| {
        let accounts = Accounts::new(fixture.db.clone(), fixture.clock.clone(), options()).unwrap();
        let request = request(&token, &format!("admin{number}@example.com"));
        tokio::spawn(async move { accounts.setup(&visitor(number), request).await.map(|_| ()) })
    });
    let mut winners = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(()) => winners += 1,
            Err(ServiceError::Conflict { code: "setup_done", .. }) => {}
            // Looked at the token just after the winner had used it.
            Err(ServiceError::Invalid(faults)) if faults[0].pointer == "/token" => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(fixture.accounts.user_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_user_made_while_the_password_is_hashed_ends_the_set_up() {
    let (fixture, token) = with_token().await;
    let Setup { email, name, password, .. } = request(&token, EMAIL);
    let new = NewUser { email, name, role: Role::Admin, password };
    let (user, _) = fixture.accounts.check_new_user(new).unwrap();
    fixture.create_user("bob@example.com").await;
    is_conflict(&fixture.accounts.claim(&visitor(1), &token.hash(), user, "$argon2id$").await);
    assert_eq!(fixture.accounts.user_count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_at_once_one_makes_the_administrator() {
    let fixture = Fixture::new().await;
    let starts = (0..8).map(|_| {
        let accounts = Accounts::new(fixture.db.clone(), fixture.clock.clone(), options()).unwrap();
        tokio::spawn(async move { accounts.ensure_first_admin(settings(PASSWORD)).await.unwrap() })
    });
    let mut created = 0;
    for start in starts.collect::<Vec<_>>() {
        match start.await.unwrap() {
            FirstAdmin::Created(_) => created += 1,
            FirstAdmin::Present => {}
            FirstAdmin::SetupToken(_) => panic!("a token though there are settings"),
        }
    }
    assert_eq!((created, fixture.accounts.user_count().await.unwrap()), (1, 1));
}

#[tokio::test]
async fn without_its_audit_row_there_is_no_administrator() {
    let (fixture, token) = with_token().await;
    fixture.break_audit().await;
    let answer = fixture.accounts.setup(&visitor(1), request(&token, EMAIL)).await;
    assert!(matches!(answer, Err(ServiceError::Internal(_))), "{answer:?}");
    assert_eq!(fixture.accounts.user_count().await.unwrap(), 0);
    fixture.mend_audit().await;
    fixture.accounts.setup(&visitor(1), request(&token, EMAIL)).await.unwrap();
}
