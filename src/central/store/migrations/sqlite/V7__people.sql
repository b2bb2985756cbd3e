-- People who sign in. A name is an e-mail address or a word, in lower case. Without a password, only a
-- link lets them in.
CREATE TABLE people (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    password    TEXT,
    created_at  INTEGER NOT NULL
) WITHOUT ROWID;

-- What a person is in an environment.
CREATE TABLE memberships (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    person      TEXT NOT NULL REFERENCES people (id),
    role        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, person)
) WITHOUT ROWID;
CREATE INDEX memberships_of_person ON memberships (person);

-- Browsers that are signed in, by the hash of what their cookie holds.
CREATE TABLE sign_ins (
    hash       TEXT PRIMARY KEY,
    id         TEXT NOT NULL,
    person     TEXT NOT NULL REFERENCES people (id),
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    address    TEXT NOT NULL,
    client     TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sign_ins_of_person ON sign_ins (person);

-- Links that let somebody in once.
CREATE TABLE sign_in_links (
    hash       TEXT PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES people (id),
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Tries to sign in, by account or address and by span of time.
CREATE TABLE sign_in_tries (
    subject TEXT NOT NULL,
    span    INTEGER NOT NULL,
    tries   INTEGER NOT NULL,
    PRIMARY KEY (subject, span)
) WITHOUT ROWID;

-- Content that was opened for one person for some time: one session's, or that of one list.
CREATE TABLE reveals (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    person      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    object      TEXT NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, person, kind, object)
) WITHOUT ROWID;

-- What people did in the portal. Rows stay when the environment goes, and are never changed.
CREATE TABLE portal_audit (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    time           INTEGER NOT NULL,
    of_tenant      INTEGER,
    of_environment INTEGER,
    place          TEXT NOT NULL,
    person         TEXT,
    name           TEXT NOT NULL,
    action         TEXT NOT NULL,
    object         TEXT NOT NULL,
    was            TEXT NOT NULL,
    became         TEXT NOT NULL,
    reason         TEXT NOT NULL,
    address        TEXT NOT NULL
);
CREATE INDEX portal_audit_of_environment ON portal_audit (of_environment, seq);
CREATE INDEX portal_audit_of_person ON portal_audit (person, seq);
CREATE TRIGGER portal_audit_is_not_changed BEFORE UPDATE ON portal_audit
    BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER portal_audit_is_not_deleted BEFORE DELETE ON portal_audit
    BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;

-- Keys of the environment itself have no person. Those that were made before there were roles could see
-- everything, and go on.
ALTER TABLE api_keys ADD COLUMN person TEXT;
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used INTEGER;
UPDATE api_keys SET role = 'owner' WHERE role = 'admin';
