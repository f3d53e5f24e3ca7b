-- Sub-accounts: accounts with a parent, tenants like any other. The twin of this file is
-- migrations/sqlite/0004_platform.sql.
--
-- What the dial queue reads of them:
--   parent_id        NULL = an account of its own. A parent and its sub-accounts together never have more
--                    calls at once than the parent's `concurrency`, and the parent's `wallet` pays for all.
--   concurrency      most calls at once of this account alone (`allow_concurrent_calls`)
--   min_concurrency  lines of the parent that are kept free for it
--   max_concurrency  NULL = elastic, up to `concurrency`; 0 = paused; the smaller of the two holds
--
-- `name` of a sub-account is its id, `title` what it is called. A deleted one (`deleted_at`) opens nothing
-- and is removed with all its rows as soon as no call of it is open.

ALTER TABLE accounts ADD COLUMN parent_id TEXT REFERENCES accounts (id);
ALTER TABLE accounts ADD COLUMN title TEXT;
ALTER TABLE accounts ADD COLUMN min_concurrency BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN max_concurrency BIGINT;
ALTER TABLE accounts ADD COLUMN deleted_at BIGINT;
CREATE INDEX accounts_of_parent ON accounts (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX accounts_deleted ON accounts (deleted_at) WHERE deleted_at IS NOT NULL;

-- `details` is JSON: description and metadata. The key is ChaCha20-Poly1305 under the master key `key_id`,
-- hex: it is shown again in lists; its hash stands in api_keys.
CREATE TABLE sub_accounts (
    account_id TEXT    NOT NULL PRIMARY KEY REFERENCES accounts (id),
    details    TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    nonce      TEXT    NOT NULL,
    sealed     TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL
);
