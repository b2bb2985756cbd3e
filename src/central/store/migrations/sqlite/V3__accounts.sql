-- What people call a token.
ALTER TABLE tokens ADD COLUMN name TEXT NOT NULL DEFAULT '';

-- An API key's own name for lists, and what it may do.
ALTER TABLE api_keys ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN role TEXT NOT NULL DEFAULT 'admin';
UPDATE api_keys SET id = substr(hash, 1, 16);

-- Keys for what stands above all environments.
CREATE TABLE operator_keys (
    hash       TEXT PRIMARY KEY,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Where a token was used from: the latest addresses.
CREATE TABLE token_addresses (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    token         TEXT NOT NULL,
    address       TEXT NOT NULL,
    first_used    INTEGER NOT NULL,
    last_used     INTEGER NOT NULL,
    request_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, token, address)
) WITHOUT ROWID;

-- Requests with a token that was not taken, by reason.
CREATE TABLE token_refusals (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    token         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    first_refused INTEGER NOT NULL,
    last_refused  INTEGER NOT NULL,
    request_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, token, reason)
) WITHOUT ROWID;

-- What is deleted is gone for everybody at once; its rows go in bites, in the background.
ALTER TABLE tenants ADD COLUMN deleted_at INTEGER;
ALTER TABLE environments ADD COLUMN deleted_at INTEGER;
