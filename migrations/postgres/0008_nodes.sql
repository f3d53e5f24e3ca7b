-- Calls of a node that is seen no more are found by their owner. `room` is how many calls a node may
-- still take; NULL = a node that does not tell. The twin of this file is migrations/sqlite/0008_nodes.sql.
CREATE INDEX executions_owned ON executions (owner_instance) WHERE owner_instance IS NOT NULL;
ALTER TABLE instances ADD COLUMN room BIGINT;
