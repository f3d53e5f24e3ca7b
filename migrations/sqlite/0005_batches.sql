-- Batches: calls made from an uploaded table. `ready_at` is NULL while the upload runs: nothing of it is
-- shown yet. What is to be done to all calls of a batch (`work`) is done a chunk at a time, in the order of
-- their ids; `work_done_to` is the last id it was done to. All calls of a batch have its `created_at`.
-- The twin of this file is migrations/postgres/0005_batches.sql.

CREATE TABLE batches (
    id                TEXT    NOT NULL PRIMARY KEY,
    account_id        TEXT    NOT NULL REFERENCES accounts (id),
    agent_id          TEXT    NOT NULL REFERENCES agents (id),
    file_name         TEXT    NOT NULL,
    from_numbers      TEXT    NOT NULL,
    retry_config      TEXT,
    total_contacts    INTEGER NOT NULL DEFAULT 0,
    valid_contacts    INTEGER NOT NULL DEFAULT 0,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    ready_at          INTEGER,
    scheduled_at      INTEGER,
    bypass_guardrails INTEGER NOT NULL DEFAULT 0,
    agent_version     INTEGER NOT NULL,
    provider          TEXT    NOT NULL,
    webhook_url       TEXT,
    webhook_statuses  TEXT,
    stopped_at        INTEGER,
    deleted_at        INTEGER,
    work              TEXT    CHECK (work IN ('schedule', 'stop', 'discard')),
    work_done_to      TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX batches_newest ON batches (account_id, agent_id, created_at, id)
    WHERE ready_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX batches_uploading ON batches (account_id, updated_at) WHERE ready_at IS NULL;
CREATE INDEX batches_at_work ON batches (id) WHERE work IS NOT NULL;

-- Lines of the table that make no call, and why.
CREATE TABLE batch_rejects (
    batch          TEXT    NOT NULL REFERENCES batches (id),
    line           INTEGER NOT NULL,
    contact_number TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    PRIMARY KEY (batch, line)
) STRICT, WITHOUT ROWID;

-- The counts of a batch.
CREATE INDEX executions_of_batch ON executions (batch, status) WHERE batch IS NOT NULL;

-- Calls that no carrier knows yet, a million in a batch, are not looked for by the carrier's id.
DROP INDEX executions_of_pair;
CREATE INDEX executions_of_pair ON executions (account_id, to_number, from_number)
    WHERE carrier_call_id IS NOT NULL;
DROP INDEX executions_carrier_call;
CREATE UNIQUE INDEX executions_carrier_call ON executions (provider, carrier_call_id)
    WHERE carrier_call_id IS NOT NULL;
