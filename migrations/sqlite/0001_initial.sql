-- Times are microseconds since 1970 (UTC), JSON is TEXT, booleans are 0 or 1, ids are UUIDs v7 as text.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE CHECK (email = lower(email)),
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'member')),
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_sign_in_at INTEGER
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    address TEXT,
    user_agent TEXT
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE failed_attempts (
    kind TEXT NOT NULL CHECK (kind IN ('account', 'address')),
    subject TEXT NOT NULL,
    failures INTEGER NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at INTEGER NOT NULL,
    locked_until INTEGER,
    PRIMARY KEY (kind, subject)
) STRICT;
CREATE INDEX failed_attempts_by_time ON failed_attempts (last_failed_at);

CREATE TABLE setup_tokens (
    token_hash BLOB PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at INTEGER
) STRICT;

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE environments (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    -- The last revision in changes; counts up by one with each change.
    revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (project_id, key)
) STRICT;

-- definition: the flag's own fields. search: what lists are searched in, in lower case.
CREATE TABLE flags (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    definition TEXT NOT NULL,
    search TEXT NOT NULL,
    archived INTEGER NOT NULL CHECK (archived IN (0, 1)),
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (project_id, key)
) STRICT;

CREATE TABLE flag_tags (
    flag_id TEXT NOT NULL REFERENCES flags (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (flag_id, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX flag_tags_by_tag ON flag_tags (tag);

-- A flag without a row here has the implicit configuration in that environment.
CREATE TABLE flag_configs (
    flag_id TEXT NOT NULL REFERENCES flags (id) ON DELETE CASCADE,
    environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    config TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (flag_id, environment_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX flag_configs_by_environment ON flag_configs (environment_id);

CREATE TABLE segments (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    definition TEXT NOT NULL,
    search TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (project_id, key)
) STRICT;

CREATE TABLE unknown_flags (
    environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    requests INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    dismissed INTEGER NOT NULL CHECK (dismissed IN (0, 1)),
    PRIMARY KEY (environment_id, key)
) STRICT, WITHOUT ROWID;

-- What happened to an environment, in order; other instances read on from where they stand.
-- key: the flag or segment concerned.
CREATE TABLE changes (
    environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (environment_id, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE sdk_keys (
    id TEXT PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('server', 'client')),
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL UNIQUE,
    -- The first characters of the secret, to tell keys apart.
    hint TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX sdk_keys_by_environment ON sdk_keys (environment_id, kind);

-- sequence, previous_hash and hash are for a hash chain over all rows.
CREATE TABLE audit_logs (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL UNIQUE,
    type TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT,
    address TEXT,
    user_agent TEXT,
    request_id TEXT,
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    project TEXT,
    environment TEXT,
    before TEXT,
    after TEXT,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    created_at INTEGER NOT NULL,
    previous_hash BLOB,
    hash BLOB
) STRICT;
CREATE INDEX audit_logs_by_actor ON audit_logs (actor_id, created_at);
CREATE INDEX audit_logs_by_time ON audit_logs (created_at);
CREATE INDEX audit_logs_by_type ON audit_logs (type, created_at);

-- Settings changed at run time.
CREATE TABLE system_config (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Keys that this server signs with; the newest of a purpose signs, all verify.
CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX secrets_by_purpose ON secrets (purpose, created_at);
