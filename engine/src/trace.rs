//! Every step of one evaluation, told by the code that evaluates.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::buckets::Purpose;
use crate::evaluate::Resolution;
use crate::operator::Operator;
use crate::reason::{ErrorCode, Reason};

/// What a flag answered and how it came to that.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Trace {
    /// The flag's key.
    pub flag: String,
    /// The value; absent where it is the caller's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The variant's key; absent where it is the caller's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Why.
    pub reason: Reason,
    /// More about an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// The rule that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<TracedRule>,
    /// The time of the evaluation.
    pub now: Timestamp,
    /// What was looked at, in this order; what was not looked at any more is absent.
    pub steps: Vec<Step>,
}

/// The rule that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TracedRule {
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// Its id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// One step of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    /// What was looked at.
    #[serde(flatten)]
    pub kind: StepKind,
    /// Whether it held; of a rule whether it served, of a fallthrough whether it could.
    pub holds: bool,
    /// The steps inside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// What a step looked at.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum StepKind {
    /// Whether the flag is archived.
    Archived,
    /// Whether the flag is enabled here.
    Enabled,
    /// What is stored cannot be evaluated.
    Broken {
        /// Why.
        detail: String,
    },
    /// A flag that has to answer one of certain variants.
    Prerequisite {
        /// The other flag.
        flag: String,
        /// Whether it may be disabled.
        or_disabled: bool,
    },
    /// What another flag answered. Its own steps stand before, where it was looked at for the first time.
    Answer {
        /// The other flag.
        flag: String,
        /// Its variant.
        #[serde(skip_serializing_if = "Option::is_none")]
        variant: Option<String>,
        /// Its reason.
        reason: Reason,
    },
    /// Individuals who get a variant.
    Target {
        /// The variant.
        variant: Option<String>,
        /// The attribute that was compared, if one was there.
        #[serde(skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
        /// What it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// A rule.
    Rule {
        /// Its place in the configuration, from 0.
        index: usize,
        /// Its id, where it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// What is answered when no rule is.
    Fallthrough,
    /// A condition whose parts all have to hold.
    All,
    /// A condition of whose parts one has to hold.
    Any,
    /// A condition whose part must not hold.
    Not,
    /// A segment. Its own steps stand inside, where it was looked at for the first time.
    Segment {
        /// Its key.
        segment: String,
    },
    /// Whether the targeting key is included in the segment.
    Include,
    /// Whether the targeting key is excluded from the segment.
    Exclude,
    /// What another flag answers.
    Flag {
        /// The other flag.
        flag: String,
    },
    /// Whether a draw falls into a range.
    Bucket {
        /// Its first draw.
        from: u32,
        /// The first draw above it.
        below: u32,
    },
    /// A comparison of an attribute.
    Leaf {
        /// The attribute.
        attribute: String,
        /// How it was compared.
        op: Operator,
        /// What it was; absent where it was missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        seen: Option<Value>,
    },
    /// A draw.
    Draw {
        /// The attribute drawn by.
        attribute: String,
        /// What it was.
        value: String,
        /// What was drawn for.
        purpose: Purpose,
        /// What was drawn, from 0.
        draw: u32,
        /// All draws are below this.
        range: u32,
    },
    /// None of the attributes to draw by was there.
    NothingToDrawBy {
        /// The attributes.
        by: Vec<String>,
    },
}

/// Is told the steps of an evaluation while it goes on. That of `()` compiles to nothing.
pub(crate) trait Observer {
    /// A step begins; those until it is left are inside it.
    fn enter(&mut self, _kind: impl FnOnce() -> StepKind) {}

    /// The step entered last is done.
    fn leave(&mut self, _holds: bool) {}

    /// A step without others inside; answers `holds`.
    fn step(&mut self, kind: impl FnOnce() -> StepKind, holds: bool) -> bool {
        self.enter(kind);
        self.leave(holds);
        holds
    }
}

impl Observer for () {}

/// Writes the steps down.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    done: Vec<Step>,
    /// The steps that are not left yet, each with those that were done before it on its level.
    open: Vec<(StepKind, Vec<Step>)>,
}

impl Observer for Recorder {
    fn enter(&mut self, kind: impl FnOnce() -> StepKind) {
        self.open.push((kind(), std::mem::take(&mut self.done)));
    }

    fn leave(&mut self, holds: bool) {
        if let Some((kind, before)) = self.open.pop() {
            let steps = std::mem::replace(&mut self.done, before);
            self.done.push(Step { kind, holds, steps });
        }
    }
}

impl Trace {
    pub(crate) fn new(resolution: &Resolution<'_>, now: Timestamp, recorder: Recorder) -> Self {
        let rule = resolution.rule;
        Self {
            flag: resolution.flag.key().to_owned(),
            value: resolution.variant.map(|variant| variant.value().clone()),
            variant: resolution.variant.map(|variant| variant.key().to_owned()),
            reason: resolution.reason,
            error: resolution.error,
            rule: rule.map(|rule| TracedRule { index: rule.index, id: rule.id.map(str::to_owned) }),
            now,
            steps: recorder.done,
        }
    }
}

impl StepKind {
    pub(crate) fn draw(attribute: String, value: &str, purpose: Purpose, draw: u32, range: u32) -> Self {
        Self::Draw { attribute, value: value.to_owned(), purpose, draw, range }
    }
}
