-- Sequential designs: what was asked, before the first run, and what each look at the data saw and asked for next.

CREATE TABLE designs (
    design_id           VARCHAR PRIMARY KEY,
    dataset_fingerprint VARCHAR NOT NULL,
    spec                JSON NOT NULL,
    created_at          TIMESTAMP NOT NULL
);
COMMENT ON TABLE designs IS 'Sequential designs of generate search: questions, planned looks and levels, stored before the first run';
COMMENT ON COLUMN designs.design_id IS 'Hash of the canonical form of spec';
COMMENT ON COLUMN designs.dataset_fingerprint IS 'The data that the design is about';
COMMENT ON COLUMN designs.spec IS 'Margin, level, looks, ladders of sizes with their shares of the level, as JSON';
COMMENT ON COLUMN designs.created_at IS 'When it was made, in UTC';

CREATE TABLE looks (
    design_id  VARCHAR NOT NULL,
    number     INTEGER NOT NULL,
    spec       JSON NOT NULL,
    taken_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (design_id, number),
    CHECK (number >= 0)
);
COMMENT ON TABLE looks IS 'Looks of a sequential design at its data, each stored before what it asked for was trained';
COMMENT ON COLUMN looks.design_id IS 'The design, see designs';
COMMENT ON COLUMN looks.number IS 'Counts from 0, the look before any run';
COMMENT ON COLUMN looks.spec IS 'Replicates that each architecture had, those it was to get, and sizes that were added, as JSON';
COMMENT ON COLUMN looks.taken_at IS 'When it was taken, in UTC';
