use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Compiler, Links, Node, Pool};
use crate::attributes::{AttributeTable, Slot};
use crate::buckets::Drawer;
use crate::keyed_list::Keyed;
use crate::limits;
use crate::model::{Flag, FlagConfig, FlagType, Serve, Split, Variant};
use crate::references::References;

/// A flag of one environment, ready to be evaluated, with the pieces its answers are written from.
#[derive(Debug)]
pub struct CompiledFlag {
    own: Arc<OwnFields>,
    enabled: bool,
    /// Where the off variant stands.
    off: Option<Place>,
    plan: Result<Plan, Box<str>>,
    links: Links,
    uses_now: bool,
}

/// What a flag has in every environment alike, and these share.
#[derive(Debug)]
pub(crate) struct OwnFields {
    key: Arc<str>,
    key_json: Box<str>,
    metadata_json: Option<Box<str>>,
    flag_type: FlagType,
    variants: Arc<[CompiledVariant]>,
    archived: bool,
}

/// A variant of a compiled flag.
#[derive(Debug)]
pub struct CompiledVariant {
    key: Box<str>,
    key_json: Box<str>,
    value: Value,
    json: Box<str>,
}

/// The place of a variant in its flag.
pub(crate) type Place = usize;

/// What an enabled flag goes through.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) prerequisites: Box<[CompiledPrerequisite]>,
    pub(crate) targets: Box<[CompiledTarget]>,
    pub(crate) rules: Box<[CompiledRule]>,
    pub(crate) fallthrough: CompiledServe,
}

#[derive(Debug)]
pub(crate) struct CompiledPrerequisite {
    pub(crate) flag: Box<str>,
    pub(crate) variants: Box<[Box<str>]>,
    pub(crate) or_disabled: bool,
}

#[derive(Debug)]
pub(crate) struct CompiledTarget {
    pub(crate) variant: Place,
    pub(crate) values: HashSet<Box<str>>,
    pub(crate) by: Box<[Slot]>,
}

#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub(crate) id: Option<Box<str>>,
    pub(crate) when: Node,
    pub(crate) serve: CompiledServe,
}

#[derive(Debug)]
pub(crate) enum CompiledServe {
    /// `None` is the caller's own default.
    Variant(Option<Place>),
    Split(Box<CompiledSplit>),
}

#[derive(Debug)]
pub(crate) struct CompiledSplit {
    pub(crate) by: Box<[Slot]>,
    pub(crate) drawer: Drawer,
    /// `None` is everybody, for whom nothing is drawn.
    pub(crate) rollout: Option<u32>,
    /// Each with the draw at which it ends; those of weight 0 are left out.
    pub(crate) shares: Box<[(u32, Option<Place>)]>,
}

impl CompiledFlag {
    pub(crate) fn new(
        own: Arc<OwnFields>,
        config: &FlagConfig,
        attributes: &mut Arc<AttributeTable>,
        pool: &mut Pool,
    ) -> Self {
        let salt = config.salt.as_deref().unwrap_or(&own.key);
        let mut compiler = Compiler::new(attributes, pool, salt, config.hash.unwrap_or_default());
        let off = config.off_variant.as_deref().map(|variant| compiler.place(&own, variant));
        let plan = compiler.plan(&own, config).filter(|_| off != Some(None));
        Self {
            enabled: config.enabled,
            off: off.flatten(),
            links: Links::new(&References::of_config(config)),
            uses_now: compiler.uses_now,
            plan: Compiler::outcome(compiler.faults, plan),
            own,
        }
    }

    /// The flag's key.
    pub fn key(&self) -> &str {
        &self.own.key
    }

    /// The flag's key as a JSON string, quotes included.
    pub fn key_json(&self) -> &str {
        &self.own.key_json
    }

    /// The flag's metadata as a JSON object, if it has any.
    pub fn metadata_json(&self) -> Option<&str> {
        self.own.metadata_json.as_deref()
    }

    /// The type of its values.
    pub fn flag_type(&self) -> FlagType {
        self.own.flag_type
    }

    /// Its variants, in their order.
    pub fn variants(&self) -> &[CompiledVariant] {
        &self.own.variants
    }

    /// Whether it is archived: it is left out of lists and unknown by its key.
    pub fn is_archived(&self) -> bool {
        self.own.archived
    }

    /// Whether it is enabled in this environment.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn own(&self) -> &Arc<OwnFields> {
        &self.own
    }

    pub(crate) fn off(&self) -> Option<Place> {
        self.off
    }

    pub(crate) fn plan(&self) -> Result<&Plan, &str> {
        self.plan.as_ref().map_err(|reason| &**reason)
    }

    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    pub(crate) fn uses_now(&self) -> bool {
        self.uses_now
    }
}

impl Keyed for CompiledFlag {
    fn key(&self) -> &Arc<str> {
        &self.own.key
    }
}

impl OwnFields {
    pub(crate) fn key(&self) -> &Arc<str> {
        &self.key
    }

    pub(crate) fn new(flag: &Flag, pool: &mut Pool) -> Self {
        Self {
            key: flag.key.as_str().into(),
            key_json: quoted(&flag.key),
            metadata_json: (!flag.metadata.is_empty())
                .then(|| Value::Object(flag.metadata.clone()).to_string().into_boxed_str()),
            flag_type: flag.flag_type,
            variants: pool.variants(flag),
            archived: flag.archived,
        }
    }
}

impl CompiledVariant {
    pub(super) fn new(variant: &Variant, flag_type: FlagType) -> Self {
        let mut json = variant.value.to_string();
        if flag_type == FlagType::Number && (variant.value.is_i64() || variant.value.is_u64()) {
            json.push_str(".0");
        }
        Self {
            key: variant.key.as_str().into(),
            key_json: quoted(&variant.key),
            value: variant.value.clone(),
            json: json.into_boxed_str(),
        }
    }

    /// The variant's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The variant's key as a JSON string, quotes included.
    pub fn key_json(&self) -> &str {
        &self.key_json
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value as JSON text; a `number` always has a fraction or an exponent.
    pub fn json(&self) -> &str {
        &self.json
    }
}

impl CompiledSplit {
    /// The total of the weights.
    pub(crate) fn total(&self) -> u32 {
        self.shares.last().map_or(0, |(end, _)| *end)
    }

    /// The share of a draw.
    pub(crate) fn share(&self, draw: u32) -> Option<Place> {
        let at = self.shares.partition_point(|(end, _)| *end <= draw);
        self.shares.get(at).and_then(|(_, variant)| *variant)
    }

    /// The only share there is, for which no variant is drawn.
    pub(crate) fn only_share(&self) -> Option<Option<Place>> {
        match &*self.shares {
            [(_, variant)] => Some(*variant),
            _ => None,
        }
    }
}

impl Compiler<'_> {
    fn plan(&mut self, flag: &OwnFields, config: &FlagConfig) -> Option<Plan> {
        let prerequisites = config.prerequisites.iter().map(|prerequisite| CompiledPrerequisite {
            flag: prerequisite.flag.as_str().into(),
            variants: prerequisite.variants.iter().map(|variant| variant.as_str().into()).collect(),
            or_disabled: prerequisite.or_disabled,
        });
        let prerequisites = prerequisites.collect();
        let targets = config.targets.iter().map(|target| {
            Some(CompiledTarget {
                variant: self.place(flag, &target.variant)?,
                values: target.values.iter().map(|value| value.as_str().into()).collect(),
                by: self.by(&target.by),
            })
        });
        let targets = targets.collect::<Option<_>>()?;
        let rules = config.rules.iter().map(|rule| {
            Some(CompiledRule {
                id: rule.id.as_deref().map(Into::into),
                when: self.condition(&rule.when, 1)?,
                serve: self.serve(flag, &rule.serve, false)?,
            })
        });
        let rules = rules.collect::<Option<_>>()?;
        let fallthrough = self.serve(flag, &config.fallthrough, true)?;
        Some(Plan { prerequisites, targets, rules, fallthrough })
    }

    fn serve(&mut self, flag: &OwnFields, serve: &Serve, in_fallthrough: bool) -> Option<CompiledServe> {
        match serve {
            Serve::Variant { variant: Some(variant) } => {
                self.place(flag, variant).map(|place| CompiledServe::Variant(Some(place)))
            }
            Serve::Variant { variant: None } if in_fallthrough => Some(CompiledServe::Variant(None)),
            Serve::Variant { variant: None } => {
                self.faults.push("required", "a rule serves no variant");
                None
            }
            Serve::Split { split } => {
                let split = self.split(flag, split, in_fallthrough)?;
                Some(CompiledServe::Split(Box::new(split)))
            }
        }
    }

    fn split(&mut self, flag: &OwnFields, split: &Split, in_fallthrough: bool) -> Option<CompiledSplit> {
        let mut shares = Vec::with_capacity(split.weights.len());
        let mut total: u32 = 0;
        for weight in &split.weights {
            let variant = match &weight.variant {
                Some(variant) => Some(self.place(flag, variant)?),
                None if in_fallthrough => {
                    self.faults.push("required", "a share of the fallthrough has no variant");
                    return None;
                }
                None => None,
            };
            total = total.saturating_add(weight.weight);
            if weight.weight > 0 {
                shares.push((total, variant));
            }
        }
        if total == 0 || total > limits::WHOLE || (in_fallthrough && split.rollout.is_some()) {
            self.faults.push("invalid_split", "a split is out of range");
            return None;
        }
        Some(CompiledSplit {
            by: self.by(&split.by),
            drawer: self.drawer(split.salt.as_deref(), split.hash),
            rollout: split.rollout.filter(|rollout| *rollout < limits::WHOLE),
            shares: shares.into_boxed_slice(),
        })
    }

    fn place(&mut self, flag: &OwnFields, variant: &str) -> Option<Place> {
        let place = flag.variants.iter().position(|known| *known.key == *variant);
        if place.is_none() {
            self.faults.push("unknown_variant", format!("the flag has no variant `{variant}`"));
        }
        place
    }
}

fn quoted(text: &str) -> Box<str> {
    Value::from(text).to_string().into_boxed_str()
}
