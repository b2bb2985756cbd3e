-- What people call a token.
ALTER TABLE tokens ADD COLUMN name text COLLATE "C" NOT NULL DEFAULT '';

-- An API key's own name for lists, and what it may do.
ALTER TABLE api_keys ADD COLUMN id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN role text COLLATE "C" NOT NULL DEFAULT 'admin';
UPDATE api_keys SET id = substr(hash, 1, 16);

-- Keys for what stands above all environments.
CREATE TABLE operator_keys (
    hash       text COLLATE "C" PRIMARY KEY,
    id         text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL
);

-- Where a token was used from: the latest addresses.
CREATE TABLE token_addresses (
    tenant        bigint NOT NULL,
    environment   bigint NOT NULL,
    token         text COLLATE "C" NOT NULL,
    address       text COLLATE "C" NOT NULL,
    first_used    bigint NOT NULL,
    last_used     bigint NOT NULL,
    request_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, token, address)
);

-- Requests with a token that was not taken, by reason.
CREATE TABLE token_refusals (
    tenant        bigint NOT NULL,
    environment   bigint NOT NULL,
    token         text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    first_refused bigint NOT NULL,
    last_refused  bigint NOT NULL,
    request_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, token, reason)
);

-- What is deleted is gone for everybody at once; its rows go in bites, in the background.
ALTER TABLE tenants ADD COLUMN deleted_at bigint;
ALTER TABLE environments ADD COLUMN deleted_at bigint;
