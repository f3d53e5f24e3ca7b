-- The last transfer of a call, JSON. The twin of this file is migrations/postgres/0002_transfers.sql.

ALTER TABLE executions ADD COLUMN transfer TEXT;
