-- Vendors that take over in all calls of an account where an agent names none; JSON, as
-- `tools_config.fallbacks` of an agent. NULL = none.
ALTER TABLE accounts ADD COLUMN fallbacks TEXT;
