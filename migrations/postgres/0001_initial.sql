-- Times are microseconds since 1970 (UTC), JSON is TEXT, booleans are 0 or 1, ids are UUIDs v7 as text. Text is
-- compared byte by byte, as SQLite does it, whatever the database's locale.

CREATE TABLE users (
    id TEXT COLLATE "C" PRIMARY KEY,
    email TEXT COLLATE "C" NOT NULL UNIQUE CHECK (email = lower(email)),
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('admin', 'member')),
    password_hash TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_sign_in_at BIGINT
);

CREATE TABLE sessions (
    id TEXT COLLATE "C" PRIMARY KEY,
    token_hash BYTEA NOT NULL UNIQUE,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT COLLATE "C",
    user_agent TEXT COLLATE "C"
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE failed_attempts (
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('account', 'address')),
    subject TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    first_failed_at BIGINT NOT NULL,
    last_failed_at BIGINT NOT NULL,
    locked_until BIGINT,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX failed_attempts_by_time ON failed_attempts (last_failed_at);

CREATE TABLE setup_tokens (
    token_hash BYTEA PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT
);

CREATE TABLE projects (
    id TEXT COLLATE "C" PRIMARY KEY,
    key TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE environments (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    -- The last revision in changes; counts up by one with each change.
    revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

-- definition: the flag's own fields. search: what lists are searched in, in lower case.
CREATE TABLE flags (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    search TEXT COLLATE "C" NOT NULL,
    archived BIGINT NOT NULL CHECK (archived IN (0, 1)),
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

CREATE TABLE flag_tags (
    flag_id TEXT COLLATE "C" NOT NULL REFERENCES flags (id) ON DELETE CASCADE,
    tag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (flag_id, tag)
);
CREATE INDEX flag_tags_by_tag ON flag_tags (tag);

-- A flag without a row here has the implicit configuration in that environment.
CREATE TABLE flag_configs (
    flag_id TEXT COLLATE "C" NOT NULL REFERENCES flags (id) ON DELETE CASCADE,
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    config TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (flag_id, environment_id)
);
CREATE INDEX flag_configs_by_environment ON flag_configs (environment_id);

CREATE TABLE segments (
    id TEXT COLLATE "C" PRIMARY KEY,
    project_id TEXT COLLATE "C" NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    search TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

CREATE TABLE unknown_flags (
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    dismissed BIGINT NOT NULL CHECK (dismissed IN (0, 1)),
    PRIMARY KEY (environment_id, key)
);

-- What happened to an environment, in order; other instances read on from where they stand.
-- key: the flag or segment concerned.
CREATE TABLE changes (
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (environment_id, revision)
);

CREATE TABLE sdk_keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('server', 'client')),
    name TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL UNIQUE,
    -- The first characters of the secret, to tell keys apart.
    hint TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX sdk_keys_by_environment ON sdk_keys (environment_id, kind);

-- sequence, previous_hash and hash are for a hash chain over all rows.
CREATE TABLE audit_logs (
    id TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    type TEXT COLLATE "C" NOT NULL,
    actor_kind TEXT COLLATE "C" NOT NULL,
    actor_id TEXT COLLATE "C",
    actor_name TEXT COLLATE "C",
    address TEXT COLLATE "C",
    user_agent TEXT COLLATE "C",
    request_id TEXT COLLATE "C",
    entity_type TEXT COLLATE "C" NOT NULL,
    entity_id TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C",
    environment TEXT COLLATE "C",
    before TEXT COLLATE "C",
    after TEXT COLLATE "C",
    success BIGINT NOT NULL CHECK (success IN (0, 1)),
    created_at BIGINT NOT NULL,
    previous_hash BYTEA,
    hash BYTEA
);
CREATE INDEX audit_logs_by_actor ON audit_logs (actor_id, created_at);
CREATE INDEX audit_logs_by_time ON audit_logs (created_at);
CREATE INDEX audit_logs_by_type ON audit_logs (type, created_at);

-- Settings changed at run time.
CREATE TABLE system_config (
    key TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Keys that this server signs with; the newest of a purpose signs, all verify.
CREATE TABLE secrets (
    id TEXT COLLATE "C" PRIMARY KEY,
    purpose TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX secrets_by_purpose ON secrets (purpose, created_at);
