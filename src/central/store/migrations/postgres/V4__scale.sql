-- What records are compressed with; old ones stay, for what was compressed with them.
CREATE TABLE dictionaries (
    id         bigint PRIMARY KEY,
    made_at    bigint NOT NULL,
    dictionary bytea NOT NULL
);

-- How tokens are used, by accepted requests.
CREATE TABLE token_use (
    tenant        bigint NOT NULL,
    environment   bigint NOT NULL,
    token         text COLLATE "C" NOT NULL,
    request_count bigint NOT NULL,
    first_used    bigint NOT NULL,
    last_used     bigint NOT NULL,
    last_address  text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, environment, token)
);

-- Sums by hour and day, so that no page counts events. Spans and their starts are in seconds.
CREATE TABLE rollups (
    tenant                bigint NOT NULL,
    environment           bigint NOT NULL,
    span                  bigint NOT NULL,
    start                 bigint NOT NULL,
    subject               text COLLATE "C" NOT NULL,
    name                  text COLLATE "C" NOT NULL,
    event_count           bigint NOT NULL,
    tool_count            bigint NOT NULL,
    denied_count          bigint NOT NULL,
    error_count           bigint NOT NULL,
    request_count         bigint NOT NULL,
    input_tokens          bigint NOT NULL,
    output_tokens         bigint NOT NULL,
    cache_read_tokens     bigint NOT NULL,
    cache_creation_tokens bigint NOT NULL,
    cost_micros           bigint NOT NULL,
    redactions            bigint NOT NULL,
    PRIMARY KEY (tenant, environment, span, subject, start, name)
);

-- Facts about the store itself.
CREATE TABLE store_state (
    key   text COLLATE "C" PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

-- What events that retention has deleted add to the derived tables: they count along for ever.
CREATE TABLE retired (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    delta       bytea NOT NULL,
    PRIMARY KEY (tenant, environment)
);

-- How long records are kept, in seconds; NULL is for ever. Content can be kept shorter than the rest.
CREATE TABLE retention (
    tenant          bigint NOT NULL,
    environment     bigint NOT NULL,
    keep_seconds    bigint,
    content_seconds bigint,
    PRIMARY KEY (tenant, environment)
);

-- The text index: words and marks of each event (words.rs), in the order of time.
CREATE TABLE event_text (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    time        bigint NOT NULL,
    uid         bytea NOT NULL,
    words       tsvector NOT NULL,
    PRIMARY KEY (tenant, environment, time, uid)
) PARTITION BY RANGE (time);
CREATE INDEX event_text_words ON event_text USING gin (words);
CREATE TABLE event_text_other PARTITION OF event_text DEFAULT;

-- Claude's metrics by hour, in millionths: differences added up, and of running totals the most that each
-- reached. Of differences, series and started are 0.
CREATE TABLE metric_hours (
    tenant         bigint NOT NULL,
    environment    bigint NOT NULL,
    metric         text COLLATE "C" NOT NULL,
    owner          text COLLATE "C" NOT NULL,
    kind           text COLLATE "C" NOT NULL,
    model          text COLLATE "C" NOT NULL,
    hour           bigint NOT NULL,
    series         bigint NOT NULL,
    started        bigint NOT NULL,
    added_micros   bigint NOT NULL,
    reached_micros bigint NOT NULL,
    PRIMARY KEY (tenant, environment, metric, hour, owner, kind, model, series, started)
);
