"""What the report asks of a store.

A run that diverged learned nothing: it counts at chance, here as in the analysis. Curves over size are of equal
widths only: the paper's second phase, and every architecture of the families without topologies.
"""

from __future__ import annotations

from collections.abc import Mapping

_IDENTITY = "r.dataset, r.family, r.protocol_id, r.dataset_fingerprint"
_SIZE = "r.depth::BIGINT AS depth, r.capacity::BIGINT AS capacity, r.parameters"
_EQUAL = "r.run_id IN (SELECT run_id FROM labels WHERE NOT degenerate AND replace(shape, '=', '') = '')"


def _accuracy(run: str) -> str:
    return f"CASE WHEN {run}.status = 'diverged' THEN d.chance_accuracy ELSE {run}.test_accuracy END"


_REPLICATES = f"""
SELECT {_IDENTITY}, {_SIZE}, r.replicate, r.status = 'diverged' AS diverged, {_accuracy("r")} AS test_accuracy
FROM runs r JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND {_EQUAL}
ORDER BY dataset, family, depth, capacity, replicate
"""
_PRUNING = f"""
SELECT {_IDENTITY}, {_SIZE}, p.sparsity, count(*) AS n,
       avg(coalesce(p.test_accuracy, d.chance_accuracy)) AS mean,
       stddev_samp(coalesce(p.test_accuracy, d.chance_accuracy)) AS sd
FROM pruning p JOIN runs r USING (run_id) JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND {_EQUAL}
GROUP BY ALL ORDER BY dataset, family, depth, capacity, sparsity
"""
_PAIRS = f"""
SELECT {_IDENTITY}, {_SIZE}, {_accuracy("r")} AS fp32, {_accuracy("q")} AS int8
FROM runs r JOIN runs q USING (protocol_id, dataset_fingerprint, family, hidden_sizes, replicate)
JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND q.precision = 'int8' AND {_EQUAL}
"""
_PRECISIONS = f"""
WITH pairs AS ({_PAIRS})
SELECT * EXCLUDE (accuracy), count(*) AS n, avg(accuracy) AS mean, stddev_samp(accuracy) AS sd
FROM (UNPIVOT pairs ON fp32, int8 INTO NAME precision VALUE accuracy)
GROUP BY ALL ORDER BY dataset, family, depth, capacity, precision
"""
_TOPOLOGIES = f"""
SELECT {_IDENTITY}, {_SIZE}, l.shape, count(*) AS n, avg({_accuracy("r")}) AS mean, stddev_samp({_accuracy("r")}) AS sd
FROM runs r JOIN labels l USING (run_id) JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32' AND NOT l.degenerate
GROUP BY ALL ORDER BY dataset, family, depth, capacity, shape
"""
_CURVES = f"""
WITH means AS (
    SELECT {_IDENTITY}, {_SIZE}, e.epoch::BIGINT AS epoch, avg(e.train_loss) AS train_loss,
           avg(e.train_accuracy) AS train_accuracy, avg(e.test_loss) AS test_loss, avg(e.test_accuracy) AS test_accuracy
    FROM epochs e JOIN runs r USING (run_id)
    WHERE r.precision = 'fp32' AND r.status = 'ok' AND {_EQUAL}
    GROUP BY ALL
)
SELECT * EXCLUDE (train_loss, train_accuracy, test_loss, test_accuracy, parameters), 'train' AS split,
       train_loss AS loss, train_accuracy AS accuracy FROM means
UNION ALL
SELECT * EXCLUDE (train_loss, train_accuracy, test_loss, test_accuracy, parameters), 'test',
       test_loss, test_accuracy FROM means
ORDER BY dataset, family, depth, capacity, split, epoch
"""

FRAMES: Mapping[str, str] = {
    "replicates": _REPLICATES,
    "pruning": _PRUNING,
    "precisions": _PRECISIONS,
    "topologies": _TOPOLOGIES,
    "curves": _CURVES,
}
"""One query per frame of a subject, for all of the store; the first four columns say whose the rows are."""

DATASET_FACTS = "SELECT * FROM datasets ORDER BY dataset, dataset_fingerprint"
MODELS = """
SELECT dataset, family, precision, count(*) AS models, count(DISTINCT hidden_sizes) AS architectures,
       count(DISTINCT replicate) AS replicates, sum(seconds) AS seconds, max(epochs) AS epochs
FROM runs GROUP BY ALL ORDER BY dataset, family, precision
"""
INVOCATIONS = """
SELECT i.started_at, i.argv, i.package_version, i.torch_version, i.host, count(r.run_id) AS models,
       coalesce(sum(r.seconds), 0) AS seconds
FROM invocations i LEFT JOIN runs r USING (invocation_id)
GROUP BY ALL ORDER BY i.started_at
"""
PROTOCOLS = """
SELECT p.protocol_id, p.spec::VARCHAR AS spec, count(*) AS models
FROM protocols p JOIN runs r USING (protocol_id) GROUP BY ALL ORDER BY models DESC, protocol_id
"""
