-- What an account keeps besides agents. The twin of this file is migrations/postgres/0014_documents.sql.

-- Small documents, JSON in `body`, by `kind`: extraction, disposition, model, sip-trunk, violation,
-- contact-list. `key` is what must be unique among those of a kind in an account; the id where nothing else is. A secret that
-- belongs to one is ChaCha20-Poly1305 under the master key `key_id`, hex.
CREATE TABLE documents (
    id         TEXT    NOT NULL PRIMARY KEY,
    account_id TEXT    NOT NULL REFERENCES accounts (id),
    kind       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    key_id     TEXT,
    nonce      TEXT,
    sealed     TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, kind, key)
) STRICT;
CREATE INDEX documents_newest ON documents (account_id, kind, created_at, id);

-- Which dispositions are asked after an agent's calls.
CREATE TABLE agent_dispositions (
    agent_id    TEXT NOT NULL REFERENCES agents (id),
    document_id TEXT NOT NULL REFERENCES documents (id),
    account_id  TEXT NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (agent_id, document_id)
) STRICT;
CREATE INDEX agent_dispositions_of_document ON agent_dispositions (document_id);
CREATE INDEX agent_dispositions_of_account ON agent_dispositions (account_id);

-- Phone numbers. `state`: owned; buying = a purchase was asked for at `updated_at` and its outcome is not
-- known yet, so it is looked up at the carrier and never repeated. `agent_id` answers calls to it; `ivr` is
-- asked first (JSON). `unlinked`: its agent was taken away, so nobody does, whatever the address that the
-- carrier asks says. `trunk_id` names the SIP trunk that it belongs to.
CREATE TABLE phone_numbers (
    id          TEXT    NOT NULL PRIMARY KEY,
    account_id  TEXT    NOT NULL REFERENCES accounts (id),
    number      TEXT    NOT NULL,
    provider    TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('owned', 'buying')),
    carrier_id  TEXT,
    agent_id    TEXT    REFERENCES agents (id),
    ivr         TEXT,
    trunk_id    TEXT    REFERENCES documents (id),
    name        TEXT,
    rented      INTEGER NOT NULL,
    unlinked    INTEGER NOT NULL DEFAULT 0,
    price_cents INTEGER,
    renews_on   TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (account_id, number)
) STRICT;
CREATE INDEX phone_numbers_newest ON phone_numbers (account_id, created_at, id);
CREATE INDEX phone_numbers_by_number ON phone_numbers (number);
CREATE INDEX phone_numbers_of_agent ON phone_numbers (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX phone_numbers_of_trunk ON phone_numbers (trunk_id) WHERE trunk_id IS NOT NULL;
