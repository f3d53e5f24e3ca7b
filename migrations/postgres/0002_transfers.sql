-- The last transfer of a call, JSON. The twin of this file is migrations/sqlite/0002_transfers.sql.

ALTER TABLE executions ADD COLUMN transfer TEXT;
