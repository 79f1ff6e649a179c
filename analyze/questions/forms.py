"""Every form of a network that a store measured: whole, quantized, pruned, and these at once, with its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analyze import wording
from analyze.questions.costs import costs_of, without_units
from analyze.questions.storage import FLOAT_BITS, storage, storage_without_units, units_left
from analyze.stats.comparison import Compared
from analyze.stats.means import DOMINANT
from analyze.stats.result import MIN_REPLICATES, FloatArray, Remark, Shortage
from analyze.study import ArchitectureKey, Found, Study, once
from analyze.sweeps import sweeps
from store.families import family_rank
from store.precisions import PRECISIONS, bits_of

Quantization = Literal["none", "trained", "post-training"]
METHODS = ("magnitude", "layerwise", "random", "units")
"""Ways to prune, in the order in which they are shown."""

_OF_RUN = """r.dataset, r.dataset_fingerprint, r.protocol_id, r.family, r.depth, r.capacity, r.parameters,
       d.chance_accuracy AS chance, d.classes"""
_LISTS = "list(r.replicate ORDER BY r.replicate) AS replicates, list({accuracy} ORDER BY r.replicate) AS accuracy"
_TABLES = "runs r SEMI JOIN equal_widths USING (run_id) JOIN datasets d USING (dataset_fingerprint)"
_TRAINED = "CASE WHEN r.status = 'diverged' THEN d.chance_accuracy ELSE r.test_accuracy END"
WHOLE = f"""
SELECT {_OF_RUN}, r.precision, NULL::INTEGER AS weight_bits, NULL::INTEGER AS activation_bits, 'whole' AS method,
       0 AS finetune_epochs, 0::DOUBLE AS sparsity, NULL::BIGINT AS nonzero, {_LISTS.format(accuracy=_TRAINED)}
FROM {_TABLES} GROUP BY ALL
"""
QUANTIZED_AFTER = f"""
SELECT {_OF_RUN}, r.precision, p.weight_bits, p.activation_bits, 'whole' AS method, 0 AS finetune_epochs,
       0::DOUBLE AS sparsity, NULL::BIGINT AS nonzero,
       {_LISTS.format(accuracy="coalesce(p.test_accuracy, d.chance_accuracy)")}
FROM {_TABLES} JOIN post_training p ON p.run_id = r.run_id GROUP BY ALL
"""
PRUNED = f"""
SELECT {_OF_RUN}, r.precision, NULL::INTEGER AS weight_bits, NULL::INTEGER AS activation_bits, p.method,
       p.finetune_epochs, p.sparsity, any_value(p.nonzero) AS nonzero,
       {_LISTS.format(accuracy="coalesce(p.test_accuracy, d.chance_accuracy)")}
FROM {_TABLES} JOIN pruning p ON p.run_id = r.run_id
WHERE p.sparsity > 0 AND p.sparsity < 1 GROUP BY ALL
"""


@dataclass(frozen=True)
class Form:
    """What was done to a network. `precision` is what it was trained in, the bits are those that it is stored in.

    `method` is how it was pruned, `whole` where it was not.
    """

    precision: str
    weight_bits: int
    activation_bits: int
    quantization: Quantization
    method: str = "whole"
    finetune_epochs: int = 0
    sparsity: float = 0.0

    @property
    def bits(self) -> str:
        """Its bits in a word: `fp32`, `int8`, `w4a8`; after training always as `w8a8`."""
        return f"w{self.weight_bits}a{self.activation_bits}" if self.quantization == "post-training" else self.precision

    @property
    def kind(self) -> tuple[str, str, str, int]:
        """All of it but the sparsity."""
        return self.quantization, self.bits, self.method, self.finetune_epochs

    @property
    def name(self) -> str:
        """It in words: `int8`, `post-training w6a8`, `int8 magnitude 50% +5 epochs`."""
        after = "post-training " if self.quantization == "post-training" else ""
        if self.method == "whole":
            return after + self.bits
        epochs = f" +{self.finetune_epochs} epochs" if self.finetune_epochs else ""
        return f"{after}{self.bits} {self.method} {100 * self.sparsity:g}%{epochs}"


@dataclass(frozen=True)
class Measured:
    """One form of one architecture of equal widths: accuracies by replicate number, NaN where there is none.

    `nonzero` counts the parameters that are left: weights kept, biases and the like; `bytes` is what it takes to store,
    masks included. `macs` and `ram` are multiply-accumulates and bytes of activations of one inference, None where the
    store does not know them: zeros are computed like other weights, and fewer than 8 bits take a byte. A run that
    diverged counts at `chance`.
    """

    key: ArchitectureKey
    parameters: int
    chance: float
    form: Form
    accuracy: FloatArray
    nonzero: int
    bytes: int
    macs: int | None = None
    ram: int | None = None

    @property
    def observed(self) -> FloatArray:
        """Accuracies of the runs there are."""
        return self.accuracy[~np.isnan(self.accuracy)]

    @property
    def network(self) -> str:
        """The architecture in a word: `dnn 2x20`."""
        return f"{self.key.sweep.family} {self.key.sweep.depth}x{self.key.capacity}"


@once
def whole_forms(study: Study) -> Found[tuple[Measured, ...]]:
    """Return every network that was not pruned, in every precision, quantized after training too.

    Of the runs that `regimes` looks at: their dataset, family, protocol and version of the data.
    """
    return _measured(study, WHOLE, QUANTIZED_AFTER)


@once
def pruned_forms(study: Study) -> Found[tuple[Measured, ...]]:
    """Return every pruned form of a study: by every method, fine-tuned or not, of runs in any precision."""
    return _measured(study, PRUNED)


def paired(first: Measured, second: Measured) -> FloatArray:
    """Return accuracies of the first minus those of the second, of the replicates that both have."""
    shared = min(len(first.accuracy), len(second.accuracy))
    differences = first.accuracy[:shared] - second.accuracy[:shared]
    return differences[~np.isnan(differences)]


def reservation(found: Compared) -> str | None:
    """Return what is to be known of a comparison: too few replicates, or that one makes most of the variance."""
    if found.difference is None:
        return wording.one(Shortage("replicates", found.n, MIN_REPLICATES))
    return wording.one(Remark("one replicate dominates")) if found.difference.largest_share > DOMINANT else None


def _measured(study: Study, *queries: str) -> Found[tuple[Measured, ...]]:
    found = sweeps(study)
    chosen = {sweep.key for sweep in found.content}
    rows = [one for query in queries for one in _rows(study, query) if one.key.sweep in chosen]
    return Found(tuple(sorted(rows, key=_order)), found.notes, found.missing)


def _order(one: Measured) -> tuple[object, ...]:
    sweep, form = one.key.sweep, one.form
    return (
        sweep.dataset,
        family_rank(sweep.family),
        sweep.depth,
        one.key.capacity,
        form.quantization == "post-training",
        -form.weight_bits,
        -form.activation_bits,
        -1 if form.method == "whole" else METHODS.index(form.method),
        form.finetune_epochs,
        form.sparsity,
    )


def _rows(study: Study, query: str) -> Iterator[Measured]:
    for row in study.query(query).iter_rows(named=True):
        if row["precision"] not in PRECISIONS or row["method"] not in ("whole", *METHODS):
            continue  # A word of a later version.
        accuracy = np.full(max(row["replicates"]) + 1, np.nan)
        accuracy[row["replicates"]] = row["accuracy"]
        form, kept = _form(row), row["nonzero"]
        parts = storage(row["family"], row["depth"], row["capacity"], row["parameters"], row["classes"])
        key = ArchitectureKey.of(
            row["dataset"], row["dataset_fingerprint"], row["protocol_id"], row["family"], row["depth"], row["capacity"]
        )
        costs = costs_of(study, key)
        if form.method == "units":
            left = units_left(row["capacity"], form.sparsity)
            costs = without_units(study, key, left)
            parts = storage_without_units(row["family"], row["depth"], left, row["nonzero"], row["classes"])
        elif form.method != "whole":
            kept = parts.kept(form.sparsity)
        masked = kept if form.method not in ("whole", "units") else None
        yield Measured(
            key=key,
            parameters=row["parameters"],
            chance=row["chance"],
            form=form,
            accuracy=accuracy,
            nonzero=(parts.weights if masked is None else masked) + parts.others,
            bytes=parts.stored(form.weight_bits, masked),
            macs=costs.macs if costs else None,
            ram=None if costs is None else costs.ram_fp32 if form.activation_bits == FLOAT_BITS else costs.ram_int8,
        )


def _form(row: Mapping[str, Any]) -> Form:
    bits = bits_of(row["precision"])
    weights, activations = bits or (FLOAT_BITS, FLOAT_BITS)
    quantization: Quantization = "trained" if bits else "none"
    if row["weight_bits"] is not None:
        weights, activations, quantization = row["weight_bits"], row["activation_bits"], "post-training"
    return Form(
        precision=row["precision"],
        weight_bits=weights,
        activation_bits=activations,
        quantization=quantization,
        method=row["method"],
        finetune_epochs=row["finetune_epochs"],
        sparsity=row["sparsity"],
    )
