"""What the report asks of a store directly: single runs, and facts on data, models, commands and settings.

A run that diverged learned nothing: it counts at chance, here as in the analysis.
"""

from __future__ import annotations

REPLICATES = """
SELECT r.dataset, r.family, r.protocol_id, r.dataset_fingerprint, r.depth::BIGINT AS depth,
       r.capacity::BIGINT AS capacity, r.parameters, r.replicate,
       CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END AS test_accuracy
FROM runs r SEMI JOIN equal_widths USING (run_id) JOIN datasets d USING (dataset_fingerprint)
WHERE r.precision = 'fp32'
ORDER BY dataset, family, depth, capacity, replicate
"""
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

FORMS = """
SELECT DISTINCT r.dataset, r.family, r.protocol_id, r.dataset_fingerprint
FROM runs r LEFT JOIN pruning p USING (run_id)
WHERE r.precision NOT IN ('fp32', 'int8') OR r.run_id IN (SELECT run_id FROM post_training)
   OR p.method != 'magnitude' OR p.finetune_epochs > 0 OR (p.run_id IS NOT NULL AND r.precision != 'fp32')
"""
