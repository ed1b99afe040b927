//! What stands in a database's file: flags, audit rows and change log, which have to agree.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

/// A flag as the tables have it.
pub(crate) struct FlagRecord {
    pub(crate) archived: bool,
    /// In `development`.
    pub(crate) enabled: bool,
}

/// The file's content.
pub(crate) struct Records {
    connection: Connection,
}

// === impl Records ===

impl Records {
    pub(crate) fn open(file: &Path) -> Self {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        connection.pragma_update(None, "query_only", true).unwrap();
        connection.busy_timeout(crate::harness::PATIENCE).unwrap();
        // One state of all tables, whatever a server does meanwhile.
        connection.execute_batch("BEGIN").unwrap();
        Self { connection }
    }

    /// Fails where anything was half-written.
    pub(crate) fn agree(&self) {
        assert_eq!(self.number("SELECT COUNT(*) FROM pragma_foreign_key_check"), 0);
        assert_eq!(self.texts("PRAGMA integrity_check"), ["ok"]);
        let sequence = "SELECT COALESCE(MAX(sequence), 0) - COUNT(*) FROM audit_logs";
        assert_eq!(self.number(sequence), 0, "gaps in the sequence of the audit rows");
        let gaps = "SELECT key FROM environments WHERE revision != (SELECT COUNT(*) FROM changes \
            WHERE environment_id = environments.id) OR revision != (SELECT COALESCE(MAX(revision), 0) \
            FROM changes WHERE environment_id = environments.id)";
        assert_eq!(self.texts(gaps), [""; 0], "gaps in the revisions");
        let versions = "SELECT key FROM flags WHERE version != (SELECT COUNT(*) FROM audit_logs \
            WHERE type LIKE 'flag.%' AND entity_id = flags.key)";
        assert_eq!(self.texts(versions), [""; 0], "flags with more or fewer versions than audit rows");
        for (made, rows) in [
            ("type = 'flag.create'", "SELECT COUNT(*) FROM flags"),
            ("type = 'sdk_key.create'", "SELECT COUNT(*) FROM sdk_keys"),
            ("type = 'sdk_key.revoke'", "SELECT COUNT(*) FROM sdk_keys WHERE revoked_at IS NOT NULL"),
        ] {
            let audited = self.number(&format!("SELECT COUNT(*) FROM audit_logs WHERE {made}"));
            assert_eq!(audited, self.number(rows), "{made}");
        }
        // A flag's change is one in each of the three environments, a configuration's in its own.
        let logged = "SELECT (SELECT COUNT(*) FROM changes) - (SELECT 3 * COUNT(*) FROM audit_logs \
            WHERE type LIKE 'flag.%') - (SELECT COUNT(*) FROM audit_logs WHERE type = 'flag_config.update')";
        assert_eq!(self.number(logged), 0, "the change log and the audit rows");
        self.last_audited(
            "SELECT definition, (SELECT after FROM audit_logs WHERE type LIKE 'flag.%' \
            AND entity_id = flags.key ORDER BY sequence DESC LIMIT 1) FROM flags",
        );
        self.last_audited("SELECT config, (SELECT after FROM audit_logs WHERE type = 'flag_config.update' \
            AND entity_id = flags.key AND environment = environments.key ORDER BY sequence DESC LIMIT 1) \
            FROM flag_configs JOIN flags ON flags.id = flag_id JOIN environments ON environments.id = environment_id");
    }

    /// Each row's two documents are the same, but for what the audit adds: what stands there and what the audit says
    /// was put there.
    fn last_audited(&self, sql: &str) {
        let documents = self.rows(sql, |row| Ok((row.get(0)?, row.get(1)?)));
        for (stored, audited) in documents {
            let (stored, audited): (String, String) = (stored, audited);
            let [stored, mut audited] = [stored, audited]
                .map(|text| serde_json::from_str::<serde_json::Map<_, Value>>(&text).unwrap());
            audited.retain(|member, _| stored.contains_key(member));
            assert_eq!(stored, audited);
        }
    }

    /// The flags of all projects, by key.
    pub(crate) fn flags(&self) -> HashMap<String, FlagRecord> {
        let sql = "SELECT key, archived, (SELECT json_extract(config, '$.enabled') FROM flag_configs \
            JOIN environments ON environments.id = environment_id \
            WHERE flag_id = flags.id AND environments.key = 'development') FROM flags";
        let record = |row: &Row<'_>| {
            let enabled: Option<bool> = row.get(2)?;
            Ok((row.get(0)?, FlagRecord { archived: row.get(1)?, enabled: enabled.unwrap_or(false) }))
        };
        self.rows(sql, record).into_iter().collect()
    }

    /// The SDK keys' names and whether they are revoked.
    pub(crate) fn keys(&self) -> HashMap<String, bool> {
        let sql = "SELECT name, revoked_at IS NOT NULL FROM sdk_keys";
        self.rows(sql, |row| Ok((row.get(0)?, row.get(1)?))).into_iter().collect()
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql, |row| row.get(0))
    }

    fn rows<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut statement = self.connection.prepare(sql).unwrap();
        statement.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap()
    }
}
