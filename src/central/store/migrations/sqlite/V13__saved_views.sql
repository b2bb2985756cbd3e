-- Names that people gave to addresses of lists: each for whoever saved it, or shared in the environment. The
-- address is what stands below the environment's own. Keys of the environment have no person.
CREATE TABLE saved_views (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    address     TEXT NOT NULL,
    is_shared   INTEGER NOT NULL,
    person      TEXT,
    saved_by    TEXT NOT NULL,
    saved_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, id)
) WITHOUT ROWID;
