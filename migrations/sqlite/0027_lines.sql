-- As many lines an account holds at most, counted at that time (epoch ms) and with every claim since: counting
-- thousands of them with each claim takes longer than the claim. The twin of this file is migrations/postgres/0027_lines.sql.
ALTER TABLE accounts ADD COLUMN lines_at_most INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN lines_counted_at INTEGER NOT NULL DEFAULT 0;
