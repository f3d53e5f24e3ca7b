-- Calls of a node that is seen no more are found by their owner. `room` is how many calls a node may
-- still take; NULL = a node that does not tell.
CREATE INDEX executions_owned ON executions (owner_instance) WHERE owner_instance IS NOT NULL;
ALTER TABLE instances ADD COLUMN room INTEGER;
