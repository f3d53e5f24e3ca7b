-- Batches that are paused, by request or by themselves, and what is counted for it. A batch without a row is
-- neither. The twin of this file is migrations/sqlite/0016_batch_guards.sql.
CREATE TABLE batch_guards (
    batch           TEXT NOT NULL PRIMARY KEY,
    account_id      TEXT NOT NULL REFERENCES accounts (id),
    paused_at       BIGINT,
    paused_for      TEXT CHECK (paused_for IN ('request', 'answer-rate', 'cost')),
    min_answer_rate DOUBLE PRECISION,
    over_calls      BIGINT NOT NULL,
    max_cost        DOUBLE PRECISION,
    dialled         BIGINT NOT NULL DEFAULT 0,
    answer_rate     DOUBLE PRECISION NOT NULL DEFAULT 0,
    cost            DOUBLE PRECISION NOT NULL DEFAULT 0
);
CREATE INDEX batch_guards_paused ON batch_guards (account_id) WHERE paused_at IS NOT NULL;
