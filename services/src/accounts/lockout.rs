//! Waiting times after wrong passwords (R29), for each account and for each client address.
//!
//! An attempt is counted as failed *before* its password is checked and taken back when the password was
//! right: of a hundred attempts sent at the same moment only as many are checked as would be one by one.
//! While somebody is locked out nothing is counted, so knocking on does not keep an owner out for longer.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use crate::store::failed_attempts::{self, FailedAttempts, Kind};
use crate::store::{StoreError, Transaction};
use crate::token;

/// How far the clocks of instances may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// When and for how long attempts are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutPolicy {
    /// The failure after which there is the first wait.
    pub from: u32,
    /// The first wait; it doubles with each further failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Failures are forgotten that long after the last one.
    pub forget_after: Duration,
}

impl LockoutPolicy {
    /// R29: from the 5th failure, 1 s doubling to 15 min. With a day of memory a guesser gets about a hundred
    /// tries a day at one account, NIST's limit for consecutive failures.
    pub const ACCOUNT: Self = Self {
        from: 5,
        first: Duration::from_secs(1),
        longest: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// As for an account, but from the 20th failure: a whole office may share one address.
    pub const ADDRESS: Self = Self { from: 20, ..Self::ACCOUNT };

    /// How long to wait after so many failures in a row.
    pub fn delay(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(self.from)?;
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        Some(self.first.checked_mul(factor).map_or(self.longest, |delay| delay.min(self.longest)))
    }
}

/// Who is counted, under which policy.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    kind: Kind,
    name: String,
    policy: LockoutPolicy,
}

impl Subject {
    pub(super) fn account(email: &str, policy: LockoutPolicy) -> Self {
        Self { kind: Kind::Account, name: account_subject(email), policy }
    }

    pub(super) fn address(address: IpAddr, policy: LockoutPolicy) -> Self {
        Self { kind: Kind::Address, name: address_subject(address), policy }
    }
}

/// Attempts counted as failed, to be taken back where they were none.
#[derive(Debug)]
pub(super) struct Reservation(Vec<(Subject, FailedAttempts)>);

impl Reservation {
    /// Until when the account or address has to wait if this attempt fails.
    pub(super) fn locked_until(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|(_, attempts)| attempts.locked_until).max()
    }

    /// Takes the attempt back: nothing was checked. What others counted meanwhile stays.
    pub(super) async fn take_back(&self, transaction: &mut Transaction) -> Result<(), StoreError> {
        for (subject, reserved) in &self.0 {
            take_back(transaction, subject, reserved).await?;
        }
        Ok(())
    }

    /// The password was right: the account starts afresh. The address only gets this attempt back, so that
    /// nobody wipes its count with an account of their own.
    pub(super) async fn forgive(&self, transaction: &mut Transaction) -> Result<(), StoreError> {
        for (subject, reserved) in &self.0 {
            match subject.kind {
                Kind::Account => failed_attempts::clear(transaction, subject.kind, &subject.name).await?,
                Kind::Address => take_back(transaction, subject, reserved).await?,
            }
        }
        Ok(())
    }
}

async fn take_back(
    transaction: &mut Transaction,
    subject: &Subject,
    reserved: &FailedAttempts,
) -> Result<(), StoreError> {
    let Some(mut current) = failed_attempts::find(transaction, subject.kind, &subject.name).await? else {
        return Ok(());
    };
    current.failures = current.failures.saturating_sub(1);
    if current.locked_until == reserved.locked_until {
        current.locked_until = None;
    }
    if current.failures == 0 {
        failed_attempts::clear(transaction, subject.kind, &subject.name).await
    } else {
        failed_attempts::save(transaction, subject.kind, &subject.name, &current).await
    }
}

/// Forgets the failures of an account.
pub(super) async fn clear_account(transaction: &mut Transaction, email: &str) -> Result<(), StoreError> {
    failed_attempts::clear(transaction, Kind::Account, &account_subject(email)).await
}

/// Counts an attempt as failed for all subjects, or answers until when the first locked one has to wait and
/// counts nothing.
pub(super) async fn reserve(
    transaction: &mut Transaction,
    subjects: &[Subject],
    now: Timestamp,
) -> Result<Result<Reservation, Timestamp>, StoreError> {
    let mut reserved = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let before = failed_attempts::find(transaction, subject.kind, &subject.name).await?;
        if let Some(until) = before.as_ref().and_then(|before| locked_until(before, now)) {
            return Ok(Err(until));
        }
        reserved.push((subject.clone(), one_more(before, &subject.policy, now)));
    }
    for (subject, attempts) in &reserved {
        failed_attempts::save(transaction, subject.kind, &subject.name, attempts).await?;
    }
    Ok(Ok(Reservation(reserved)))
}

/// Until when there is to be no attempt. A failure of the future says that the clock was set back: nobody waits until it
/// comes again.
fn locked_until(before: &FailedAttempts, now: Timestamp) -> Option<Timestamp> {
    before.locked_until.filter(|until| *until > now && before.last_failed_at <= later(now, CLOCK_SKEW))
}

fn one_more(before: Option<FailedAttempts>, policy: &LockoutPolicy, now: Timestamp) -> FailedAttempts {
    let remembered = before.filter(|before| later(before.last_failed_at, policy.forget_after) > now);
    let failures = remembered.as_ref().map_or(0, |before| before.failures).saturating_add(1);
    FailedAttempts {
        failures,
        first_failed_at: remembered.map_or(now, |before| before.first_failed_at),
        last_failed_at: now,
        locked_until: policy.delay(failures).map(|delay| later(now, delay)),
    }
}

/// How an account is called in the table: a hash, as people type passwords where the address belongs.
fn account_subject(email: &str) -> String {
    URL_SAFE_NO_PAD.encode(token::hash(email))
}

/// How an address is called in the table: IPv6 clients by their /56, which is what one customer gets.
fn address_subject(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << (128 - 56));
            format!("{}/56", std::net::Ipv6Addr::from_bits(network))
        }
    }
}

/// `time` and `by` later, or the end of time.
pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// `time` and `by` earlier, or the beginning of time.
pub(super) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_begins_at_the_fifth_failure_and_doubles_to_a_quarter_of_an_hour() {
        let delay = |failures| LockoutPolicy::ACCOUNT.delay(failures).map(|delay| delay.as_secs());
        assert_eq!(delay(4), None);
        assert_eq!(delay(5), Some(1));
        assert_eq!(delay(6), Some(2));
        assert_eq!(delay(14), Some(512));
        assert_eq!(delay(15), Some(900));
        assert_eq!(delay(37), Some(900), "a shift by as many bits as there are");
        assert_eq!(delay(u32::MAX), Some(900));
    }

    #[test]
    fn failures_are_forgotten_after_a_day() {
        let now = Timestamp::UNIX_EPOCH;
        let policy = LockoutPolicy::ACCOUNT;
        let first = one_more(None, &policy, now);
        let soon =
            one_more(Some(first.clone()), &policy, later(now, policy.forget_after - Duration::from_secs(1)));
        assert_eq!(soon.failures, 2);
        assert_eq!(soon.first_failed_at, now);
        assert_eq!(one_more(Some(first), &policy, later(now, policy.forget_after)).failures, 1);
    }

    #[test]
    fn addresses_are_counted_by_what_one_customer_has() {
        let subject = |address: &str| address_subject(address.parse().unwrap());
        assert_eq!(subject("192.0.2.7"), "192.0.2.7");
        assert_eq!(subject("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(subject("2001:db8:1:2ff::1"), subject("2001:db8:1:200:9::7"));
        assert_eq!(subject("2001:db8:1:2ff::1"), "2001:db8:1:200::/56");
        assert_ne!(subject("2001:db8:1:2ff::1"), subject("2001:db8:1:300::1"));
    }

    #[test]
    fn an_account_is_not_written_down_by_its_address() {
        let subject = account_subject("ada@example.com");
        assert_eq!(subject.len(), 43);
        assert_ne!(subject, account_subject("ada@example.org"));
    }
}
