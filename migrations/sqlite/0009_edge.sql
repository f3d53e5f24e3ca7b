-- What was written through the API, and who did it; requests that have effect once. The twin of this
-- file is migrations/postgres/0009_edge.sql.

-- `route` is the pattern, `path` what came; `remote` the peer's address, `forwarded_for` what a proxy
-- said of it. Never changed, and no foreign key: a line outlives the account.
CREATE TABLE audit_log (
    id            TEXT    NOT NULL PRIMARY KEY,
    account_id    TEXT    NOT NULL,
    key_id        TEXT,
    at            INTEGER  NOT NULL,
    method        TEXT    NOT NULL,
    route         TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    status        INTEGER  NOT NULL,
    request_id    TEXT    NOT NULL,
    remote        TEXT,
    forwarded_for TEXT
) STRICT;
CREATE INDEX audit_log_newest ON audit_log (account_id, at, id);

-- A row stands in the transaction of what the request made, with its answer: the same key again is
-- answered from here. `fingerprint` is the SHA-256 of the request.
CREATE TABLE idempotency_keys (
    account_id  TEXT    NOT NULL REFERENCES accounts (id),
    operation   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    answer      TEXT    NOT NULL,
    created_at  INTEGER  NOT NULL,
    PRIMARY KEY (account_id, operation, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (created_at);
