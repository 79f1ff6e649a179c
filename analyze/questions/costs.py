"""What one inference of a network takes, by what the store says of it; and of a network without some of its units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyze.study import ARCHITECTURE, ArchitectureKey, Study, once
from store.costs import Costs, Image
from store.designs import By as By
from store.families import family_facts

NOUNS: Mapping[By, str] = {
    "parameters": "parameters",
    "bytes": "bytes",
    "macs": "multiply-accumulates",
    "ram": "bytes of activations",
}

STORED = f"""
WITH networks AS (
    SELECT DISTINCT {ARCHITECTURE}, hidden_sizes FROM runs SEMI JOIN equal_widths USING (run_id)
)
SELECT {ARCHITECTURE}, len(hidden_sizes) AS layers, weights, macs, ram_fp32, ram_int8
FROM networks JOIN costs USING (protocol_id, dataset_fingerprint, family, hidden_sizes)
"""
SPECS = "SELECT protocol_id, spec::VARCHAR AS spec FROM protocols"
IMAGES = "SELECT dataset_fingerprint, height, width, channels, classes FROM datasets"


@dataclass(frozen=True)
class _Network:
    layers: int
    costs: Costs


def costs_of(study: Study, key: ArchitectureKey) -> Costs | None:
    """Return the costs of a network of equal widths, None where the store has none."""
    found = _networks(study).get(key)
    return found.costs if found else None


@once
def without_units(study: Study, key: ArchitectureKey, left: int) -> Costs | None:
    """Return the costs of a network of which so many units of every hidden layer are left.

    Those of the whole network, which are no less, where its family has no closed form; None where the store has none.
    """
    network = _networks(study).get(key)
    known = family_facts(key.sweep.family).costs
    if network is None or known is None:
        return network.costs if network else None
    return known((left,) * network.layers, _images(study)[key.sweep.dataset_fingerprint], _spec(study, key))


@once
def _networks(study: Study) -> dict[ArchitectureKey, _Network]:
    if "costs" not in study.tables.names:
        return {}
    return {
        ArchitectureKey.of(*architecture): _Network(layers, Costs(weights=w, macs=m, ram_fp32=f, ram_int8=i))
        for *architecture, layers, w, m, f, i in study.query(STORED).iter_rows()
    }


@once
def _images(study: Study) -> dict[str, Image]:
    return {fingerprint: Image(*shape) for fingerprint, *shape in study.query(IMAGES).iter_rows()}


def _spec(study: Study, key: ArchitectureKey) -> Mapping[str, Any]:
    spec: Any = _specs(study).get(key.sweep.protocol_id)
    return spec if isinstance(spec, Mapping) else {}


@once
def _specs(study: Study) -> dict[str, Any]:
    return {protocol: json.loads(spec) for protocol, spec in study.query(SPECS).iter_rows()}
