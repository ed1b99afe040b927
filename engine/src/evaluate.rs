//! Evaluation: archived, disabled, prerequisites, targets, rules, fallthrough.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::attributes::Slot;
use crate::buckets::{Drawer, Purpose};
use crate::compile::{CompiledBucket, CompiledFlag, CompiledPrerequisite, CompiledQuestion, CompiledRule};
use crate::compile::{CompiledSegment, CompiledServe, CompiledSplit, CompiledTarget, CompiledVariant};
use crate::compile::{Node, Place, Plan};
use crate::context::Context;
use crate::environment::Environment;
use crate::instant::Nanoseconds;
use crate::limits::WHOLE;
use crate::reason::{ErrorCode, Reason};
use crate::resolved::Resolved;
use crate::subject::Identity;
use crate::trace::{Observer, Recorder, StepKind, Trace};

/// What a flag answered.
#[derive(Clone, Copy, Debug)]
pub struct Resolution<'e> {
    /// The flag.
    pub flag: &'e CompiledFlag,
    /// The variant; `None` is the caller's own default.
    pub variant: Option<&'e CompiledVariant>,
    /// Why.
    pub reason: Reason,
    /// More about [`Reason::Error`] and [`Reason::Archived`].
    pub error: Option<ErrorCode>,
    /// The rule that answered.
    pub rule: Option<MatchedRule<'e>>,
}

/// The rule that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedRule<'e> {
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// Its id, where it has one.
    pub id: Option<&'e str>,
}

/// Evaluates flags for one context. Lookups are done once, and what flags and segments answer to others is
/// remembered, so that one evaluation takes time linear in the definitions.
#[derive(Debug)]
pub struct Evaluator<'e, 'c> {
    environment: &'e Environment,
    attributes: Resolved<'c>,
    context: &'c Context<'c>,
    now: Nanoseconds,
    answers: RefCell<HashMap<Place, Outcome>>,
    memberships: RefCell<HashMap<Place, bool>>,
}

/// A resolution by places.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    variant: Option<Place>,
    reason: Reason,
    error: Option<ErrorCode>,
    rule: Option<usize>,
}

/// What a rule or the fallthrough came to.
enum Served {
    Variant(Option<Place>),
    /// The share passes, or somebody is outside the rollout.
    PassedOver,
    /// The context lacks what would be drawn by.
    NothingToDrawBy,
}

impl<'e, 'c> Evaluator<'e, 'c> {
    pub(crate) fn new(environment: &'e Environment, context: &'c Context<'_>) -> Self {
        Self {
            environment,
            attributes: context.resolve(environment.attributes()),
            context,
            now: context.nanoseconds(),
            answers: RefCell::default(),
            memberships: RefCell::default(),
        }
    }

    /// Evaluates the flag of this key.
    pub fn flag(&self, key: &str) -> Option<Resolution<'e>> {
        self.resolution(self.environment.flag_list().place(key)?)
    }

    /// Evaluates all flags in the order of their keys, archived ones too.
    pub fn flags(&self) -> impl Iterator<Item = Resolution<'e>> {
        (0..self.environment.flag_list().len()).filter_map(|place| self.resolution(place))
    }

    /// Evaluates the flag of this key and tells each step.
    pub fn trace(&self, key: &str) -> Option<Trace> {
        let list = self.environment.flag_list();
        let place = list.place(key)?;
        let flag = list.at(place)?;
        // Of its own, since what is remembered has no steps.
        let evaluator = Self::new(self.environment, self.context);
        let mut recorder = Recorder::default();
        let outcome = evaluator.evaluate(place, flag, &mut recorder);
        Some(Trace::new(&outcome.resolution(flag), self.context.now(), recorder))
    }

    fn resolution(&self, place: Place) -> Option<Resolution<'e>> {
        let flag = self.environment.flag_list().at(place)?;
        let remembered = self.answers.borrow().get(&place).copied();
        Some(remembered.unwrap_or_else(|| self.evaluate(place, flag, &mut ())).resolution(flag))
    }

    fn evaluate<O: Observer>(&self, place: Place, flag: &CompiledFlag, observer: &mut O) -> Outcome {
        if observer.step(|| StepKind::Archived, flag.is_archived()) {
            return Outcome { error: Some(ErrorCode::FlagNotFound), ..Outcome::of(None, Reason::Archived) };
        }
        if !observer.step(|| StepKind::Enabled, flag.is_enabled()) {
            return Outcome::of(flag.off(), Reason::Disabled);
        }
        match (self.environment.hindrance(place), flag.plan()) {
            (None, Ok(plan)) => self.follow(plan, flag, observer),
            (Some(reason), _) | (None, Err(reason)) => {
                observer.step(|| StepKind::Broken { detail: reason.to_owned() }, true);
                Outcome::error(flag, ErrorCode::General)
            }
        }
    }

    fn follow<O: Observer>(&self, plan: &Plan, flag: &CompiledFlag, observer: &mut O) -> Outcome {
        if !plan.prerequisites.iter().all(|prerequisite| self.is_met(prerequisite, observer)) {
            return Outcome::of(flag.off(), Reason::PrerequisiteFailed);
        }
        if let Some(target) = plan.targets.iter().find(|target| self.hits(target, flag, observer)) {
            return Outcome::of(Some(target.variant), Reason::TargetMatch);
        }
        for (index, rule) in plan.rules.iter().enumerate() {
            if let Some(variant) = self.apply(index, rule, observer) {
                let reason = rule.serve.reason(Reason::RuleMatch);
                return Outcome { rule: Some(index), ..Outcome::of(variant, reason) };
            }
        }
        let unconditional = plan.rules.is_empty() && plan.targets.is_empty();
        let reason = if unconditional { Reason::Static } else { Reason::Default };
        observer.enter(|| StepKind::Fallthrough);
        let served = self.serve(&plan.fallthrough, observer);
        observer.leave(!matches!(served, Served::NothingToDrawBy));
        match served {
            Served::Variant(variant) => Outcome::of(variant, plan.fallthrough.reason(reason)),
            Served::NothingToDrawBy => Outcome::error(flag, ErrorCode::TargetingKeyMissing),
            Served::PassedOver => Outcome::error(flag, ErrorCode::General),
        }
    }

    fn is_met<O: Observer>(&self, prerequisite: &CompiledPrerequisite, observer: &mut O) -> bool {
        let CompiledPrerequisite { flag, variants, or_disabled } = prerequisite;
        observer.enter(|| StepKind::Prerequisite { flag: flag.to_string(), or_disabled: *or_disabled });
        let met = self.answer_of(flag, observer).is_some_and(|(other, outcome)| {
            (*or_disabled || outcome.reason != Reason::Disabled) && outcome.is_one_of(other, variants)
        });
        observer.leave(met);
        met
    }

    /// What another flag of the environment answers.
    fn answer_of<O: Observer>(&self, key: &str, observer: &mut O) -> Option<(&'e CompiledFlag, Outcome)> {
        let list = self.environment.flag_list();
        let place = list.place(key)?;
        let flag = list.at(place)?;
        let remembered = self.answers.borrow().get(&place).copied();
        let outcome = remembered.unwrap_or_else(|| {
            let outcome = self.evaluate(place, flag, observer);
            self.answers.borrow_mut().insert(place, outcome);
            outcome
        });
        let answer = || {
            let variant = outcome.resolution(flag).variant.map(|variant| variant.key().to_owned());
            StepKind::Answer { flag: key.to_owned(), variant, reason: outcome.reason }
        };
        observer.step(answer, outcome.error.is_none());
        Some((flag, outcome))
    }

    fn hits<O: Observer>(&self, target: &CompiledTarget, flag: &CompiledFlag, observer: &mut O) -> bool {
        let found = self.first_present(&target.by);
        let hit = found.as_ref().is_some_and(|(_, identity)| target.values.contains(identity.as_str()));
        let kind = || StepKind::Target {
            variant: flag.variants().get(target.variant).map(|variant| variant.key().to_owned()),
            attribute: found.as_ref().map(|(slot, _)| self.name(*slot)),
            value: found.as_ref().map(|(_, identity)| identity.as_str().to_owned()),
        };
        observer.step(kind, hit)
    }

    /// What the rule serves, unless it does not hold or is passed over.
    fn apply<O: Observer>(
        &self,
        index: usize,
        rule: &CompiledRule,
        observer: &mut O,
    ) -> Option<Option<Place>> {
        observer.enter(|| StepKind::Rule { index, id: rule.id.as_deref().map(str::to_owned) });
        let served = if self.holds(&rule.when, observer) {
            match self.serve(&rule.serve, observer) {
                Served::Variant(variant) => Some(variant),
                Served::PassedOver | Served::NothingToDrawBy => None,
            }
        } else {
            None
        };
        observer.leave(served.is_some());
        served
    }

    fn serve<O: Observer>(&self, serve: &CompiledServe, observer: &mut O) -> Served {
        match serve {
            CompiledServe::Variant(variant) => Served::Variant(*variant),
            CompiledServe::Split(split) => self.split(split, observer),
        }
    }

    fn split<O: Observer>(&self, split: &CompiledSplit, observer: &mut O) -> Served {
        let share =
            |share: Option<Place>| share.map_or(Served::PassedOver, |place| Served::Variant(Some(place)));
        let only = split.only_share();
        if let (Some(only), None) = (only, split.rollout) {
            return share(only);
        }
        let Some(identity) = self.identity_by(&split.by, observer) else { return Served::NothingToDrawBy };
        if let Some(rollout) = split.rollout
            && !self.is_drawn(&split.drawer, &identity, 0..rollout, observer)
        {
            return Served::PassedOver;
        }
        if let Some(only) = only {
            return share(only);
        }
        let range = split.total();
        let (slot, value) = (identity.0, identity.1.as_str());
        let draw = split.drawer.draw(Purpose::Variant, value, range);
        observer.step(|| StepKind::draw(self.name(slot), value, Purpose::Variant, draw, range), true);
        share(split.share(draw))
    }

    /// Whether the draw of who is in falls into a range.
    fn is_drawn<O: Observer>(
        &self,
        drawer: &Drawer,
        (slot, identity): &(Slot, Identity<'_>),
        wanted: Range<u32>,
        observer: &mut O,
    ) -> bool {
        let value = identity.as_str();
        let draw = drawer.draw(Purpose::In, value, WHOLE);
        let step = || StepKind::draw(self.name(*slot), value, Purpose::In, draw, WHOLE);
        observer.step(step, wanted.contains(&draw))
    }

    fn holds<O: Observer>(&self, node: &Node, observer: &mut O) -> bool {
        match node {
            Node::Leaf { attribute, op, matcher } => {
                let seen = self.attributes.get(*attribute);
                let step = || StepKind::Leaf {
                    attribute: self.name(*attribute),
                    op: *op,
                    seen: seen.map(|attribute| attribute.value.into()),
                };
                observer.step(step, matcher.matches(seen, self.now))
            }
            others => self.holds_together(others, observer),
        }
    }

    /// [`Self::holds`] for all but leaves, which are most and are quicker on their own.
    fn holds_together<O: Observer>(&self, node: &Node, observer: &mut O) -> bool {
        match node {
            Node::All(parts) => {
                observer.enter(|| StepKind::All);
                let holds = parts.iter().all(|part| self.holds(part, observer));
                observer.leave(holds);
                holds
            }
            Node::Any(parts) => {
                observer.enter(|| StepKind::Any);
                let holds = parts.iter().any(|part| self.holds(part, observer));
                observer.leave(holds);
                holds
            }
            Node::Not(part) => {
                observer.enter(|| StepKind::Not);
                let holds = !self.holds(part, observer);
                observer.leave(holds);
                holds
            }
            Node::Segment(key) => {
                observer.enter(|| StepKind::Segment { segment: key.to_string() });
                let holds = self.belongs(key, observer);
                observer.leave(holds);
                holds
            }
            Node::Flag(question) => {
                let CompiledQuestion { flag, variants } = &**question;
                observer.enter(|| StepKind::Flag { flag: flag.to_string() });
                let answer = self.answer_of(flag, observer);
                let holds = answer.is_some_and(|(other, outcome)| outcome.is_one_of(other, variants));
                observer.leave(holds);
                holds
            }
            Node::Bucket(bucket) => self.is_in_bucket(bucket, observer),
            Node::Leaf { .. } => self.holds(node, observer),
        }
    }

    fn belongs<O: Observer>(&self, key: &str, observer: &mut O) -> bool {
        let list = self.environment.segment_list();
        // That the segment exists and compiles was seen to when the environment was made.
        let Some(place) = list.place(key) else { return false };
        let remembered = self.memberships.borrow().get(&place).copied();
        remembered.unwrap_or_else(|| {
            let belongs = list.at(place).is_some_and(|segment| self.is_member(segment, observer));
            self.memberships.borrow_mut().insert(place, belongs);
            belongs
        })
    }

    fn is_member<O: Observer>(&self, segment: &CompiledSegment, observer: &mut O) -> bool {
        let Ok(membership) = &segment.membership else { return false };
        let identity = self.identity(membership.targeting_key);
        let listed = |keys: &HashSet<Box<str>>| {
            identity.as_ref().is_some_and(|identity| keys.contains(identity.as_str()))
        };
        if !membership.include.is_empty() && observer.step(|| StepKind::Include, listed(&membership.include))
        {
            return true;
        }
        if !membership.exclude.is_empty() && observer.step(|| StepKind::Exclude, listed(&membership.exclude))
        {
            return false;
        }
        membership.when.as_ref().is_some_and(|when| self.holds(when, observer))
    }

    fn is_in_bucket<O: Observer>(&self, bucket: &CompiledBucket, observer: &mut O) -> bool {
        let CompiledBucket { by, drawer, from, below } = bucket;
        observer.enter(|| StepKind::Bucket { from: *from, below: *below });
        let identity = self.identity_by(by, observer);
        let holds =
            identity.is_some_and(|identity| self.is_drawn(drawer, &identity, *from..*below, observer));
        observer.leave(holds);
        holds
    }

    /// What is drawn by.
    fn identity_by<O: Observer>(&self, by: &[Slot], observer: &mut O) -> Option<(Slot, Identity<'c>)> {
        let found = self.first_present(by);
        if found.is_none() {
            let kind = || StepKind::NothingToDrawBy { by: by.iter().map(|slot| self.name(*slot)).collect() };
            observer.step(kind, false);
        }
        found
    }

    /// The first of some attributes that something can be drawn by.
    fn first_present(&self, by: &[Slot]) -> Option<(Slot, Identity<'c>)> {
        by.iter().find_map(|slot| self.identity(*slot).map(|identity| (*slot, identity)))
    }

    fn identity(&self, slot: Slot) -> Option<Identity<'c>> {
        self.attributes.get(slot).and_then(|attribute| Identity::of(attribute.value))
    }

    fn name(&self, slot: Slot) -> String {
        self.environment.attributes().name(slot).to_owned()
    }
}

impl Outcome {
    fn of(variant: Option<Place>, reason: Reason) -> Self {
        Self { variant, reason, error: None, rule: None }
    }

    fn error(flag: &CompiledFlag, code: ErrorCode) -> Self {
        Self { error: Some(code), ..Self::of(flag.off(), Reason::Error) }
    }

    /// Whether it answers one of these variants, free of error.
    fn is_one_of(&self, flag: &CompiledFlag, variants: &[Box<str>]) -> bool {
        let variant =
            self.variant.filter(|_| self.error.is_none()).and_then(|place| flag.variants().get(place));
        variant.is_some_and(|variant| variants.iter().any(|key| **key == *variant.key()))
    }

    fn resolution(self, flag: &CompiledFlag) -> Resolution<'_> {
        let id = |index: usize| flag.plan().ok()?.rules.get(index)?.id.as_deref();
        Resolution {
            flag,
            variant: self.variant.and_then(|place| flag.variants().get(place)),
            reason: self.reason,
            error: self.error,
            rule: self.rule.map(|index| MatchedRule { index, id: id(index) }),
        }
    }
}

impl CompiledServe {
    /// The reason of what it serves, `otherwise` where that is one variant.
    fn reason(&self, otherwise: Reason) -> Reason {
        match self {
            Self::Variant(_) => otherwise,
            Self::Split(_) => Reason::Split,
        }
    }
}
