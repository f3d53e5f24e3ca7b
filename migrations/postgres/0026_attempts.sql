-- The event log of a call's current attempt lies behind this row of call_logs: what came before belongs to
-- attempts that are past. The twin of this file is migrations/sqlite/0026_attempts.sql.
ALTER TABLE executions ADD COLUMN events_after BIGINT NOT NULL DEFAULT 0;
