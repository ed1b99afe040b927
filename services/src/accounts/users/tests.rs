use super::*;
use crate::accounts::fixture::{EMAIL, Fixture, PASSWORD, user_actor, visitor};

const NEW: &str = "umbrella tulip seven oboe";

fn new_user(email: &str) -> NewUser {
    NewUser { email: email.to_owned(), name: None, role: Role::Member, password: PASSWORD.into() }
}

#[tokio::test]
async fn a_user_is_made_with_a_row_of_who_made_it() {
    let fixture = Fixture::new().await;
    let user =
        fixture.accounts.create_user(&Actor::cli(), new_user("Bob.Builder@Example.com")).await.unwrap();
    assert_eq!((user.email.as_str(), user.name.as_str()), ("bob.builder@example.com", "bob.builder"));
    assert_eq!(fixture.accounts.user(user.id).await.unwrap(), user);
    let row = fixture.last_audit().await;
    assert_eq!((row.kind.as_str(), row.actor.as_str(), row.success), ("user.create", "cli", true));
    assert_eq!(row.entity, user.id.to_string());
    let expected = json!({ "email": "bob.builder@example.com", "name": "bob.builder", "role": "member" });
    assert_eq!(row.after, Some(expected));
    assert!(!fixture.is_written_anywhere(PASSWORD).await);
}

#[tokio::test]
async fn an_address_is_taken_in_any_spelling() {
    let (fixture, _) = Fixture::with_user().await;
    let answer = fixture.accounts.create_user(&Actor::cli(), new_user("ADA@EXAMPLE.COM")).await;
    assert!(matches!(answer, Err(ServiceError::Conflict { code: "exists", .. })), "{answer:?}");
    assert_eq!(fixture.accounts.user_count().await.unwrap(), 1);
}

#[tokio::test]
async fn members_and_strangers_make_nobody() {
    let (fixture, user) = Fixture::with_user().await;
    for actor in [user_actor(&user), visitor(1)] {
        let answer = fixture.accounts.create_user(&actor, new_user("bob@example.com")).await;
        assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");
        let answer = fixture.accounts.set_password(&actor, EMAIL, NEW.into()).await;
        assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");
        let answer = fixture.accounts.unlock(&actor, user.id).await;
        assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_password_set_anew_ends_sessions_and_unlocks() {
    let (fixture, user) = Fixture::with_user().await;
    let signed_in = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
    for _ in 0..6 {
        fixture.sign_in(EMAIL, "not the password").await.unwrap_err();
    }
    fixture.accounts.set_password(&Actor::cli(), "Ada@Example.com", NEW.into()).await.unwrap();
    assert!(fixture.accounts.verify_cached(signed_in.token.reveal()).is_none());
    assert!(fixture.accounts.verify(signed_in.token.reveal()).await.is_err());
    let row = fixture.last_audit().await;
    assert_eq!((row.kind.as_str(), row.actor.as_str()), ("user.set_password", "cli"));
    assert_eq!((row.entity, row.after), (user.id.to_string(), Some(json!({ "sessions_ended": 1 }))));
    fixture.sign_in(EMAIL, NEW).await.unwrap();
    assert!(fixture.sign_in(EMAIL, PASSWORD).await.is_err());
}

#[tokio::test]
async fn a_password_is_set_for_users_there_are_and_by_the_rules() {
    let (fixture, _) = Fixture::with_user().await;
    for email in ["bob@example.com", "no address"] {
        let answer = fixture.accounts.set_password(&Actor::cli(), email, NEW.into()).await;
        assert!(matches!(answer, Err(ServiceError::NotFound("user"))), "{answer:?}");
    }
    let answer = fixture.accounts.set_password(&Actor::cli(), EMAIL, "ada@example.com!".into()).await;
    let Err(ServiceError::Invalid(faults)) = answer else { panic!("{answer:?}") };
    assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("/password", "password_too_common"));
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn without_its_audit_row_a_password_stays() {
    let (fixture, _) = Fixture::with_user().await;
    let signed_in = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    fixture.break_audit().await;
    fixture.accounts.set_password(&Actor::cli(), EMAIL, NEW.into()).await.unwrap_err();
    fixture.mend_audit().await;
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
}

#[tokio::test]
async fn an_administrator_unlocks_an_account() {
    let (fixture, user) = Fixture::with_user().await;
    for _ in 0..5 {
        fixture.sign_in(EMAIL, "not the password").await.unwrap_err();
    }
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap_err();
    fixture.accounts.unlock(&Actor::cli(), user.id).await.unwrap();
    assert_eq!(fixture.last_audit().await.kind, "user.unlock");
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    let answer = fixture.accounts.unlock(&Actor::cli(), Uuid::now_v7()).await;
    assert!(matches!(answer, Err(ServiceError::NotFound("user"))), "{answer:?}");
}
