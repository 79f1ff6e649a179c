-- What one inference takes, per architecture. store/known_costs.py fills it for the runs that are stored already, in the
-- same transaction.
--
-- No primary key: DuckDB has no index over lists. store/merge.py, the only writer, adds a row only where its architecture
-- has none.

CREATE TABLE costs (
    protocol_id         VARCHAR NOT NULL,
    dataset_fingerprint VARCHAR NOT NULL,
    family              VARCHAR NOT NULL,
    hidden_sizes        INTEGER[] NOT NULL,
    weights             BIGINT NOT NULL,
    macs                BIGINT NOT NULL,
    ram_fp32            BIGINT NOT NULL,
    ram_int8            BIGINT NOT NULL,
    CHECK (weights >= 0),
    CHECK (macs >= 0),
    CHECK (ram_fp32 >= 1),
    CHECK (ram_int8 >= 1)
);
COMMENT ON TABLE costs IS 'What one inference of an architecture takes: one row per protocol, data and architecture';
COMMENT ON COLUMN costs.protocol_id IS 'The settings that shape the network: protocols.protocol_id';
COMMENT ON COLUMN costs.dataset_fingerprint IS 'The data, whose images and classes are its input and output: datasets.dataset_fingerprint';
COMMENT ON COLUMN costs.family IS 'As in runs';
COMMENT ON COLUMN costs.hidden_sizes IS 'As in runs';
COMMENT ON COLUMN costs.weights IS 'Weights of linear layers and convolutions: those that can be pruned and quantized';
COMMENT ON COLUMN costs.macs IS 'Multiply-accumulates of one image, in linear layers, convolutions and attention';
COMMENT ON COLUMN costs.ram_fp32 IS 'Bytes of activations that are alive at once, at most, layer by layer, in 32 bits; docs/method.md has the schedule';
COMMENT ON COLUMN costs.ram_int8 IS 'The same in 8 bits';

CREATE VIEW cell_costs AS
SELECT
    c.*, k.macs, k.ram_fp32, k.ram_int8, 4 * c.parameters AS bytes_fp32,
    k.weights + 4 * (c.parameters - k.weights) AS bytes_int8
FROM cells c LEFT JOIN costs k USING (protocol_id, dataset_fingerprint, family, hidden_sizes);
COMMENT ON VIEW cell_costs IS 'cells with what the architecture takes whole: multiply-accumulates, bytes of activations and stored bytes, in 32 and in 8 bits; NULL where costs has none';
