-- 99 copies of the project `bench`, with its environments, and copies of its four flags until each project has a thousand,
-- configured in the environment that the four are.

CREATE FUNCTION copy(kind bigint, number bigint, index bigint) RETURNS text IMMUTABLE LANGUAGE sql RETURN
    lpad(to_hex(kind), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(number), 6, '0') || lpad(to_hex(index), 6, '0');

CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
    SELECT number, 'flag-' || index AS key, copy(3, number, index) AS id,
        f.id AS flag_id, c.environment_id AS original,
        CASE number WHEN 0 THEN f.project_id ELSE copy(1, number, 0) END AS project_id,
        CASE number WHEN 0 THEN e.id ELSE copy(2, number, e.position) END AS environment_id
    FROM generate_series(0, 99) number, generate_series(0, 999) index, flags f, flag_configs c, environments e
    WHERE f.key = 'flag-' || index % 4 AND c.flag_id = f.id AND e.id = c.environment_id AND (number > 0 OR index > 3);

INSERT INTO projects
    SELECT copy(1, number, 0), key || '-' || number, name, description, version, created_at, updated_at
    FROM projects, generate_series(1, 99) number;

INSERT INTO environments
    SELECT copy(2, number, position), copy(1, number, 0), key, name, position, revision, version, created_at, updated_at
    FROM environments, generate_series(1, 99) number;

INSERT INTO changes
    SELECT copy(2, number, e.position), c.revision, c.kind, c.key, c.created_at
    FROM changes c JOIN environments e ON e.id = c.environment_id, generate_series(1, 99) number;

INSERT INTO flags
    SELECT w.id, w.project_id, w.key, replace(f.definition, '"' || f.key || '"', '"' || w.key || '"'),
        replace(f.search, f.key, w.key), f.archived, f.version, f.created_at, f.updated_at
    FROM wanted w JOIN flags f ON f.id = w.flag_id;

INSERT INTO flag_configs
    SELECT w.id, w.environment_id, c.config, c.version, c.updated_at
    FROM wanted w JOIN flag_configs c ON c.flag_id = w.flag_id AND c.environment_id = w.original;

ANALYZE;

DROP FUNCTION copy
