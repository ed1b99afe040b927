//! What instances tell each other through the database.

use uuid::Uuid;

/// What an instance did that others may have something else of in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// Flags, segments, environments or keys changed; how, stands in the database.
    Change,
    /// A session ended.
    SessionEnd(Uuid),
    /// All sessions of a user ended.
    SessionsEnd(Uuid),
}

const SESSION: &str = "session";
const SESSIONS_OF: &str = "sessions-of";

// === impl Announcement ===

impl Announcement {
    /// As the notification carries it.
    pub(super) fn payload(self) -> String {
        match self {
            Self::Change => String::new(),
            Self::SessionEnd(session) => format!("{SESSION} {session}"),
            Self::SessionsEnd(user) => format!("{SESSIONS_OF} {user}"),
        }
    }

    /// What is not understood may come from an instance of a newer version: to look at the database does no harm.
    pub(super) fn parse(payload: &str) -> Self {
        let session_end = || {
            let (kind, id) = payload.split_once(' ')?;
            let id = id.parse().ok()?;
            match kind {
                SESSION => Some(Self::SessionEnd(id)),
                SESSIONS_OF => Some(Self::SessionsEnd(id)),
                _ => None,
            }
        };
        session_end().unwrap_or(Self::Change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let id = Uuid::now_v7();
        for said in [Announcement::Change, Announcement::SessionEnd(id), Announcement::SessionsEnd(id)] {
            assert_eq!(Announcement::parse(&said.payload()), said);
        }
    }

    #[test]
    fn what_is_not_understood_makes_it_look() {
        for payload in ["session", "session ", "session 1", "cookie 01890000-0000-7000-8000-000000000000"] {
            assert_eq!(Announcement::parse(payload), Announcement::Change, "{payload}");
        }
    }
}
