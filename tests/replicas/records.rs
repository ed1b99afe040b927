//! What stands in the database: flags, audit rows and change log, which have to agree.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use flagstone_services::store::{DatabaseOptions, DatabaseUrl, Db, Executor, ReadTransaction, Row};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{cluster::Cluster, history::Verb, site::DATABASE};

/// One state of all tables.
pub(crate) struct Records {
    runtime: Runtime,
    reader: RefCell<ReadTransaction>,
}

/// A change of a writer's, as the audit log has it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: i64,
    pub(crate) verb: Verb,
    pub(crate) token: String,
    /// Of the flag, or of its configuration in its environment: how many rows there are up to this one.
    pub(crate) version: u64,
}

/// A handle on the database, with up to so many connections.
pub(crate) fn open(runtime: &Runtime, address: SocketAddr, connections: u32) -> Db {
    let mut options = DatabaseOptions::new(DatabaseUrl::parse(&Cluster::url(DATABASE, address)).unwrap());
    options.connections = connections;
    options.wait_timeout = Duration::from_secs(10);
    runtime.block_on(Db::open(options)).unwrap()
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

// === impl Records ===

impl Records {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let runtime = runtime();
        let db = open(&runtime, address, 2);
        let reader = runtime.block_on(db.read()).unwrap().into();
        Self { runtime, reader }
    }

    /// Fails where anything was half-written.
    pub(crate) fn agree(&self) {
        let sequence = "SELECT COALESCE(MAX(sequence), 0) - COUNT(*) FROM audit_logs";
        assert_eq!(self.number(sequence), 0, "gaps in the sequence of the audit rows");
        let gaps = "SELECT key FROM environments e WHERE revision != \
            (SELECT COUNT(*) FROM changes WHERE environment_id = e.id) OR revision != \
            (SELECT COALESCE(MAX(revision), 0) FROM changes WHERE environment_id = e.id)";
        assert_eq!(self.texts(gaps), [""; 0], "gaps in the revisions");
        let versions = "SELECT key FROM flags WHERE version != (SELECT COUNT(*) FROM audit_logs \
            WHERE type LIKE 'flag.%' AND entity_id = flags.key)";
        assert_eq!(self.texts(versions), [""; 0], "flags with more or fewer versions than audit rows");
        let versions = "SELECT f.key FROM flag_configs c JOIN flags f ON f.id = c.flag_id \
            JOIN environments e ON e.id = c.environment_id WHERE c.version != (SELECT COUNT(*) FROM audit_logs \
            WHERE type = 'flag_config.update' AND entity_id = f.key AND environment = e.key)";
        assert_eq!(
            self.texts(versions),
            [""; 0],
            "configurations with more or fewer versions than audit rows"
        );
        for (audited, rows) in [
            ("SELECT COUNT(*) FROM audit_logs WHERE type = 'flag.create'", "SELECT COUNT(*) FROM flags"),
            (
                "SELECT COUNT(*) FROM audit_logs WHERE type = 'sdk_key.create'",
                "SELECT COUNT(*) FROM sdk_keys",
            ),
            (
                "SELECT COUNT(*) FROM audit_logs WHERE type = 'sdk_key.revoke'",
                "SELECT COUNT(*) FROM sdk_keys WHERE revoked_at IS NOT NULL",
            ),
        ] {
            assert_eq!(self.number(audited), self.number(rows), "{audited}");
        }
        // A flag's change is one in each of the three environments, a configuration's in its own.
        let logged = "SELECT (SELECT COUNT(*) FROM changes) - (SELECT 3 * COUNT(*) FROM audit_logs \
            WHERE type LIKE 'flag.%') - (SELECT COUNT(*) FROM audit_logs WHERE type = 'flag_config.update')";
        assert_eq!(self.number(logged), 0, "the change log and the audit rows");
        self.last_audited(
            "SELECT definition, (SELECT after FROM audit_logs WHERE type LIKE 'flag.%' \
            AND entity_id = flags.key ORDER BY sequence DESC LIMIT 1) FROM flags",
        );
        self.last_audited(
            "SELECT config, (SELECT after FROM audit_logs WHERE type = 'flag_config.update' \
            AND entity_id = f.key AND environment = e.key ORDER BY sequence DESC LIMIT 1) \
            FROM flag_configs c JOIN flags f ON f.id = c.flag_id JOIN environments e ON e.id = c.environment_id",
        );
    }

    /// Each row's two documents are the same, but for what the audit adds: what stands there and what the audit says
    /// was put there.
    fn last_audited(&self, sql: &'static str) {
        for row in self.rows(sql) {
            let (stored, mut audited) = (document(&row, 0), document(&row, 1));
            audited.as_object_mut().unwrap().retain(|member, _| stored.get(member).is_some());
            assert_eq!(stored, audited);
        }
    }

    /// What writers had done, in order.
    pub(crate) fn log(&self) -> Vec<Entry> {
        let sql = "SELECT sequence, type, entity_id, after FROM audit_logs WHERE entity_id LIKE 'w%-%' \
            OR (type LIKE 'sdk_key.%' AND after LIKE '%\"name\":\"w%') ORDER BY sequence";
        let mut versions: HashMap<(bool, String), u64> = HashMap::new();
        let entry = |row: Row| {
            let (kind, entity, after) = (text(&row, 1), text(&row, 2), document(&row, 3));
            let member = |name: &str| after[name].as_str().unwrap_or_else(|| panic!("{after}")).to_owned();
            let (verb, token) = match kind.as_str() {
                "flag.create" => (Verb::Make, member("key")),
                "flag.update" => (Verb::Change, member("description")),
                "flag_config.update" => (Verb::Switch, member("salt")),
                "sdk_key.create" => (Verb::MakeKey, member("name")),
                "sdk_key.revoke" => (Verb::RevokeKey, entity.clone()),
                other => panic!("nobody does {other}"),
            };
            let version = versions.entry((verb == Verb::Switch, entity)).or_default();
            *version += 1;
            Entry { sequence: row.get(0).unwrap(), verb, token, version: *version }
        };
        self.rows(sql).into_iter().map(entry).collect()
    }

    /// The flags as an environment's definitions have to show them: versions, and what writers change.
    pub(crate) fn flags(&self, environment: &str) -> BTreeMap<String, Value> {
        let sql = "SELECT e.key, f.key, f.version, f.definition, COALESCE(c.version, 0), COALESCE(c.config, '{}') \
            FROM flags f JOIN environments e ON e.project_id = f.project_id \
            LEFT JOIN flag_configs c ON c.flag_id = f.id AND c.environment_id = e.id";
        let rows = self.rows(sql).into_iter().filter(|row| text(row, 0) == environment);
        let flag = |row: Row| {
            let (definition, config) = (document(&row, 3), document(&row, 5));
            let (version, config_version): (i64, i64) = (row.get(2).unwrap(), row.get(4).unwrap());
            let enabled = config["enabled"].as_bool().unwrap_or(false);
            let description = &definition["description"];
            (text(&row, 1), json!([version, description, config_version, enabled, config["salt"]]))
        };
        rows.map(flag).collect()
    }

    pub(crate) fn revision(&self, environment: &str) -> i64 {
        let rows = self.rows("SELECT key, revision FROM environments");
        rows.iter().find(|row| text(row, 0) == environment).unwrap().get(1).unwrap()
    }

    /// The SDK keys' ids and whether they are valid.
    pub(crate) fn keys(&self) -> HashMap<String, bool> {
        let rows = self.rows("SELECT id, CASE WHEN revoked_at IS NULL THEN 1 ELSE 0 END FROM sdk_keys");
        rows.iter().map(|row| (text(row, 0), row.get::<i64>(1).unwrap() == 1)).collect()
    }

    fn number(&self, sql: &'static str) -> i64 {
        self.rows(sql)[0].get(0).unwrap()
    }

    fn texts(&self, sql: &'static str) -> Vec<String> {
        self.rows(sql).iter().map(|row| text(row, 0)).collect()
    }

    fn rows(&self, sql: &'static str) -> Vec<Row> {
        self.runtime.block_on(self.reader.borrow_mut().query(sql, Vec::new())).unwrap()
    }
}

fn text(row: &Row, column: usize) -> String {
    row.get(column).unwrap()
}

fn document(row: &Row, column: usize) -> Value {
    serde_json::from_str(&text(row, column)).unwrap()
}
