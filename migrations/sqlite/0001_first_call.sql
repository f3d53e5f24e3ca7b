-- Ids are dashed lower-case uuids as TEXT, times are epoch milliseconds, documents are JSON as TEXT:
-- the same query text then runs on both databases. The twin of this file is migrations/postgres/0001_first_call.sql.

CREATE TABLE accounts (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    email       TEXT    NOT NULL,
    concurrency INTEGER NOT NULL,
    wallet      REAL    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- `hash` is the SHA-256 of the key in hex: keys are 256 random bits, so a fast hash is right.
CREATE TABLE api_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    account_id TEXT    NOT NULL REFERENCES accounts (id),
    label      TEXT    NOT NULL,
    hash       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_newest ON api_keys (created_at, id);

-- `version` is the newest one. A deleted agent stays, so that its running calls end well.
CREATE TABLE agents (
    id         TEXT    NOT NULL PRIMARY KEY,
    account_id TEXT    NOT NULL REFERENCES accounts (id),
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE INDEX agents_newest ON agents (account_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE agent_versions (
    agent_id   TEXT    NOT NULL REFERENCES agents (id),
    version    INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (agent_id, version)
) STRICT;

-- One row a call: its record, the dial queue (claimed_by, lease_until, dialing_since) and the
-- ownership of the live call (owner_*). `sequence` counts its webhooks.
CREATE TABLE executions (
    id                     TEXT    NOT NULL PRIMARY KEY,
    account_id             TEXT    NOT NULL REFERENCES accounts (id),
    agent_id               TEXT    NOT NULL REFERENCES agents (id),
    agent_version          INTEGER NOT NULL,
    batch                  TEXT,
    status                 TEXT    NOT NULL CHECK (status IN (
        'prepared', 'scheduled', 'queued', 'rescheduled', 'initiated', 'ringing', 'in-progress',
        'call-disconnected', 'completed', 'busy', 'no-answer', 'balance-low', 'canceled', 'failed',
        'stopped', 'error')),
    direction              TEXT    NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    provider               TEXT    NOT NULL,
    to_number              TEXT    NOT NULL,
    from_number            TEXT    NOT NULL,
    user_data              TEXT    NOT NULL,
    voice_id               TEXT,
    retry_config           TEXT,
    bypass_guardrails      INTEGER NOT NULL,
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    due_at                 INTEGER NOT NULL,
    attempt                INTEGER NOT NULL DEFAULT 0,
    carrier_call_id        TEXT,
    initiated_at           INTEGER,
    ringing_at             INTEGER,
    answered_at            INTEGER,
    ended_at               INTEGER,
    hangup                 TEXT,
    error_message          TEXT,
    transcript             TEXT,
    answered_by_voice_mail INTEGER NOT NULL DEFAULT 0,
    usage                  TEXT,
    cost                   TEXT,
    latency                TEXT,
    has_recording          INTEGER NOT NULL DEFAULT 0,
    summary                TEXT,
    extracted              TEXT,
    webhook_url            TEXT,
    webhook_statuses       TEXT,
    sequence               INTEGER NOT NULL DEFAULT 0,
    claimed_by             TEXT,
    lease_until            INTEGER,
    dialing_since          INTEGER,
    owner_node             TEXT,
    owner_instance         TEXT,
    owner_epoch            INTEGER NOT NULL DEFAULT 0,
    owner_since            INTEGER,
    FOREIGN KEY (agent_id, agent_version) REFERENCES agent_versions (agent_id, version)
) STRICT;
-- A doubled inbound webhook finds the row that the first one made.
CREATE UNIQUE INDEX executions_carrier_call ON executions (provider, carrier_call_id);
-- At most one dial of unknown outcome for a pair of numbers, so that a look-up at the carrier is unique.
CREATE UNIQUE INDEX executions_dialing ON executions (account_id, provider, to_number, from_number)
    WHERE dialing_since IS NOT NULL;
CREATE INDEX executions_dialing_since ON executions (dialing_since) WHERE dialing_since IS NOT NULL;
CREATE INDEX executions_of_agent ON executions (account_id, agent_id, created_at, id);
CREATE INDEX executions_of_account ON executions (account_id, created_at, id);
CREATE INDEX executions_of_pair ON executions (account_id, to_number, from_number);
CREATE INDEX executions_waiting ON executions (agent_id, id)
    WHERE status IN ('prepared', 'scheduled', 'queued', 'rescheduled');
CREATE INDEX executions_scheduled ON executions (due_at, id) WHERE status IN ('scheduled', 'rescheduled');
CREATE INDEX executions_queued ON executions (account_id, due_at, id)
    WHERE status = 'queued' AND claimed_by IS NULL;
CREATE INDEX executions_claimed ON executions (account_id, lease_until)
    WHERE status = 'queued' AND claimed_by IS NOT NULL;
CREATE INDEX executions_at_carrier ON executions (account_id)
    WHERE direction = 'outbound' AND status IN ('initiated', 'ringing', 'in-progress');
CREATE INDEX executions_open ON executions (created_at, id)
    WHERE status IN ('initiated', 'ringing', 'in-progress', 'call-disconnected');

-- Processes that own calls and write call logs. A restarted node is a new instance: what its former
-- life owned shows as not seen since. `log_batch` numbers the last batch of call log lines that it
-- committed, so that a batch whose commit was lost on the wire is not written twice.
CREATE TABLE instances (
    instance  TEXT    NOT NULL PRIMARY KEY,
    node      TEXT    NOT NULL,
    seen_at   INTEGER NOT NULL,
    log_batch INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Event log (replays the call) and raw log (people read it): a row holds the lines of one call that
-- were committed together, joined by newlines; a line of `entries` is `{"at":…,"entry":{…}}`.
CREATE TABLE call_logs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id TEXT    NOT NULL REFERENCES executions (id),
    events       TEXT,
    entries      TEXT
) STRICT;
CREATE INDEX call_logs_of_execution ON call_logs (execution_id, id);

-- Carrier callbacks that came: a repeated one is recognised.
CREATE TABLE callbacks (
    provider   TEXT    NOT NULL,
    call_id    TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (provider, call_id, event, sequence)
) STRICT, WITHOUT ROWID;

-- Webhooks, written in the transaction of the status change, `body` frozen. `due_at` is when one may
-- next be claimed: behind a waiting one of the same call it is 60 s after its making, while one is
-- being delivered it is the end of the lease. `tries` counts claims.
CREATE TABLE webhooks (
    id           TEXT    NOT NULL PRIMARY KEY,
    execution_id TEXT    NOT NULL REFERENCES executions (id),
    account_id   TEXT    NOT NULL REFERENCES accounts (id),
    sequence     INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    url          TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'exhausted')),
    created_at   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    tries        INTEGER NOT NULL DEFAULT 0,
    error        TEXT,
    settled_at   INTEGER,
    UNIQUE (execution_id, sequence)
) STRICT;
CREATE INDEX webhooks_due ON webhooks (due_at, id) WHERE state = 'waiting';
CREATE INDEX webhooks_waiting ON webhooks (execution_id, sequence) WHERE state = 'waiting';

-- Keys of vendors and carriers: ChaCha20-Poly1305 under the master key `key_id`, hex.
CREATE TABLE provider_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    account_id TEXT    NOT NULL REFERENCES accounts (id),
    name       TEXT    NOT NULL,
    canonical  TEXT    NOT NULL,
    tail       TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    nonce      TEXT    NOT NULL,
    sealed     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, canonical)
) STRICT;
CREATE INDEX provider_keys_newest ON provider_keys (account_id, created_at, id);
