-- Documents that agents answer from. The twin of this file is migrations/postgres/0007_knowledge.sql.

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
    chunk_size       INTEGER NOT NULL,
    overlapping      INTEGER NOT NULL,
    similarity_top_k INTEGER NOT NULL,
    chunks           INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    -- While it is processed: who does it, until when, and how often it was begun.
    claim            TEXT,
    lease_until      INTEGER NOT NULL,
    tries            INTEGER NOT NULL
) STRICT;
CREATE INDEX knowledgebases_newest ON knowledgebases (account_id, created_at, id);
CREATE INDEX knowledgebases_waiting ON knowledgebases (lease_until, id) WHERE status = 'processing';

-- The uploaded document, until it is processed.
CREATE TABLE knowledge_sources (
    knowledgebase_id TEXT NOT NULL PRIMARY KEY REFERENCES knowledgebases (id) ON DELETE CASCADE,
    content          BLOB NOT NULL
) STRICT;

CREATE TABLE knowledge_chunks (
    knowledgebase_id TEXT    NOT NULL REFERENCES knowledgebases (id) ON DELETE CASCADE,
    number           INTEGER NOT NULL,
    text             TEXT    NOT NULL,
    -- Numbers of four bytes each, little end first.
    vector           BLOB    NOT NULL,
    PRIMARY KEY (knowledgebase_id, number)
) STRICT;
