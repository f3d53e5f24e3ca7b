-- Batches that are paused, by request or by themselves, and what is counted for it. A batch without a row is
-- neither. The twin of this file is migrations/postgres/0016_batch_guards.sql.
CREATE TABLE batch_guards (
    batch           TEXT NOT NULL PRIMARY KEY,
    account_id      TEXT NOT NULL REFERENCES accounts (id),
    paused_at       INTEGER,
    paused_for      TEXT CHECK (paused_for IN ('request', 'answer-rate', 'cost')),
    min_answer_rate REAL,
    over_calls      INTEGER NOT NULL,
    max_cost        REAL,
    dialled         INTEGER NOT NULL DEFAULT 0,
    answer_rate     REAL NOT NULL DEFAULT 0,
    cost            REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_guards_paused ON batch_guards (account_id) WHERE paused_at IS NOT NULL;
