use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::{
    exchange::Exchange,
    hook::{ErasedHook, Hook},
    next::Next,
    principal::PrincipalSet,
    resources::Resources,
    stats::Stats,
};

/// How a layer describes itself to a pipeline.
///
/// A pipeline reads a [`Config`](Self::Config), proves the [`Order`], checks, prepares the instance (which may fail
/// and must have no effect outside) and then either fuses its hook with its neighbours or lets it wrap what is inside.
pub trait LayerSpec: 'static {
    /// Its name in a pipeline file.
    const KIND: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// Its settings. Use `deny_unknown_fields`; no `flatten`, `untagged` or internal tags, which lose the position of an error.
    type Config: DeserializeOwned + JsonSchema + Clone + PartialEq + fmt::Debug + Send + Sync + 'static;

    /// Where it may stand in a chain and what it proves.
    fn order(config: &Self::Config) -> Order;

    /// Faults and doubts about the settings that their types do not show.
    fn check(_config: &Self::Config) -> Vec<Finding> {
        Vec::new()
    }

    /// Makes the instance. May fail; must have no effect outside.
    fn prepare(config: &Self::Config, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError>;

    /// Whether the state of the old instance of the same name goes on in the new one.
    fn carry(_old: &Self::Config, _new: &Self::Config) -> Carry {
        Carry::Keep
    }
}

/// Where a layer may stand, what it needs and what it gives to those inside it.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Facts that must be known before it runs.
    pub needs: Vec<Fact>,
    /// Facts that are known to those inside it. In observe mode it gives nothing.
    pub gives: Vec<Fact>,
    /// The principals it lets through; `None` lets everybody through.
    pub admits: Option<PrincipalSet>,
    /// It may answer instead of the handler. Such layers take `mode = "enforce" | "observe"`.
    pub refuses: bool,
    /// It must see refusals too (headers, log, metrics): it stands outside every layer that may refuse.
    pub sees_refusals: bool,
    /// It must stand outside whatever authenticates, because that costs more.
    pub before_authentication: bool,
    /// Kinds that stand outside it where a chain has both.
    pub inside_of: &'static [&'static str],
    /// At most one of its kind in a chain.
    pub once: bool,
    /// Why it must not reach a streaming route, if so.
    pub breaks_streams: Option<&'static str>,
}

/// What layers can know, and need to know, of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// The request has an id.
    RequestId,
    /// The client's address is known.
    ClientIp,
    /// It is known who calls.
    Principal,
    /// The body cannot be larger than a limit.
    BoundedBody,
}

/// A fault or a doubt found by [`LayerSpec::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// The setting it is about; `None` is the layer as a whole.
    pub key: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Applied, and said.
    Warning,
    /// Refused.
    Error,
}

/// Whether state goes on over a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carry {
    /// It goes on; what is counted counts.
    Keep,
    /// It starts anew, for this reason.
    Reset(&'static str),
}

/// A prepared instance.
#[derive(Clone)]
pub enum Prepared {
    /// It decides on heads; it is fused with its neighbours.
    Hook(PreparedHook),
    /// It needs the whole service.
    Around(Arc<dyn Around>),
}

/// A prepared [`Hook`], its type erased.
#[derive(Clone)]
pub struct PreparedHook(pub(super) Arc<dyn ErasedHook>);

/// A layer that needs the whole service.
pub trait Around: Send + Sync + 'static {
    /// Wraps what is inside. Called once for each chain; must make no state.
    fn wrap(&self, inner: Next, context: &WrapContext) -> Next;
}

/// Under which name and mode a layer wraps.
#[derive(Clone, Debug)]
pub struct WrapContext {
    /// The instance's name.
    pub name: Arc<str>,
    /// Whether it only counts and logs what it would have refused.
    pub observe: bool,
    /// What it did.
    pub stats: Arc<Stats>,
}

/// What a layer can ask for while it is prepared.
pub struct PrepareContext<'a> {
    instance: Arc<str>,
    kind: &'static str,
    resources: &'a Resources,
    states: &'a mut dyn StateSource,
}

/// Keeps state by (instance, kind, key) from one generation of a pipeline to the next.
pub trait StateSource {
    /// State of the last generation, or of this one where it was put already.
    fn get(&self, instance: &str, kind: &'static str, key: &str) -> Option<Arc<dyn Any + Send + Sync>>;
    /// Keeps new state for this generation and those after it.
    fn put(&mut self, instance: &str, kind: &'static str, key: &str, state: Arc<dyn Any + Send + Sync>);
    /// As [`get`](Self::get), of what instances of a kind share under a name; `instance` is the one that asks.
    fn get_shared(&self, instance: &str, kind: &'static str, key: &str)
    -> Option<Arc<dyn Any + Send + Sync>>;
    /// As [`put`](Self::put), for [`get_shared`](Self::get_shared).
    fn put_shared(&mut self, kind: &'static str, key: &str, state: Arc<dyn Any + Send + Sync>);
}

/// Why an instance could not be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PrepareError {
    /// The setting it is about; `None` is the layer as a whole.
    pub key: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A layer's spec as a plain record, so that a registry can be a static slice.
#[derive(Clone, Copy)]
pub struct Registered {
    /// Its name in a pipeline file.
    pub kind: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads its settings.
    pub parse: fn(toml::de::ValueDeserializer<'_>) -> Result<Box<dyn Parsed>, toml::de::Error>,
}

/// Settings that were read, their type erased: [`LayerSpec`] with its `Config` bound.
pub trait Parsed: Send + Sync {
    /// As [`LayerSpec::order`].
    fn order(&self) -> Order;
    /// As [`LayerSpec::check`].
    fn check(&self) -> Vec<Finding>;
    /// As [`LayerSpec::prepare`].
    fn prepare(&self, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError>;
    /// As [`LayerSpec::carry`]; a different kind is always a reset.
    fn carry_from(&self, old: &dyn Parsed) -> Carry;
    /// Whether both are of one kind and have equal settings.
    fn same(&self, other: &dyn Parsed) -> bool;
    /// The settings themselves.
    fn config(&self) -> &dyn Any;
}

/// The kinds of layer a pipeline may use.
#[derive(Clone)]
pub struct Registry {
    by_kind: HashMap<&'static str, Registered>,
    kinds: Vec<&'static str>,
}

// === impl Finding ===

impl Finding {
    /// A finding that stops the pipeline.
    pub fn error(key: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, key: key.into(), message: message.into(), help: None }
    }

    /// A finding that does not.
    pub fn warning(key: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, key: key.into(), message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

// === impl PrepareError ===

impl PrepareError {
    /// An error about one setting, or about the layer as a whole.
    pub fn new(key: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

// === impl Prepared ===

impl Prepared {
    /// A prepared hook.
    pub fn hook(hook: impl Hook) -> Self {
        Self::Hook(PreparedHook(Arc::new(hook)))
    }

    /// A prepared layer that needs the whole service.
    pub fn around(around: impl Around) -> Self {
        Self::Around(Arc::new(around))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hook(_) => "Prepared::Hook",
            Self::Around(_) => "Prepared::Around",
        })
    }
}

impl<F> Around for F
where
    F: Fn(Next, &WrapContext) -> Next + Send + Sync + 'static,
{
    fn wrap(&self, inner: Next, context: &WrapContext) -> Next {
        self(inner, context)
    }
}

// === impl WrapContext ===

impl WrapContext {
    /// Notes that this instance answers with this status instead of the handler. In observe mode it only notes that it
    /// would have, and returns false: the request goes on.
    pub fn refuses(&self, exchange: &Exchange, status: StatusCode) -> bool {
        if self.observe {
            self.stats.count_observed();
            exchange.add_observed(self.name.clone());
            tracing::debug!(layer = %self.name, status = status.as_u16(), "would have refused");
            return false;
        }
        self.stats.count_refused();
        exchange.set_stopped(self.name.clone(), status);
        true
    }
}

// === impl PrepareContext ===

impl<'a> PrepareContext<'a> {
    /// The context of one instance.
    pub fn new(
        instance: Arc<str>,
        kind: &'static str,
        resources: &'a Resources,
        states: &'a mut dyn StateSource,
    ) -> Self {
        Self { instance, kind, resources, states }
    }

    /// The instance's name.
    pub fn instance(&self) -> &Arc<str> {
        &self.instance
    }

    /// What the host lends of this type.
    pub fn resource<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.resources.get()
    }

    /// As [`resource`](Self::resource), where the layer cannot do without.
    pub fn required<T: Any + Send + Sync>(&self, what: &str) -> Result<Arc<T>, PrepareError> {
        self.resource().ok_or_else(|| {
            PrepareError::new(None, format!("this server provides no {what}"))
                .help("remove the layer, or run it in a server that provides one")
        })
    }

    /// The state this instance had in the last generation, or new state. `key` tells several states of one instance apart.
    pub fn state<T: Any + Send + Sync>(&mut self, key: &str, new: impl FnOnce() -> T) -> Arc<T> {
        if let Some(state) =
            self.states.get(&self.instance, self.kind, key).and_then(|state| state.downcast::<T>().ok())
        {
            return state;
        }
        let state = Arc::new(new());
        self.states.put(&self.instance, self.kind, key, state.clone());
        state
    }

    /// As [`state`](Self::state), shared by all instances of this kind that give it this name.
    pub fn shared_state<T: Any + Send + Sync>(
        &mut self,
        name: &str,
        key: &str,
        new: impl FnOnce() -> T,
    ) -> Arc<T> {
        let key = format!("{name}/{key}");
        let found = self.states.get_shared(&self.instance, self.kind, &key);
        if let Some(state) = found.and_then(|state| state.downcast::<T>().ok()) {
            return state;
        }
        let state = Arc::new(new());
        self.states.put_shared(self.kind, &key, state.clone());
        state
    }
}

// === impl Registered ===

impl Registered {
    /// The record of a spec.
    pub const fn of<L: LayerSpec>() -> Self {
        Self { kind: L::KIND, about: L::ABOUT, schema: schema_of::<L>, parse: parse::<L> }
    }
}

fn schema_of<L: LayerSpec>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<L::Config>()
}

fn parse<L: LayerSpec>(value: toml::de::ValueDeserializer<'_>) -> Result<Box<dyn Parsed>, toml::de::Error> {
    let config = serde::Deserialize::deserialize(value)?;
    Ok(Box::new(Bound::<L> { config }))
}

struct Bound<L: LayerSpec> {
    config: L::Config,
}

impl<L: LayerSpec> Parsed for Bound<L> {
    fn order(&self) -> Order {
        L::order(&self.config)
    }

    fn check(&self) -> Vec<Finding> {
        L::check(&self.config)
    }

    fn prepare(&self, context: &mut PrepareContext<'_>) -> Result<Prepared, PrepareError> {
        L::prepare(&self.config, context)
    }

    fn carry_from(&self, old: &dyn Parsed) -> Carry {
        match old.config().downcast_ref::<L::Config>() {
            Some(old) => L::carry(old, &self.config),
            None => Carry::Reset("the layer's kind changed"),
        }
    }

    fn same(&self, other: &dyn Parsed) -> bool {
        other.config().downcast_ref::<L::Config>() == Some(&self.config)
    }

    fn config(&self) -> &dyn Any {
        &self.config
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("kind", &self.kind).finish_non_exhaustive()
    }
}

// === impl Registry ===

impl Registry {
    /// The registry of these kinds. A kind that is given twice is a fault of the program; the later one wins.
    pub fn new(layers: &[Registered]) -> Self {
        Self { by_kind: HashMap::new(), kinds: Vec::new() }.with(layers)
    }

    /// Adds a third party's layers.
    #[must_use]
    pub fn with(mut self, layers: &[Registered]) -> Self {
        for layer in layers {
            if self.by_kind.insert(layer.kind, *layer).is_none() {
                self.kinds.push(layer.kind);
            }
        }
        self
    }

    /// The record of a kind.
    pub fn get(&self, kind: &str) -> Option<&Registered> {
        self.by_kind.get(kind)
    }

    /// All records, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.kinds.iter().filter_map(|kind| self.by_kind.get(kind))
    }
}
