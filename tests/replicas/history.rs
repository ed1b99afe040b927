//! What was asked for and how it ended, held against what the database says was done.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use crate::records::{Entry, Records};

/// All operations, as those who asked for them know them.
#[derive(Default)]
pub(crate) struct History {
    operations: Mutex<Vec<Operation>>,
    failovers: Mutex<Vec<Failover>>,
}

/// One change that was asked for.
pub(crate) struct Operation {
    /// What was to be done.
    pub(crate) verb: Verb,
    /// No other operation has the same, but for the revocations of one key.
    pub(crate) token: String,
    /// The flag concerned; empty for keys.
    pub(crate) flag: String,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    Make,
    Change,
    Switch,
    MakeKey,
    RevokeKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, and since then it has this version, where it has versions.
    Acknowledged(Option<u64>),
    /// 503: not done, or done without the server's knowing.
    Refused,
    /// 404 or 409: what it was to be done to is not there, or not so any more.
    Impossible,
    /// No answer.
    Unknown,
}

/// What was acknowledged in between may be lost.
#[derive(Clone, Copy)]
pub(crate) struct Failover {
    /// When copying began.
    pub(crate) copied: Instant,
    /// When the server that the copy was made of was gone.
    pub(crate) gone: Instant,
}

/// Counts over the whole history.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) impossible: usize,
    pub(crate) unknown: usize,
    /// Not acknowledged and done all the same.
    pub(crate) done_unasked: usize,
    /// Acknowledged and lost by a failover.
    pub(crate) lost: usize,
}

// === impl History ===

impl History {
    pub(crate) fn add(&self, operation: Operation) {
        self.operations.lock().unwrap().push(operation);
    }

    pub(crate) fn failed_over(&self, failover: Failover) {
        self.failovers.lock().unwrap().push(failover);
    }

    /// How many flag operations of this writer were begun after `moment` and acknowledged.
    pub(crate) fn acknowledged_since(&self, moment: Instant, writer: usize) -> usize {
        let prefix = format!("w{writer}-");
        let counts = |operation: &&Operation| {
            operation.began > moment
                && operation.flag.starts_with(&prefix)
                && matches!(operation.outcome, Outcome::Acknowledged(_))
        };
        self.operations().iter().filter(counts).count()
    }

    /// Fails where something acknowledged is missing, something nobody asked for or twice what was asked for is there,
    /// or what came first is written later.
    pub(crate) fn check(&self, records: &Records) -> Figures {
        let operations = self.operations();
        let log = records.log();
        let mut done: HashMap<(Verb, &str), &Entry> = HashMap::new();
        for entry in &log {
            let before = done.insert((entry.verb, &entry.token), entry);
            assert!(before.is_none(), "done twice: {entry:?}");
        }
        let asked: HashSet<_> =
            operations.iter().map(|operation| (operation.verb, operation.token.as_str())).collect();
        for entry in &log {
            assert!(asked.contains(&(entry.verb, &entry.token)), "nobody asked for {entry:?}");
        }
        let mut figures = Figures::default();
        let mut acknowledged = Vec::new();
        let mut lost_flags = HashSet::new();
        for operation in operations.iter() {
            let entry = done.get(&(operation.verb, operation.token.as_str())).copied();
            figures.count(operation, entry.is_some());
            match (operation.outcome, entry) {
                (Outcome::Acknowledged(version), Some(entry)) => {
                    assert!(
                        version.is_none_or(|version| version == entry.version),
                        "version {version:?}: {entry:?}"
                    );
                    // A key whose revocation was lost is revoked once more.
                    if !self.may_be_lost(operation) {
                        acknowledged.push((entry.sequence, operation));
                    }
                }
                (Outcome::Acknowledged(_), None) => {
                    assert!(self.may_be_lost(operation), "{} was acknowledged and is lost", operation.token);
                    if operation.verb == Verb::Make {
                        lost_flags.insert(operation.flag.as_str());
                    }
                }
                _ => {}
            }
        }
        for operation in operations.iter().filter(|operation| operation.outcome == Outcome::Impossible) {
            let is_lost = lost_flags.contains(operation.flag.as_str());
            assert!(operation.flag.is_empty() || is_lost, "{} should have been possible", operation.token);
        }
        acknowledged.sort_by_key(|(sequence, _)| *sequence);
        let mut latest: Option<Instant> = None;
        for (sequence, operation) in acknowledged {
            let in_order = latest.is_none_or(|latest| operation.ended >= latest);
            assert!(
                in_order,
                "{} ended before an earlier row than {sequence} was asked for",
                operation.token
            );
            latest = latest.max(Some(operation.began));
        }
        figures
    }

    fn may_be_lost(&self, operation: &Operation) -> bool {
        let between =
            |failover: &Failover| operation.ended > failover.copied && operation.began < failover.gone;
        self.failovers.lock().unwrap().iter().any(between)
    }

    fn operations(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.operations.lock().unwrap()
    }
}

// === impl Figures ===

impl Figures {
    fn count(&mut self, operation: &Operation, is_done: bool) {
        let counter = match operation.outcome {
            Outcome::Acknowledged(_) => &mut self.acknowledged,
            Outcome::Refused => &mut self.refused,
            Outcome::Impossible => &mut self.impossible,
            Outcome::Unknown => &mut self.unknown,
        };
        *counter += 1;
        match operation.outcome {
            Outcome::Acknowledged(_) => self.lost += usize::from(!is_done),
            _ => self.done_unasked += usize::from(is_done),
        }
    }
}
