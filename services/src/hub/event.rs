//! One event, written for both wires.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A flag answers differently, perhaps.
    Update,
    /// There is a flag that was not there before.
    Create,
    /// A flag is gone: deleted or archived.
    Deleted,
    /// Many flags at once: ask for all of them again.
    Refetch,
}

impl EventKind {
    /// The kind of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Update, Self::Create, Self::Deleted, Self::Refetch]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// The event's name on the SDK wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "flag_update",
            Self::Create => "flag_create",
            Self::Deleted => "flag_deleted",
            Self::Refetch => "refetch",
        }
    }
}

/// A change of one environment, ready to be sent.
#[derive(Debug)]
pub struct Event {
    /// The environment's revision after the change; the id on both wires.
    pub revision: u64,
    /// What happened.
    pub kind: EventKind,
    /// The flag concerned; none for [`EventKind::Refetch`].
    pub flag_key: Option<Box<str>>,
    /// The whole frame on the SDK wire, its empty line included.
    pub sdk: Bytes,
    /// The whole frame on the OFREP wire, its empty line included.
    pub ofrep: Bytes,
}

#[derive(Serialize)]
struct SdkData<'a> {
    r#type: &'static str,
    #[serde(rename = "flagKey", skip_serializing_if = "Option::is_none")]
    flag_key: Option<&'a str>,
    revision: u64,
}

impl Event {
    pub(crate) fn new(revision: u64, kind: EventKind, flag_key: Option<&str>, now: Timestamp) -> Self {
        let name = kind.as_str();
        // Strings and numbers always serialise; the keys' grammar leaves nothing to escape either.
        let data = serde_json::to_string(&SdkData { r#type: name, flag_key, revision }).unwrap_or_default();
        let seconds = now.as_second();
        Self {
            revision,
            kind,
            flag_key: flag_key.map(Into::into),
            sdk: format!("id: {revision}\nevent: {name}\ndata: {data}\n\n").into(),
            ofrep: format!(
                "id: {revision}\nevent: message\ndata: {{\"type\":\"refetchEvaluation\",\"lastModified\":{seconds}}}\n\n"
            )
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_sdks_read_them() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let event = Event::new(42, EventKind::Update, Some("new-checkout"), now);
        assert_eq!(
            event.sdk,
            "id: 42\nevent: flag_update\ndata: {\"type\":\"flag_update\",\"flagKey\":\"new-checkout\",\"revision\":42}\n\n"
        );
        assert_eq!(
            event.ofrep,
            "id: 42\nevent: message\ndata: {\"type\":\"refetchEvaluation\",\"lastModified\":1700000000}\n\n"
        );
        let event = Event::new(7, EventKind::Refetch, None, now);
        assert_eq!(event.sdk, "id: 7\nevent: refetch\ndata: {\"type\":\"refetch\",\"revision\":7}\n\n");
    }
}
