-- Documents that agents answer from. The twin of this file is migrations/sqlite/0007_knowledge.sql.

CREATE TABLE knowledgebases (
    id               TEXT    NOT NULL PRIMARY KEY,
    account_id       TEXT    NOT NULL REFERENCES accounts (id),
    -- What agents name; `id` is taken, too.
    vector_id        TEXT    NOT NULL UNIQUE,
    file_name        TEXT    NOT NULL,
    source_type      TEXT    NOT NULL CHECK (source_type IN ('pdf', 'url')),
    -- Of source_type url.
    url              TEXT,
    status           TEXT    NOT NULL CHECK (status IN ('processing', 'processed', 'error')),
    -- Why it is an error.
    reason           TEXT,
    chunk_size       BIGINT NOT NULL,
    overlapping      BIGINT NOT NULL,
    similarity_top_k BIGINT NOT NULL,
    chunks           BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    -- While it is processed: who does it, until when, and how often it was begun.
    claim            TEXT,
    lease_until      BIGINT NOT NULL,
    tries            BIGINT NOT NULL
);
CREATE INDEX knowledgebases_newest ON knowledgebases (account_id, created_at, id);
CREATE INDEX knowledgebases_waiting ON knowledgebases (lease_until, id) WHERE status = 'processing';

-- The uploaded document, until it is processed.
CREATE TABLE knowledge_sources (
    knowledgebase_id TEXT NOT NULL PRIMARY KEY REFERENCES knowledgebases (id) ON DELETE CASCADE,
    content          BYTEA NOT NULL
);

CREATE TABLE knowledge_chunks (
    knowledgebase_id TEXT    NOT NULL REFERENCES knowledgebases (id) ON DELETE CASCADE,
    number           BIGINT NOT NULL,
    text             TEXT    NOT NULL,
    -- Numbers of four bytes each, little end first.
    vector           BYTEA    NOT NULL,
    PRIMARY KEY (knowledgebase_id, number)
);
