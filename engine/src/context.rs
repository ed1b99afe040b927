//! Who asks: a targeting key, attributes and the time.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::attributes::AttributeTable;
use crate::instant::{self, Nanoseconds};
use crate::resolved::Resolved;
use crate::{NOW, TARGETING_KEY, pointer};

/// The context of an evaluation, borrowed from the parsed body of a request.
#[derive(Debug)]
pub struct Context<'b> {
    /// The members of `context`; without its `attributes` where that is the next field.
    top: Option<&'b Map<String, Value>>,
    /// The members of its `attributes`, which are looked at first.
    nested: Option<&'b Map<String, Value>>,
    targeting_key: Option<&'b Value>,
    /// Whether the targeting key is also the attribute `user_id`, unless that was sent.
    as_user_id: bool,
    now: Timestamp,
    now_text: OnceLock<Value>,
}

/// Why a body has no usable context. OFREP answers it with INVALID_CONTEXT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContextError {
    /// The body itself.
    #[error("the body must be a JSON object such as {{\"context\": {{\"targetingKey\": \"user-1\"}}}}")]
    Body,
    /// `context`.
    #[error("`context` must be an object")]
    Context,
    /// `context.attributes`, on the SDK wire.
    #[error("`context.attributes` must be an object")]
    Attributes,
    /// `context.targetingKey`, on OFREP.
    #[error("`context.targetingKey` must be a string")]
    TargetingKey,
}

const CONTEXT: &str = "context";
const ATTRIBUTES: &str = "attributes";
const USER_ID: &str = "user_id";

impl<'b> Context<'b> {
    /// Nobody in particular.
    pub fn empty(now: Timestamp) -> Self {
        Self {
            top: None,
            nested: None,
            targeting_key: None,
            as_user_id: false,
            now,
            now_text: OnceLock::new(),
        }
    }

    /// Of a body `{"context": {"user_id" or "targetingKey", "attributes": {…}}}`. Members beside
    /// `attributes` are attributes too; those inside win. The targeting key is the first of `targetingKey`
    /// and `user_id` that is there, beside before inside; it also shows as the attribute `user_id` where the
    /// client sent none. Without `context` nobody in particular asks.
    ///
    /// # Errors
    /// Where the body, `context` or `attributes` is something else than an object.
    pub fn from_sdk(body: &'b Value, now: Timestamp) -> Result<Self, ContextError> {
        let top = context_of(body)?;
        let nested = match top.and_then(|top| top.get(ATTRIBUTES)) {
            None | Some(Value::Null) => None,
            Some(Value::Object(nested)) => Some(nested),
            Some(_) => return Err(ContextError::Attributes),
        };
        let member = |name| {
            let of = |map: Option<&'b Map<String, Value>>| map.and_then(|map| present(map, name));
            of(top).or_else(|| of(nested))
        };
        let targeting_key = member(TARGETING_KEY).or_else(|| member(USER_ID));
        Ok(Self { top, nested, targeting_key, as_user_id: true, ..Self::empty(now) })
    }

    /// Of a body `{"context": {"targetingKey", …}}`, as OFREP has it. Without a targeting key only flags that
    /// need one fail.
    ///
    /// # Errors
    /// Where the body or `context` is something else than an object, or the targeting key than a string.
    pub fn from_ofrep(body: &'b Value, now: Timestamp) -> Result<Self, ContextError> {
        let top = context_of(body)?;
        let targeting_key = top.and_then(|top| present(top, TARGETING_KEY));
        if targeting_key.is_some_and(|key| !key.is_string()) {
            return Err(ContextError::TargetingKey);
        }
        Ok(Self { top, targeting_key, ..Self::empty(now) })
    }

    /// The same context at another time, for a preview.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, now_text: OnceLock::new(), ..self }
    }

    /// The time of the evaluation.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The time the body itself gives as `now` (RFC 3339 or epoch). It has no effect unless the caller, who
    /// knows whether the client may, passes it to [`Context::at`].
    pub fn requested_now(&self) -> Option<Timestamp> {
        let of = |map: Option<&'b Map<String, Value>>| map.and_then(|map| present(map, NOW));
        let time = instant::of_value(of(self.nested).or_else(|| of(self.top))?)?;
        Timestamp::from_nanosecond(time).ok()
    }

    /// The targeting key as it was sent.
    pub fn targeting_key(&self) -> Option<&'b Value> {
        self.targeting_key
    }

    pub(crate) fn nanoseconds(&self) -> Nanoseconds {
        self.now.as_nanosecond()
    }

    /// The attributes a table has slots for.
    pub(crate) fn resolve(&self, table: &AttributeTable) -> Resolved<'_> {
        let mut resolved = Resolved::new(table.len());
        let sent = [self.nested, self.top].into_iter().flatten();
        if sent.clone().map(Map::len).sum::<usize>() < table.len() {
            let names = sent.flat_map(Map::keys).map(String::as_str).chain([TARGETING_KEY, NOW, USER_ID]);
            for name in names {
                if let Some(slot) = table.slot(name).filter(|slot| resolved.get(*slot).is_none()) {
                    resolved.set(slot, self.get(name));
                }
            }
        } else {
            for (slot, name) in table.names().enumerate() {
                resolved.set(slot, self.get(name));
            }
        }
        for (slot, steps) in table.pointers() {
            let start = steps.split_first().and_then(|(first, rest)| Some((self.get(first)?, rest)));
            resolved.set(slot, start.and_then(|(start, rest)| pointer::follow(rest, start)));
        }
        resolved
    }

    /// The attribute of a literal name, unless it is null.
    fn get(&self, name: &str) -> Option<&Value> {
        match name {
            TARGETING_KEY => self.targeting_key,
            NOW => Some(self.now_text.get_or_init(|| Value::String(self.now.to_string()))),
            USER_ID if self.as_user_id => self.sent(name).or(self.targeting_key),
            _ => self.sent(name),
        }
    }

    fn sent(&self, name: &str) -> Option<&'b Value> {
        // Where `attributes` holds the attributes it is none itself.
        let top = self.top.filter(|_| self.nested.is_none() || name != ATTRIBUTES);
        let of = |map: Option<&'b Map<String, Value>>| map.and_then(|map| present(map, name));
        of(self.nested).or_else(|| of(top))
    }
}

fn context_of(body: &Value) -> Result<Option<&Map<String, Value>>, ContextError> {
    let Value::Object(body) = body else { return Err(ContextError::Body) };
    match body.get(CONTEXT) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(context)) => Ok(Some(context)),
        Some(_) => Err(ContextError::Context),
    }
}

/// A member that is there and not null.
fn present<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    map.get(name).filter(|value| !value.is_null())
}
