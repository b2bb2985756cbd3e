-- People who sign in. A name is an e-mail address or a word, in lower case. Without a password, only a
-- link lets them in.
CREATE TABLE people (
    id          text COLLATE "C" PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE,
    password    text COLLATE "C",
    created_at  bigint NOT NULL
);

-- What a person is in an environment.
CREATE TABLE memberships (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    person      text COLLATE "C" NOT NULL REFERENCES people (id),
    role        text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    PRIMARY KEY (tenant, environment, person)
);
CREATE INDEX memberships_of_person ON memberships (person);

-- Browsers that are signed in, by the hash of what their cookie holds.
CREATE TABLE sign_ins (
    hash       text COLLATE "C" PRIMARY KEY,
    id         text COLLATE "C" NOT NULL,
    person     text COLLATE "C" NOT NULL REFERENCES people (id),
    created_at bigint NOT NULL,
    used_at    bigint NOT NULL,
    address    text COLLATE "C" NOT NULL,
    client     text COLLATE "C" NOT NULL
);
CREATE INDEX sign_ins_of_person ON sign_ins (person);

-- Links that let somebody in once.
CREATE TABLE sign_in_links (
    hash       text COLLATE "C" PRIMARY KEY,
    person     text COLLATE "C" NOT NULL REFERENCES people (id),
    expires_at bigint NOT NULL
);

-- Tries to sign in, by account or address and by span of time.
CREATE TABLE sign_in_tries (
    subject text COLLATE "C" NOT NULL,
    span    bigint NOT NULL,
    tries   bigint NOT NULL,
    PRIMARY KEY (subject, span)
);

-- Content that was opened for one person for some time: one session's, or that of one list.
CREATE TABLE reveals (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    person      text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    object      text COLLATE "C" NOT NULL,
    expires_at  bigint NOT NULL,
    PRIMARY KEY (tenant, environment, person, kind, object)
);

-- What people did in the portal. Rows stay when the environment goes, and are never changed.
CREATE TABLE portal_audit (
    seq            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time           bigint NOT NULL,
    of_tenant      bigint,
    of_environment bigint,
    place          text COLLATE "C" NOT NULL,
    person         text COLLATE "C",
    name           text COLLATE "C" NOT NULL,
    action         text COLLATE "C" NOT NULL,
    object         text COLLATE "C" NOT NULL,
    was            text COLLATE "C" NOT NULL,
    became         text COLLATE "C" NOT NULL,
    reason         text COLLATE "C" NOT NULL,
    address        text COLLATE "C" NOT NULL
);
CREATE INDEX portal_audit_of_environment ON portal_audit (of_environment, seq);
CREATE INDEX portal_audit_of_person ON portal_audit (person, seq);
CREATE FUNCTION refuse_to_change_the_audit() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''the audit is append-only''; END';
CREATE TRIGGER portal_audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON portal_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit();

-- Keys of the environment itself have no person. Those that were made before there were roles could see
-- everything, and go on.
ALTER TABLE api_keys ADD COLUMN person text COLLATE "C";
ALTER TABLE api_keys ADD COLUMN expires_at bigint;
ALTER TABLE api_keys ADD COLUMN last_used bigint;
UPDATE api_keys SET role = 'owner' WHERE role = 'admin';
