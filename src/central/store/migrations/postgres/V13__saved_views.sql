-- Names that people gave to addresses of lists: each for whoever saved it, or shared in the environment. The
-- address is what stands below the environment's own. Keys of the environment have no person.
CREATE TABLE saved_views (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    id          text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    address     text COLLATE "C" NOT NULL,
    is_shared   bigint NOT NULL,
    person      text COLLATE "C",
    saved_by    text COLLATE "C" NOT NULL,
    saved_at    bigint NOT NULL,
    PRIMARY KEY (tenant, environment, id)
);
