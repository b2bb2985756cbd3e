-- Who a person is at the identity provider.
CREATE TABLE person_identities (
    issuer  text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    person  text COLLATE "C" NOT NULL UNIQUE REFERENCES people (id),
    PRIMARY KEY (issuer, subject)
);

-- When the provider said last that a role follows from the person's groups; NULL where it was given by hand.
ALTER TABLE memberships ADD COLUMN by_groups_at bigint;

-- How the person signed in: by a password, a link, or single sign-on.
ALTER TABLE sign_ins ADD COLUMN how text COLLATE "C" NOT NULL DEFAULT '';
