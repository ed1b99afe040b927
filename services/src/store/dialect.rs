//! Where the databases differ. Everything else is written once.

/// Turns `$1` into `?1`: SQLite reads `$1` as a name and numbers names by their first appearance.
/// Text in single quotes stays as it is.
pub(super) fn sqlite_placeholders(sql: &str) -> String {
    let mut quoted = false;
    let mut characters = sql.chars().peekable();
    let mut rewritten = String::with_capacity(sql.len());
    while let Some(character) = characters.next() {
        quoted ^= character == '\'';
        let placeholder = character == '$' && !quoted && characters.peek().is_some_and(char::is_ascii_digit);
        rewritten.push(if placeholder { '?' } else { character });
    }
    rewritten
}

/// The table of applied migrations, made before the first of them.
pub(super) const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at BIGINT NOT NULL
)";

/// Which of the two a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// What a database refuses that takes no changes, and that changes nothing.
    pub(super) fn write_nothing(self) -> &'static str {
        match self {
            // Writes a page, so that a full disk shows; nobody uses this number.
            Self::Sqlite => "PRAGMA user_version = 0",
            // There is no such row; a standby refuses all the same.
            Self::Postgres => "UPDATE schema_migrations SET name = name WHERE version = 0",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sqlite_placeholders;

    #[test]
    fn placeholders_are_rewritten_outside_of_quotes() {
        let sql = "SELECT '$1', a FROM t WHERE b = $2 AND c = $10 AND d = '$' || $1";
        assert_eq!(
            sqlite_placeholders(sql),
            "SELECT '$1', a FROM t WHERE b = ?2 AND c = ?10 AND d = '$' || ?1"
        );
    }
}
