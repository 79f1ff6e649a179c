-- Other ways to prune than by magnitude, with fine-tuning after it, of quantized networks too; and quantization after
-- training. Every row that was there is what magnitude pruning without retraining gave.
--
-- pruning and post_training have no primary key, for the reason that 0001 gives.

ALTER TABLE pruning RENAME TO uncut_pruning;
CREATE TABLE pruning (
    run_id          VARCHAR NOT NULL,
    sparsity        DOUBLE NOT NULL,
    test_accuracy   DOUBLE,
    test_loss       DOUBLE,
    nonzero         BIGINT NOT NULL,
    method          VARCHAR NOT NULL DEFAULT 'magnitude',
    finetune_epochs INTEGER NOT NULL DEFAULT 0,
    CHECK (sparsity BETWEEN 0 AND 1),
    CHECK (test_accuracy BETWEEN 0 AND 1),
    CHECK (test_loss BETWEEN -1e-6 AND 1e39),
    CHECK (nonzero >= 0),
    CHECK (finetune_epochs >= 0)
);
INSERT INTO pruning BY NAME FROM uncut_pruning;
DROP TABLE uncut_pruning;
COMMENT ON TABLE pruning IS 'Pruned models: how they were pruned, what they were trained on, and how well they still answer';
COMMENT ON COLUMN pruning.run_id IS 'runs.run_id; of a run in fewer than 32 bits the metrics are the fake-quantized model''s';
COMMENT ON COLUMN pruning.sparsity IS 'Share of the prunable weights set to zero; with the method units, of the units of every hidden layer removed';
COMMENT ON COLUMN pruning.test_accuracy IS 'Test accuracy of the pruned model';
COMMENT ON COLUMN pruning.test_loss IS 'Test loss of the pruned model';
COMMENT ON COLUMN pruning.nonzero IS 'Weights left, of the prunable ones';
COMMENT ON COLUMN pruning.method IS 'magnitude: the smallest of all weights; layerwise: the smallest within each layer; random: any weights; units: whole hidden units or channels';
COMMENT ON COLUMN pruning.finetune_epochs IS 'Epochs trained on after pruning, the best of which counts; 0 where it was not retrained';

CREATE TABLE post_training (
    run_id          VARCHAR NOT NULL,
    weight_bits     INTEGER NOT NULL,
    activation_bits INTEGER NOT NULL,
    test_accuracy   DOUBLE,
    test_loss       DOUBLE,
    seconds         DOUBLE NOT NULL,
    CHECK (weight_bits BETWEEN 2 AND 8),
    CHECK (activation_bits BETWEEN 2 AND 8),
    CHECK (test_accuracy BETWEEN 0 AND 1),
    CHECK (test_loss BETWEEN -1e-6 AND 1e39),
    CHECK (seconds BETWEEN 0 AND 1e10)
);
COMMENT ON TABLE post_training IS 'Models trained in fp32 and then quantized, without training on';
COMMENT ON COLUMN post_training.run_id IS 'runs.run_id of an fp32 run';
COMMENT ON COLUMN post_training.weight_bits IS 'Bits of every weight';
COMMENT ON COLUMN post_training.activation_bits IS 'Bits of the input and of every layer''s outputs';
COMMENT ON COLUMN post_training.test_accuracy IS 'Test accuracy of the quantized model';
COMMENT ON COLUMN post_training.test_loss IS 'Test loss of the quantized model';
COMMENT ON COLUMN post_training.seconds IS 'Seconds to find the ranges, to quantize it and to run it over the test set';

COMMENT ON COLUMN runs.precision IS 'fp32; or bits under quantization-aware training, when accuracies are the fake-quantized model''s: int8, int4, int2 (weights and activations), w4a8, w2a8 (weights, activations)';

-- What pruning held before there were other ways: views over it mean what they meant.
CREATE VIEW magnitude_pruning AS
SELECT p.run_id, p.sparsity, p.test_accuracy, p.test_loss, p.nonzero
FROM pruning p SEMI JOIN (SELECT run_id FROM runs WHERE precision = 'fp32') r USING (run_id)
WHERE p.method = 'magnitude' AND p.finetune_epochs = 0;
COMMENT ON VIEW magnitude_pruning IS 'Magnitude pruning of fp32 runs without retraining: their rows of pruning';

CREATE OR REPLACE VIEW pruning_curves AS
SELECT
    r.protocol_id, r.dataset, r.dataset_fingerprint, r.family, r.depth, r.capacity, r.hidden_sizes, r.precision,
    p.sparsity, any_value(r.parameters) AS parameters, count(*) AS n, avg(p.test_accuracy) AS mean,
    stddev_samp(p.test_accuracy) AS sd, avg(r.test_accuracy - p.test_accuracy) AS mean_loss_of_accuracy
FROM magnitude_pruning p JOIN runs r USING (run_id)
GROUP BY ALL;
COMMENT ON VIEW pruning_curves IS 'Magnitude pruning of fp32 runs without retraining: test accuracy over replicates, per architecture and sparsity';

CREATE VIEW cuts AS
SELECT
    r.protocol_id, r.dataset, r.dataset_fingerprint, r.family, r.depth, r.capacity, r.hidden_sizes, r.precision,
    p.method, p.finetune_epochs, p.sparsity, any_value(r.parameters) AS parameters, count(*) AS n,
    avg(p.nonzero) AS nonzero, avg(p.test_accuracy) AS mean, stddev_samp(p.test_accuracy) AS sd,
    avg(r.test_accuracy - p.test_accuracy) AS mean_loss_of_accuracy
FROM pruning p JOIN runs r USING (run_id)
GROUP BY ALL;
COMMENT ON VIEW cuts IS 'Every way of pruning, in every precision: test accuracy over replicates, per architecture, method, epochs of fine-tuning and sparsity';
