use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::accounts::fixture::{EMAIL, Fixture, PASSWORD, options, user_actor, visitor};
use crate::accounts::{AccountOptions, HashingOptions};
use crate::store::Executor;

const WRONG: &str = "violin gravel otter eighteen";

#[track_caller]
fn refusal(answer: Result<SignedIn, SignInError>) -> Refusal {
    match answer {
        Err(SignInError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_right_password_opens_a_session() {
    let (fixture, user) = Fixture::with_user().await;
    let signed_in = fixture.sign_in(" ADA@example.com", PASSWORD).await.unwrap();
    assert_eq!(signed_in.user.id, user.id);
    assert_eq!(signed_in.user.last_sign_in_at, Some(fixture.clock.now()));
    assert_eq!(fixture.accounts.user(user.id).await.unwrap(), signed_in.user);
    assert_eq!(signed_in.session.address.as_deref(), Some("192.0.2.1"));
    let active = fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
    assert_eq!(active.session, signed_in.session);
    assert_eq!(&*active.principal_id, format!("user:{}", user.id));
    assert_eq!(fixture.accounts.figures().sessions_created, 1);
    let row = fixture.last_audit().await;
    assert_eq!((row.kind.as_str(), row.actor.as_str(), row.success), ("session.sign_in", EMAIL, true));
    assert_eq!(row.entity, signed_in.session.id.to_string());
}

#[tokio::test]
async fn every_refusal_costs_one_hash_and_is_the_same_from_outside() {
    let (fixture, user) = Fixture::with_user().await;
    let mut hashes = fixture.accounts.figures().password_hashes;
    for (email, password, expected) in [
        (EMAIL, WRONG, Refusal::WrongPassword),
        ("nobody@example.com", PASSWORD, Refusal::UnknownAccount),
        ("no address", PASSWORD, Refusal::UnknownAccount),
        (EMAIL, "", Refusal::WrongPassword),
        (EMAIL, &"x".repeat(5_000), Refusal::WrongPassword),
    ] {
        let answer = fixture.sign_in(email, password).await;
        assert_eq!(fixture.accounts.figures().password_hashes, hashes + 1, "{email} {expected:?}");
        hashes += 1;
        let known = if email == EMAIL { user.id.to_string() } else { "unknown".to_owned() };
        let row = fixture.last_audit().await;
        assert_eq!(
            (row.kind.as_str(), row.actor.as_str(), row.success),
            ("session.sign_in", "anonymous", false)
        );
        assert_eq!(row.entity, known);
        assert_eq!(row.after.unwrap()["reason"], expected.as_str());
        assert_eq!(refusal(answer), expected);
    }
    for _ in 0..2 {
        // The fifth failure, and an attempt while the account is locked.
        let answer = fixture.sign_in(EMAIL, WRONG).await;
        assert_eq!(fixture.accounts.figures().password_hashes, hashes + 1);
        hashes += 1;
        assert!(matches!(ServiceError::from(answer.unwrap_err()), ServiceError::Unauthenticated));
    }
    assert_eq!(fixture.last_audit().await.after.unwrap()["reason"], "wrong_password", "4 and then the 5th");
    assert_eq!(refusal(fixture.sign_in(EMAIL, PASSWORD).await), Refusal::Locked);
    assert_eq!(fixture.accounts.figures().password_hashes, hashes + 1);
    assert_eq!(fixture.accounts.figures().sessions_created, 0);
}

#[tokio::test]
async fn what_was_typed_is_not_written_down() {
    let (fixture, _) = Fixture::with_user().await;
    refusal(fixture.sign_in("hunter2-hunter2@example.com", WRONG).await);
    refusal(fixture.sign_in(EMAIL, WRONG).await);
    let signed_in = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    for text in ["hunter2", WRONG, PASSWORD, signed_in.token.reveal()] {
        assert!(!fixture.is_written_anywhere(text).await, "{text}");
    }
    assert!(fixture.is_written_anywhere(EMAIL).await, "the search finds what is there");
}

#[tokio::test]
async fn four_failures_are_forgotten_with_a_success() {
    let (fixture, _) = Fixture::with_user().await;
    for _ in 0..2 {
        for _ in 0..4 {
            assert_eq!(refusal(fixture.sign_in(EMAIL, WRONG).await), Refusal::WrongPassword);
        }
        fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    }
    assert_eq!(fixture.count("SELECT COUNT(*) FROM failed_attempts WHERE kind = 'account'").await, 0);
}

#[tokio::test]
async fn from_the_fifth_failure_the_wait_doubles_and_knocking_does_not_prolong_it() {
    let (fixture, _) = Fixture::with_user().await;
    for _ in 0..4 {
        refusal(fixture.sign_in_from(1, EMAIL, WRONG).await);
    }
    for (address, wait) in [(2, 1), (3, 2), (4, 4), (5, 8)] {
        assert_eq!(refusal(fixture.sign_in_from(address, EMAIL, WRONG).await), Refusal::WrongPassword);
        let until = fixture.last_audit().await.after.unwrap()["locked_until"].clone();
        let expected = lockout::later(fixture.clock.now(), Duration::from_secs(wait));
        assert_eq!(until, expected.to_string());
        for _ in 0..3 {
            assert_eq!(refusal(fixture.sign_in(EMAIL, PASSWORD).await), Refusal::Locked);
        }
        fixture.pass(wait);
    }
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_unknown_account_is_locked_like_a_known_one() {
    let (fixture, _) = Fixture::with_user().await;
    for email in ["nobody@example.com", "no address"] {
        for _ in 0..5 {
            assert_eq!(refusal(fixture.sign_in(email, WRONG).await), Refusal::UnknownAccount);
        }
        assert_eq!(refusal(fixture.sign_in(email, WRONG).await), Refusal::Locked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_at_the_same_moment_are_counted_one_by_one() {
    let (fixture, _) = Fixture::with_user().await;
    let attempts = (0..12_u8).map(|address| {
        let accounts = fixture.accounts.clone();
        tokio::spawn(async move {
            let password = if address == 11 { PASSWORD } else { WRONG }.into();
            accounts
                .sign_in(&visitor(address), SignIn { email: EMAIL.to_owned(), password, previous: None })
                .await
        })
    });
    let mut checked = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(_) | Err(SignInError::Refused(Refusal::WrongPassword)) => checked += 1,
            Err(SignInError::Refused(Refusal::Locked)) => {}
            other => panic!("{other:?}"),
        }
    }
    // Five, or where the right one came early and wiped the count, up to five before and five after it.
    assert!((5..=10).contains(&checked), "{checked}");
    assert_eq!(fixture.audit().await.iter().filter(|row| row.kind == "session.sign_in").count(), 12);
}

#[tokio::test]
async fn one_address_that_tries_many_accounts_is_locked_and_others_are_not() {
    let (fixture, _) = Fixture::with_user().await;
    for number in 0..19 {
        refusal(fixture.sign_in_from(7, &format!("user{number}@example.com"), WRONG).await);
        fixture.sign_in_from(8, EMAIL, PASSWORD).await.unwrap();
    }
    // A success takes back its own attempt only: the address stays one failure short.
    fixture.sign_in_from(7, EMAIL, PASSWORD).await.unwrap();
    assert_eq!(refusal(fixture.sign_in_from(7, "last@example.com", WRONG).await), Refusal::UnknownAccount);
    assert_eq!(refusal(fixture.sign_in_from(7, EMAIL, PASSWORD).await), Refusal::Locked);
    fixture.sign_in_from(8, EMAIL, PASSWORD).await.unwrap();
    fixture.pass(1);
    fixture.sign_in_from(7, EMAIL, PASSWORD).await.unwrap();
    fixture.sign_in_from(7, EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_hash_with_old_parameters_is_renewed_at_the_next_sign_in() {
    let (fixture, _) = Fixture::with_user().await;
    let hashing = HashingOptions { iterations: 2, ..options().hashing };
    let accounts = Accounts::new(
        fixture.db.clone(),
        fixture.clock.clone(),
        AccountOptions { hashing, ..AccountOptions::default() },
    )
    .unwrap();
    let request = SignIn { email: EMAIL.to_owned(), password: PASSWORD.into(), previous: None };
    for hashes in [2, 1] {
        let before = accounts.figures().password_hashes;
        accounts.sign_in(&visitor(1), request.clone()).await.unwrap();
        assert_eq!(accounts.figures().password_hashes - before, hashes);
        assert!(fixture.is_written_anywhere("$m=64,t=2,p=1$").await);
    }
}

#[tokio::test]
async fn the_session_of_before_ends_with_a_new_sign_in() {
    let (fixture, _) = Fixture::with_user().await;
    let first = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
    let previous = first.token.reveal().to_owned();
    fixture.accounts.verify(&previous).await.unwrap();
    let request =
        SignIn { email: EMAIL.to_owned(), password: PASSWORD.into(), previous: Some(previous.clone()) };
    let second = fixture.accounts.sign_in(&visitor(1), request).await.unwrap();
    assert_ne!(second.session.id, first.session.id);
    assert!(fixture.accounts.verify(&previous).await.is_err());
    fixture.accounts.verify(second.token.reveal()).await.unwrap();
    let row = fixture.last_audit().await;
    assert_eq!(row.after.unwrap()["replaces"], first.session.id.to_string());
}

#[tokio::test]
async fn a_password_changed_while_the_old_one_is_checked_lets_nobody_in() {
    let (fixture, _) = Fixture::with_user().await;
    let accounts = &fixture.accounts;
    let Ok(proven) = accounts.check(&visitor(1), EMAIL, PASSWORD.into()).await.unwrap() else {
        panic!("the password was right")
    };
    accounts.set_password(&Actor::cli(), EMAIL, "umbrella tulip seven oboe".into()).await.unwrap();
    let answer = accounts.admit(&visitor(1), proven, None).await.unwrap();
    assert!(answer.is_err_and(|refused| refused.refusal == Refusal::WrongPassword));
    assert_eq!(accounts.session_count().await.unwrap(), 0);
}

#[tokio::test]
async fn without_its_audit_row_there_is_no_session() {
    let (fixture, _) = Fixture::with_user().await;
    fixture.break_audit().await;
    let answer = fixture.sign_in(EMAIL, PASSWORD).await;
    assert!(matches!(answer, Err(SignInError::Service(ServiceError::Internal(_)))), "{answer:?}");
    assert_eq!(fixture.count("SELECT COUNT(*) FROM sessions").await, 0);
    assert_eq!(fixture.accounts.figures().sessions_created, 0);
    fixture.mend_audit().await;
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_runs_to_its_end_though_the_client_hangs_up() {
    let (fixture, _) = Fixture::with_user().await;
    {
        let mut sign_in = pin!(fixture.sign_in(EMAIL, PASSWORD));
        assert!(sign_in.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let done = async {
        while fixture.accounts.figures().sessions_created == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), done).await.unwrap();
    assert_eq!(fixture.accounts.session_count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_hasher_is_no_failed_attempt() {
    let (fixture, _) = Fixture::with_user().await;
    let hashing = HashingOptions { at_a_time: 1, patience: Duration::ZERO, ..options().hashing };
    let accounts = Accounts::new(
        fixture.db.clone(),
        fixture.clock.clone(),
        AccountOptions { hashing, ..AccountOptions::default() },
    )
    .unwrap();
    let place = accounts.0.hasher.occupy().await;
    let request = SignIn { email: EMAIL.to_owned(), password: PASSWORD.into(), previous: None };
    let answer = accounts.sign_in(&visitor(1), request.clone()).await;
    assert!(matches!(answer, Err(SignInError::Service(ServiceError::Unavailable { .. }))), "{answer:?}");
    assert_eq!(fixture.count("SELECT COUNT(*) FROM failed_attempts").await, 0);
    drop(place);
    accounts.sign_in(&visitor(1), request).await.unwrap();
}

#[tokio::test]
async fn a_locked_database_is_unavailable_and_no_wrong_password() {
    let fixture = Fixture::with(|options| {
        // PostgreSQL's wait for a lock, and SQLite's.
        options.wait_timeout = Duration::from_secs(1);
        options.busy_timeout = Duration::from_millis(20);
    })
    .await;
    fixture.create_user(EMAIL).await;
    let signed_in = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();

    let other = fixture.database.outside().await.unwrap();
    let held = other.begin().await.unwrap();
    let answer = fixture.sign_in(EMAIL, PASSWORD).await;
    assert!(matches!(answer, Err(SignInError::Service(ServiceError::Unavailable { .. }))), "{answer:?}");
    fixture.pass(120);
    fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();

    drop(held);
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
}

mod change_password {
    use super::*;

    const NEW: &str = "umbrella tulip seven oboe";

    #[tokio::test]
    async fn ends_every_session_and_opens_one() {
        let (fixture, user) = Fixture::with_user().await;
        let here = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
        let there = fixture.sign_in_from(2, EMAIL, PASSWORD).await.unwrap();
        for session in [&here, &there] {
            fixture.accounts.verify(session.token.reveal()).await.unwrap();
        }
        let actor = user_actor(&user);
        let new = fixture.accounts.change_password(&actor, PASSWORD.into(), NEW.into()).await.unwrap();
        for session in [&here, &there] {
            let token = session.token.reveal();
            assert!(fixture.accounts.verify_cached(token).is_none(), "forgotten at once");
            assert!(fixture.accounts.verify(token).await.is_err());
        }
        fixture.accounts.verify(new.token.reveal()).await.unwrap();
        refusal(fixture.sign_in(EMAIL, PASSWORD).await);
        fixture.sign_in(EMAIL, NEW).await.unwrap();
        let row = fixture.audit().await.into_iter().find(|row| row.kind == "user.change_password").unwrap();
        assert_eq!((row.actor.as_str(), row.success), (EMAIL, true));
        assert_eq!(row.after.unwrap()["sessions_ended"], 2);
        assert!(!fixture.is_written_anywhere(NEW).await);
    }

    #[tokio::test]
    async fn needs_the_current_password_and_counts_wrong_ones() {
        let (fixture, user) = Fixture::with_user().await;
        let signed_in = fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
        let actor = user_actor(&user);
        for _ in 0..5 {
            let answer = fixture.accounts.change_password(&actor, WRONG.into(), NEW.into()).await;
            let Err(ServiceError::Invalid(faults)) = answer else { panic!("{answer:?}") };
            assert_eq!(
                faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(),
                ["/current_password"]
            );
        }
        let answer = fixture.accounts.change_password(&actor, PASSWORD.into(), NEW.into()).await;
        let Err(ServiceError::TooManyAttempts { retry_after }) = answer else { panic!("{answer:?}") };
        assert_eq!(retry_after, Duration::from_secs(1));
        fixture.accounts.verify(signed_in.token.reveal()).await.unwrap();
        let row = fixture.last_audit().await;
        assert_eq!(
            (row.kind.as_str(), row.actor.as_str(), row.success),
            ("user.change_password", EMAIL, false)
        );
    }

    #[tokio::test]
    async fn keeps_to_the_rules_and_to_those_who_are_signed_in() {
        let (fixture, user) = Fixture::with_user().await;
        let actor = user_actor(&user);
        let hashes = fixture.accounts.figures().password_hashes;
        let answer =
            fixture.accounts.change_password(&actor, PASSWORD.into(), "passwordpassword".into()).await;
        let Err(ServiceError::Invalid(faults)) = answer else { panic!("{answer:?}") };
        assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("/new_password", "password_too_common"));
        assert_eq!(fixture.accounts.figures().password_hashes, hashes, "refused before anything is hashed");
        let answer = fixture.accounts.change_password(&visitor(1), PASSWORD.into(), NEW.into()).await;
        assert!(matches!(answer, Err(ServiceError::Forbidden)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_user_without_a_password_is_refused_like_an_unknown_one() {
    let (fixture, _) = Fixture::with_user().await;
    fixture.database.execute("UPDATE users SET password_hash = NULL").await.unwrap();
    assert_eq!(refusal(fixture.sign_in(EMAIL, PASSWORD).await), Refusal::UnknownAccount);
    let row = fixture.db.read().await.unwrap().query_one("SELECT password_hash FROM users", Vec::new()).await;
    assert_eq!(row.unwrap().get::<Option<String>>(0).unwrap(), None);
}

#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out() {
    let (fixture, _) = Fixture::with_user().await;
    for _ in 0..5 {
        assert_eq!(refusal(fixture.sign_in(EMAIL, WRONG).await), Refusal::WrongPassword);
    }
    assert_eq!(refusal(fixture.sign_in(EMAIL, PASSWORD).await), Refusal::Locked);
    fixture.clock.set_back(Duration::from_secs(30));
    assert_eq!(
        refusal(fixture.sign_in(EMAIL, PASSWORD).await),
        Refusal::Locked,
        "so far may clocks be apart"
    );
    fixture.clock.set_back(Duration::from_secs(60 * 60));
    assert_eq!(refusal(fixture.sign_in(EMAIL, WRONG).await), Refusal::WrongPassword);
    assert_eq!(
        refusal(fixture.sign_in(EMAIL, PASSWORD).await),
        Refusal::Locked,
        "it counts from the new time"
    );
    fixture.pass(2);
    fixture.sign_in(EMAIL, PASSWORD).await.unwrap();
}
