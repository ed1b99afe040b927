use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flagstone_layers::kernel::{
    Carry, Finding, Order, Parsed, PrepareContext, PrepareError, Prepared, StateSource,
};

use super::{Carried, Draft, GRACE, States};

/// Settings of which only this matters: by what key it counts.
struct Settings(&'static str);

impl Parsed for Settings {
    fn order(&self) -> Order {
        Order::default()
    }

    fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn prepare(&self, _: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        Err(PrepareError::new(None, "only its state is of interest"))
    }

    fn carry_from(&self, old: &dyn Parsed) -> Carry {
        if self.same(old) { Carry::Keep } else { Carry::Reset("another key") }
    }

    fn same(&self, other: &dyn Parsed) -> bool {
        other.config().downcast_ref() == Some(&self.0)
    }

    fn config(&self) -> &dyn Any {
        &self.0
    }
}

struct Clock(Instant);

impl Clock {
    fn after(&self, time: Duration) -> Instant {
        self.0 + time
    }
}

fn begin(draft: &mut Draft<'_>, name: &str, kind: &'static str, key: &'static str) -> Arc<str> {
    let name = Arc::from(name);
    let settings: Arc<dyn Parsed> = Arc::new(Settings(key));
    draft.begin(&name, kind, &settings);
    name
}

fn ask(draft: &mut Draft<'_>, name: &str, kind: &'static str) -> Option<u64> {
    let state = draft.get(name, kind, "counted")?;
    Some(state.downcast::<AtomicU64>().unwrap().load(Ordering::Relaxed))
}

/// The states once an instance has counted so much.
fn counted(states: &States, count: u64, now: Instant) -> States {
    let mut draft = states.draft();
    begin(&mut draft, "limit", "count", "key");
    draft.put("limit", "count", "counted", Arc::new(AtomicU64::new(count)));
    draft.commit(now)
}

#[test]
fn the_state_of_a_removed_instance_is_kept_for_its_grace_and_no_longer() {
    let clock = Clock(Instant::now());
    let states = counted(&States::default(), 7, clock.0);
    let without = states.draft().commit(clock.after(Duration::from_secs(1)));
    // A reload amid the grace does not lengthen it.
    let almost = Duration::from_secs(1) + GRACE - Duration::from_millis(1);
    let mut without = without.draft().commit(clock.after(almost));
    let mut draft = without.draft();
    begin(&mut draft, "limit", "count", "key");
    assert_eq!(ask(&mut draft, "limit", "count"), Some(7));
    drop(draft);
    without.prune(clock.after(Duration::from_secs(1) + GRACE));
    let mut draft = without.draft();
    begin(&mut draft, "limit", "count", "key");
    assert_eq!(ask(&mut draft, "limit", "count"), None);
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let clock = Clock(Instant::now());
    let states = counted(&States::default(), 7, clock.0);
    let mut draft = states.draft();
    begin(&mut draft, "limit", "count", "other key");
    draft.put("limit", "count", "counted", Arc::new(AtomicU64::new(0)));
    assert_eq!(ask(&mut draft, "limit", "count"), Some(0));
    drop(draft);
    let mut draft = states.draft();
    begin(&mut draft, "limit", "count", "key");
    assert_eq!(ask(&mut draft, "limit", "count"), Some(7));
}

#[test]
fn the_decision_is_told_only_where_there_was_state() {
    let clock = Clock(Instant::now());
    let states = counted(&States::default(), 7, clock.0);
    let decide = |name: &str, kind: &'static str, key: &'static str| {
        let mut draft = states.draft();
        let name = begin(&mut draft, name, kind, key);
        ask(&mut draft, &name, kind);
        draft.carried(&name, kind)
    };
    assert_eq!(decide("limit", "count", "key"), Carried::Kept);
    assert_eq!(decide("limit", "count", "other key"), Carried::Reset("another key"));
    assert_eq!(decide("limit", "gate", "key"), Carried::Reset(super::KIND_CHANGED));
    assert_eq!(decide("other", "count", "key"), Carried::Nothing);
}

#[test]
fn an_instance_that_was_not_begun_has_no_state() {
    let states = counted(&States::default(), 7, Instant::now());
    let mut draft = states.draft();
    assert_eq!(ask(&mut draft, "limit", "count"), None);
    draft.put("limit", "count", "counted", Arc::new(AtomicU64::new(1)));
    assert_eq!(ask(&mut draft, "limit", "count"), None);
}

#[test]
fn state_that_is_no_longer_asked_for_is_given_up() {
    let now = Instant::now();
    let states = counted(&States::default(), 7, now);
    let mut draft = states.draft();
    begin(&mut draft, "limit", "count", "key");
    let states = draft.commit(now);
    let mut draft = states.draft();
    begin(&mut draft, "limit", "count", "key");
    assert_eq!(ask(&mut draft, "limit", "count"), None);
}
