-- What values can be, as CHECK constraints: store/domains.py says the same in words.
--
-- DuckDB adds no constraint to a table that is there: each is made anew and filled from the old one. Where a row of an
-- older store breaks a rule the change is refused as a whole, and nothing is lost.

ALTER TABLE datasets RENAME TO unchecked_datasets;
CREATE TABLE datasets (
    dataset_fingerprint VARCHAR PRIMARY KEY,
    dataset             VARCHAR NOT NULL,
    train_images        INTEGER NOT NULL,
    test_images         INTEGER NOT NULL,
    height              INTEGER NOT NULL,
    width               INTEGER NOT NULL,
    channels            INTEGER NOT NULL,
    classes             INTEGER NOT NULL,
    chance_accuracy     DOUBLE NOT NULL,
    CHECK (train_images >= 1),
    CHECK (test_images >= 1),
    CHECK (height >= 1),
    CHECK (width >= 1),
    CHECK (channels >= 1),
    CHECK (classes >= 1),
    CHECK (chance_accuracy BETWEEN 0 AND 1)
);
INSERT INTO datasets BY NAME FROM unchecked_datasets;
DROP TABLE unchecked_datasets;
COMMENT ON TABLE datasets IS 'The data that runs were trained and tested on';
COMMENT ON COLUMN datasets.dataset_fingerprint IS 'Hash of all images and labels, in order';
COMMENT ON COLUMN datasets.dataset IS 'Name, such as digits or mnist; for data of your own the name of its folder';
COMMENT ON COLUMN datasets.train_images IS 'Images in the training split, validation images included';
COMMENT ON COLUMN datasets.test_images IS 'Images in the test split';
COMMENT ON COLUMN datasets.height IS 'Image height in pixels';
COMMENT ON COLUMN datasets.width IS 'Image width in pixels';
COMMENT ON COLUMN datasets.channels IS 'Colour channels: 1 or 3';
COMMENT ON COLUMN datasets.classes IS 'Number of classes';
COMMENT ON COLUMN datasets.chance_accuracy IS 'Test accuracy of always answering the most frequent class';

ALTER TABLE runs RENAME TO unchecked_runs;
CREATE TABLE runs (
    run_id                   VARCHAR PRIMARY KEY,
    protocol_id              VARCHAR NOT NULL,
    invocation_id            VARCHAR NOT NULL,
    dataset                  VARCHAR NOT NULL,
    dataset_fingerprint      VARCHAR NOT NULL,
    family                   VARCHAR NOT NULL,
    depth                    INTEGER NOT NULL,
    capacity                 INTEGER NOT NULL,
    hidden_sizes             INTEGER[] NOT NULL,
    parameters               BIGINT NOT NULL,
    replicate                INTEGER NOT NULL,
    precision                VARCHAR NOT NULL,
    engine                   VARCHAR NOT NULL,
    status                   VARCHAR NOT NULL,
    epochs                   INTEGER NOT NULL,
    best_epoch               INTEGER NOT NULL,
    train_accuracy           DOUBLE,
    validation_accuracy      DOUBLE,
    test_accuracy            DOUBLE,
    train_loss               DOUBLE,
    validation_loss          DOUBLE,
    test_loss                DOUBLE,
    last_train_accuracy      DOUBLE,
    last_validation_accuracy DOUBLE,
    last_test_accuracy       DOUBLE,
    last_train_loss          DOUBLE,
    last_validation_loss     DOUBLE,
    last_test_loss           DOUBLE,
    seconds                  DOUBLE NOT NULL,
    created_at               TIMESTAMP NOT NULL,
    CHECK (depth >= 1),
    CHECK (capacity >= 1),
    CHECK (len(hidden_sizes) IN (1, depth) AND hidden_sizes[1] = capacity AND list_min(hidden_sizes) >= 1),
    CHECK (parameters >= 1),
    CHECK (replicate >= 0),
    CHECK (epochs >= 1),
    CHECK (best_epoch BETWEEN 1 AND epochs),
    CHECK (train_accuracy BETWEEN 0 AND 1),
    CHECK (train_loss BETWEEN -1e-6 AND 1e39),
    CHECK (validation_accuracy BETWEEN 0 AND 1),
    CHECK (validation_loss BETWEEN -1e-6 AND 1e39),
    CHECK (test_accuracy BETWEEN 0 AND 1),
    CHECK (test_loss BETWEEN -1e-6 AND 1e39),
    CHECK (last_train_accuracy BETWEEN 0 AND 1),
    CHECK (last_train_loss BETWEEN -1e-6 AND 1e39),
    CHECK (last_validation_accuracy BETWEEN 0 AND 1),
    CHECK (last_validation_loss BETWEEN -1e-6 AND 1e39),
    CHECK (last_test_accuracy BETWEEN 0 AND 1),
    CHECK (last_test_loss BETWEEN -1e-6 AND 1e39),
    CHECK (seconds BETWEEN 0 AND 1e10)
);
INSERT INTO runs BY NAME FROM unchecked_runs;
DROP TABLE unchecked_runs;
COMMENT ON TABLE runs IS 'One row per trained model';
COMMENT ON COLUMN runs.run_id IS 'Hash of protocol, dataset fingerprint, family, hidden sizes, precision and replicate';
COMMENT ON COLUMN runs.protocol_id IS 'The settings it was trained under: protocols.protocol_id';
COMMENT ON COLUMN runs.invocation_id IS 'The command that trained it: invocations.invocation_id';
COMMENT ON COLUMN runs.dataset IS 'Name of the dataset';
COMMENT ON COLUMN runs.dataset_fingerprint IS 'The exact data: datasets.dataset_fingerprint';
COMMENT ON COLUMN runs.family IS 'dnn, cnn or vit';
COMMENT ON COLUMN runs.depth IS 'Hidden layers (dnn), convolutions (cnn) or encoder blocks (vit)';
COMMENT ON COLUMN runs.capacity IS 'Width of the first hidden layer (dnn), channels (cnn) or embedding width (vit)';
COMMENT ON COLUMN runs.hidden_sizes IS 'Width of every hidden layer (dnn); [channels] (cnn); [embedding width] (vit)';
COMMENT ON COLUMN runs.parameters IS 'Trainable parameters, biases included';
COMMENT ON COLUMN runs.replicate IS 'Replicate number, from 0: fixes split, data order and (with the architecture) initial weights';
COMMENT ON COLUMN runs.precision IS 'fp32, or int8 for quantization-aware training (accuracies are then the fake-quantized model''s)';
COMMENT ON COLUMN runs.engine IS 'What trained it: torch, or kernel for the compiled kernels';
COMMENT ON COLUMN runs.status IS 'ok, or diverged when a loss was not finite';
COMMENT ON COLUMN runs.epochs IS 'Epochs trained';
COMMENT ON COLUMN runs.best_epoch IS 'Epoch, from 1, whose validation accuracy was highest; the first one on ties';
COMMENT ON COLUMN runs.train_accuracy IS 'Training accuracy of the best epoch''s weights, over the images trained on';
COMMENT ON COLUMN runs.validation_accuracy IS 'Validation accuracy of the best epoch''s weights';
COMMENT ON COLUMN runs.test_accuracy IS 'Test accuracy of the best epoch''s weights: the result of the run';
COMMENT ON COLUMN runs.train_loss IS 'Training loss of the best epoch''s weights';
COMMENT ON COLUMN runs.validation_loss IS 'Validation loss of the best epoch''s weights';
COMMENT ON COLUMN runs.test_loss IS 'Test loss of the best epoch''s weights';
COMMENT ON COLUMN runs.last_train_accuracy IS 'Training accuracy of the last epoch''s weights';
COMMENT ON COLUMN runs.last_validation_accuracy IS 'Validation accuracy of the last epoch''s weights';
COMMENT ON COLUMN runs.last_test_accuracy IS 'Test accuracy of the last epoch''s weights';
COMMENT ON COLUMN runs.last_train_loss IS 'Training loss of the last epoch''s weights';
COMMENT ON COLUMN runs.last_validation_loss IS 'Validation loss of the last epoch''s weights';
COMMENT ON COLUMN runs.last_test_loss IS 'Test loss of the last epoch''s weights';
COMMENT ON COLUMN runs.seconds IS 'Seconds of its unit of work, divided among the models trained together by their share of the arithmetic';
COMMENT ON COLUMN runs.created_at IS 'When its unit of work ended, in UTC';

ALTER TABLE labels RENAME TO unchecked_labels;
CREATE TABLE labels (
    run_id     VARCHAR NOT NULL,
    shape      VARCHAR NOT NULL,
    degenerate BOOLEAN NOT NULL,
    PRIMARY KEY (run_id, shape),
    CHECK (regexp_full_match(shape, '[-+=]*'))
);
INSERT INTO labels BY NAME FROM unchecked_labels;
DROP TABLE unchecked_labels;
COMMENT ON TABLE labels IS 'The topologies that a run stands for';
COMMENT ON COLUMN labels.run_id IS 'runs.run_id';
COMMENT ON COLUMN labels.shape IS 'Per step between hidden layers: + wider, - narrower, = equal; empty with one hidden layer, for cnn and for vit';
COMMENT ON COLUMN labels.degenerate IS 'True where the width ladder''s end cut a step short, so that the network is the same as another label''s';

ALTER TABLE epochs RENAME TO unchecked_epochs;
CREATE TABLE epochs (
    run_id              VARCHAR NOT NULL,
    epoch               INTEGER NOT NULL,
    train_loss          DOUBLE,
    train_accuracy      DOUBLE,
    validation_loss     DOUBLE,
    validation_accuracy DOUBLE,
    test_loss           DOUBLE,
    test_accuracy       DOUBLE,
    CHECK (epoch >= 1),
    CHECK (train_accuracy BETWEEN 0 AND 1),
    CHECK (train_loss BETWEEN -1e-6 AND 1e39),
    CHECK (validation_accuracy BETWEEN 0 AND 1),
    CHECK (validation_loss BETWEEN -1e-6 AND 1e39),
    CHECK (test_accuracy BETWEEN 0 AND 1),
    CHECK (test_loss BETWEEN -1e-6 AND 1e39)
);
INSERT INTO epochs BY NAME FROM unchecked_epochs;
DROP TABLE unchecked_epochs;
COMMENT ON TABLE epochs IS 'Learning curves: one row per run and epoch';
COMMENT ON COLUMN epochs.run_id IS 'runs.run_id';
COMMENT ON COLUMN epochs.epoch IS 'Epoch, from 1';
COMMENT ON COLUMN epochs.train_loss IS 'Mean loss over the epoch''s minibatches, while the weights were changing';
COMMENT ON COLUMN epochs.train_accuracy IS 'Accuracy over the epoch''s minibatches, while the weights were changing';
COMMENT ON COLUMN epochs.validation_loss IS 'Validation loss at the end of the epoch';
COMMENT ON COLUMN epochs.validation_accuracy IS 'Validation accuracy at the end of the epoch';
COMMENT ON COLUMN epochs.test_loss IS 'Test loss at the end of the epoch';
COMMENT ON COLUMN epochs.test_accuracy IS 'Test accuracy at the end of the epoch';

ALTER TABLE pruning RENAME TO unchecked_pruning;
CREATE TABLE pruning (
    run_id        VARCHAR NOT NULL,
    sparsity      DOUBLE NOT NULL,
    test_accuracy DOUBLE,
    test_loss     DOUBLE,
    nonzero       BIGINT NOT NULL,
    CHECK (sparsity BETWEEN 0 AND 1),
    CHECK (test_accuracy BETWEEN 0 AND 1),
    CHECK (test_loss BETWEEN -1e-6 AND 1e39),
    CHECK (nonzero >= 0)
);
INSERT INTO pruning BY NAME FROM unchecked_pruning;
DROP TABLE unchecked_pruning;
COMMENT ON TABLE pruning IS 'Global magnitude pruning of trained models, without retraining';
COMMENT ON COLUMN pruning.run_id IS 'runs.run_id';
COMMENT ON COLUMN pruning.sparsity IS 'Share of the prunable weights set to zero';
COMMENT ON COLUMN pruning.test_accuracy IS 'Test accuracy of the pruned model';
COMMENT ON COLUMN pruning.test_loss IS 'Test loss of the pruned model';
COMMENT ON COLUMN pruning.nonzero IS 'Weights left, of the prunable ones';

ALTER TABLE integer_checks RENAME TO unchecked_integer_checks;
CREATE TABLE integer_checks (
    run_id        VARCHAR PRIMARY KEY,
    test_accuracy DOUBLE NOT NULL,
    seconds       DOUBLE NOT NULL,
    CHECK (test_accuracy BETWEEN 0 AND 1),
    CHECK (seconds BETWEEN 0 AND 1e10)
);
INSERT INTO integer_checks BY NAME FROM unchecked_integer_checks;
DROP TABLE unchecked_integer_checks;
COMMENT ON TABLE integer_checks IS 'Quantization-aware runs converted to real 8-bit integer models and run by integer kernels';
COMMENT ON COLUMN integer_checks.run_id IS 'runs.run_id of an int8 run';
COMMENT ON COLUMN integer_checks.test_accuracy IS 'Test accuracy of the converted model';
COMMENT ON COLUMN integer_checks.seconds IS 'Seconds to convert it and to run it over the test set';
