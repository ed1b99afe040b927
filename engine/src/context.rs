//! Who asks: a targeting key, attributes and the time.

use std::sync::OnceLock;

use jiff::Timestamp;
use thiserror::Error;

use crate::attributes::AttributeTable;
use crate::instant::{self, Nanoseconds};
use crate::json::{Json, Object};
use crate::resolved::Resolved;
use crate::{NOW, TARGETING_KEY, pointer};

/// The context of an evaluation.
#[derive(Debug)]
pub struct Context<'b> {
    /// The members of `context`; without its `attributes` where that is the next field.
    top: Object<'b>,
    /// The members of its `attributes`, which are looked at first.
    nested: Object<'b>,
    /// Whether the targeting key and the attribute `user_id` stand in for each other where one was not sent.
    has_user_id: bool,
    now: Timestamp,
    now_text: OnceLock<Json<'static>>,
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
            top: Object::default(),
            nested: Object::default(),
            has_user_id: false,
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
    pub fn from_sdk(body: impl Into<Json<'b>>, now: Timestamp) -> Result<Self, ContextError> {
        let mut top = context_of(body.into())?;
        let nested = match top.remove(ATTRIBUTES) {
            None | Some(Json::Null) => Object::default(),
            Some(Json::Object(nested)) => nested,
            Some(_) => return Err(ContextError::Attributes),
        };
        Ok(Self { top, nested, has_user_id: true, ..Self::empty(now) })
    }

    /// Of a body `{"context": {"targetingKey", …}}`, as OFREP has it. Without a targeting key only flags that
    /// need one fail.
    ///
    /// # Errors
    /// Where the body or `context` is something else than an object, or the targeting key than a string.
    pub fn from_ofrep(body: impl Into<Json<'b>>, now: Timestamp) -> Result<Self, ContextError> {
        let top = context_of(body.into())?;
        match present(&top, TARGETING_KEY) {
            None | Some(Json::Text(_)) => Ok(Self { top, ..Self::empty(now) }),
            Some(_) => Err(ContextError::TargetingKey),
        }
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
        Timestamp::from_nanosecond(instant::of_value(self.sent(NOW)?)?).ok()
    }

    pub(crate) fn nanoseconds(&self) -> Nanoseconds {
        self.now.as_nanosecond()
    }

    /// The attributes a table has slots for.
    pub(crate) fn resolve(&self, table: &AttributeTable) -> Resolved<'_> {
        let mut resolved = Resolved::new(table.len());
        if self.nested.len() + self.top.len() < table.len() {
            let sent = self.nested.members().chain(self.top.members()).map(|(name, _)| name);
            for name in sent.chain([TARGETING_KEY, NOW, USER_ID]) {
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
    fn get(&self, name: &str) -> Option<&Json<'_>> {
        match name {
            TARGETING_KEY => self.targeting_key(),
            NOW => Some(self.now_text.get_or_init(|| Json::Text(self.now.to_string().into()))),
            USER_ID if self.has_user_id => self.sent(name).or_else(|| self.targeting_key()),
            _ => self.sent(name),
        }
    }

    /// The first of its names that is there, beside before inside.
    fn targeting_key(&self) -> Option<&Json<'b>> {
        let member = |name| present(&self.top, name).or_else(|| present(&self.nested, name));
        member(TARGETING_KEY).or_else(|| member(USER_ID).filter(|_| self.has_user_id))
    }

    fn sent(&self, name: &str) -> Option<&Json<'b>> {
        present(&self.nested, name).or_else(|| present(&self.top, name))
    }
}

fn context_of(body: Json<'_>) -> Result<Object<'_>, ContextError> {
    let Json::Object(mut body) = body else { return Err(ContextError::Body) };
    match body.remove(CONTEXT) {
        None | Some(Json::Null) => Ok(Object::default()),
        Some(Json::Object(context)) => Ok(context),
        Some(_) => Err(ContextError::Context),
    }
}

/// A member that is there and not null.
fn present<'o, 'b>(object: &'o Object<'b>, name: &str) -> Option<&'o Json<'b>> {
    object.get(name).filter(|value| !value.is_null())
}
