//! The files that the process may have open, of which each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for everything else: the database, logs, what is watched, the admin listener.
const RESERVED: u64 = 128;

/// Raises the limit as far as the process may, and returns how many connections of the wanted number it leaves room for.
pub(crate) fn make_room(connections: usize) -> usize {
    let limit = raise();
    let room = limit.map_or(usize::MAX, room);
    if room < connections {
        tracing::warn!(
            max_connections = connections,
            connections = room,
            open_files = limit,
            "the limit of open files leaves room for fewer connections than max_connections; raise it (LimitNOFILE, \
             ulimit -n)"
        );
    }
    room.min(connections)
}

/// The soft limit, once it is the hard one; nothing where there is none.
fn raise() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    }
}

fn room(limit: u64) -> usize {
    let room = limit.saturating_sub(RESERVED).max(limit / 2);
    usize::try_from(room).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_for_everything_else() {
        for (limit, connections) in [(1_048_576, 1_048_448), (1024, 896), (256, 128), (200, 100), (0, 0)] {
            assert_eq!(room(limit), connections, "{limit}");
        }
    }
}
