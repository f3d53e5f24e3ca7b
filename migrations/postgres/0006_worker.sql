-- Attempts of a call before the current one, JSON, and what all of them cost together in cents: that much
-- of it is taken from the wallet already. The twin of this file is migrations/sqlite/0006_worker.sql.
ALTER TABLE executions ADD COLUMN history TEXT;
ALTER TABLE executions ADD COLUMN total_cost DOUBLE PRECISION NOT NULL DEFAULT 0;

-- The dial queue: every call that waits to be dialled, by account and time, and by what takes turns within an
-- account. Single calls are shown as queued when they are due; those of batches when they are claimed.
DROP INDEX executions_queued;
DROP INDEX executions_scheduled;
CREATE INDEX executions_due ON executions (account_id, due_at, id)
    WHERE status IN ('queued', 'scheduled', 'rescheduled') AND claimed_by IS NULL;
CREATE INDEX executions_lanes ON executions
    (account_id, (COALESCE(batch, '') || ' ' || agent_id || ' ' || provider || ' ' || from_number), due_at, id)
    WHERE status IN ('queued', 'scheduled', 'rescheduled') AND claimed_by IS NULL;
CREATE INDEX executions_scheduled ON executions (due_at, id)
    WHERE status IN ('scheduled', 'rescheduled') AND batch IS NULL;

-- Limits of outbound calls. `next_at` is when `per_second` lets the next one through.
CREATE TABLE dial_limits (
    account_id TEXT   NOT NULL REFERENCES accounts (id),
    kind       TEXT   NOT NULL CHECK (kind IN ('account', 'agent', 'number', 'carrier')),
    subject    TEXT   NOT NULL,
    calls      BIGINT,
    per_second DOUBLE PRECISION,
    next_at    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, kind, subject)
);

-- The log of webhooks, and receivers that have failed: one that fails for five days is switched off.
CREATE INDEX webhooks_newest ON webhooks (account_id, created_at, id);
CREATE INDEX webhooks_exhausted ON webhooks (account_id, created_at, id) WHERE state = 'exhausted';
CREATE TABLE webhook_endpoints (
    account_id    TEXT NOT NULL REFERENCES accounts (id),
    url_hash      TEXT NOT NULL,
    url           TEXT NOT NULL,
    failing_since BIGINT,
    disabled_at   BIGINT,
    PRIMARY KEY (account_id, url_hash)
);

-- Tasks after a call: the next one's number while some are left, and until when it is claimed.
ALTER TABLE executions ADD COLUMN post_call_step BIGINT;
ALTER TABLE executions ADD COLUMN post_call_due BIGINT;
ALTER TABLE executions ADD COLUMN extraction_webhook_status BOOLEAN;
CREATE INDEX executions_post_call ON executions (post_call_due) WHERE post_call_step IS NOT NULL;
