"""A fourth family, registered in one place, taken through all four programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import generate.families
import store.families
from analyze import pruning, quantization, recommend, regimes
from generate.architectures import Architecture, ImageShape
from generate.datasets import load_dataset
from generate.driver import run_sweep
from generate.engine.initialise import initial_tensors
from generate.families import Family, protocol_for, register
from generate.families.counts import depth_of, parameter_count, training_flops
from generate.plan import Request, make_plan
from generate.protocol import FamilyProtocol, Training
from generate.provenance import new_invocation, request_spec
from reports.cli import cli
from store.advice import load_advice
from store.errors import MinarchError
from store.families import FamilyFacts
from store.precisions import WEIGHT_BITS
from store.results import Store

SIZES = (1, 2, 3, 5, 8, 13)


@dataclass(frozen=True, kw_only=True)
class ToyProtocol(FamilyProtocol):
    """Random features, fixed by their size, under a linear layer."""

    family: str = "toy"
    gain: float = 1.0


class Toy(nn.Module):
    """Sines of random projections, and a linear layer."""

    projection: Tensor

    def __init__(self, sizes: tuple[int, ...], image: ImageShape, protocol: ToyProtocol) -> None:
        super().__init__()
        angles = torch.arange(float(image.values * sizes[0]), device="cpu").view(image.values, sizes[0])
        self.register_buffer("projection", protocol.gain * torch.sin(angles**2), persistent=False)
        self.linear = nn.Linear(sizes[0], image.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(torch.tanh(images.flatten(1) @ self.projection.to(images.device)))
        return logits


def initial(name: str, shape: tuple[int, ...], shapes: Any, protocol: ToyProtocol, rng: np.random.Generator) -> Any:
    return (0.1 * rng.standard_normal(shape)).astype(np.float32)


TOY = Family(
    facts=FamilyFacts(
        name="toy",
        title="Toy Net",
        capacity="Random features",
        capacity_noun="features",
        layer=("projection", "projections"),
        size=("{} feature", "{} features"),
        floats=lambda depth, capacity: 0,
        capacities=SIZES,
        replicates=5,
    ),
    protocol=ToyProtocol,
    module=Toy,
    initial=initial,
)


@pytest.fixture(scope="module")
def toy() -> Iterator[Family]:
    register(TOY)
    yield TOY
    del generate.families.FAMILIES["toy"], store.families.FAMILIES["toy"]


class Inline:
    """Workers that run each task at once in this process."""

    slots = 1

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future

    def stop(self) -> None:
        pass


@pytest.fixture(scope="module")
def swept(toy: Family, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with every phase of the toy family and a few DNNs on digits."""
    found = Store(tmp_path_factory.mktemp("toy") / "results.duckdb")
    found.prepare()
    datasets = [("digits", load_dataset("digits", None))]
    for families, capacities in ((("toy",), None), (("dnn",), (1, 2))):
        request = Request(phase="all", families=families, capacities=capacities, depths=(1,), epochs=3, repeats=5)
        plan = make_plan(request, datasets, frozenset())
        final = run_sweep(plan.units, found, Inline(), new_invocation(request_spec(request, datasets)))
        assert final.models_done == plan.models
    found.ingest(60)
    return found


def test_what_is_not_given_is_derived(toy: Family) -> None:
    architecture, image, protocol = Architecture("toy", (5,)), ImageShape(8, 8, 1, 10), ToyProtocol()
    assert parameter_count(architecture, image, protocol) == 6 * 10
    # Forward products of both layers, and the gradients of weights and inputs of the second.
    assert training_flops(architecture, image, protocol) == 2 * (64 * 5 + 2 * 5 * 10)
    assert depth_of(architecture, protocol) == 1
    tensors = initial_tensors(architecture, image, protocol, dataset="digits", replicate=0)
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        "linear.weight": (10, 5),
        "linear.bias": (10,),
    }
    assert protocol_for("toy", Training(epochs=3)) == ToyProtocol(training=Training(epochs=3))


def test_it_is_trained_and_stored(swept: Store) -> None:
    counts = swept.query(
        "SELECT precision, count(*), min(engine), max(depth), max(parameters) FROM runs WHERE family = 'toy'"
        " GROUP BY precision ORDER BY precision"
    )
    assert counts.rows() == [("fp32", 30, "torch", 1, 140), ("int8", 30, "torch", 1, 140)]
    pruned = swept.query("SELECT count(*) FROM pruning JOIN runs USING (run_id) WHERE family = 'toy'")
    assert pruned.item() == 2 * 30 * 21, "in fp32 and in 8 bits"
    quantized = swept.query("SELECT count(*) FROM post_training JOIN runs USING (run_id) WHERE family = 'toy'")
    assert quantized.item() == 30 * len(WEIGHT_BITS)
    costs = swept.query("SELECT hidden_sizes, weights, macs, ram_fp32, ram_int8 FROM costs WHERE family = 'toy'")
    # 64 pixels and the features at once; the random projection is no weight, and its products count.
    assert sorted(costs.rows()) == [([n], 10 * n, 74 * n, 4 * (64 + n), 64 + n) for n in SIZES]
    spec = swept.query("SELECT spec FROM protocols WHERE spec LIKE '%toy%'").item()
    assert json.loads(spec)["gain"] == 1.0


def test_it_is_analysed(swept: Store) -> None:
    rows = [row for row in regimes(swept.path) if row.family == "toy"]
    assert [row.boundary for row in rows] == ["stability", "overfitting"]
    assert rows[0].replicates == 5
    assert {row.capacity for row in pruning(swept.path, family="toy")} == set(SIZES)
    assert {row.capacity for row in quantization(swept.path, family="toy")} == set(SIZES)
    assert {row.scope for row in recommend(swept.path)} == {"all", "dnn", "toy"}
    # The known families come first, then those that were registered later.
    assert list(dict.fromkeys(row.family for row in regimes(swept.path))) == ["dnn", "toy"]


def test_it_is_on_the_page(swept: Store, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = CliRunner().invoke(cli, ["render", "--store", str(swept.path), "--out", str(out), "--no-claims"])
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    panel = page.split('id="panel-digits-toy"')[1].split('id="panel-')[0]
    assert re.search(r'id="tab-digits-toy"[^>]*>\s*Toy Net\s*<', page)
    columns = re.findall("<th[^>]*>([^<]+)</th>", panel.split("<h5>Regimes</h5>")[1].split("</thead>")[0])
    assert columns[:4] == ["Boundary", "Projections", "Status", "Features"]
    assert "Random features" in panel.split("<h5>Regimes</h5>")[0], "of the axis of the chart"


def test_commands_that_add_to_it_are_known(swept: Store) -> None:
    command = load_advice(swept.path).command("convergence", "digits", "toy", repeats=10)
    assert command.startswith("generate convergence --dataset digits --family toy --repeats 10 --epochs 3")


def test_without_its_registration_every_program_says_so(swept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    known = "no family 'toy'; known are dnn, cnn, vit"
    monkeypatch.delitem(store.families.FAMILIES, "toy")
    monkeypatch.delitem(generate.families.FAMILIES, "toy")
    with pytest.raises(MinarchError, match=known):
        make_plan(Request(phase="all", families=("toy",)), [("digits", load_dataset("digits", None))], frozenset())
    with pytest.raises(MinarchError, match=known):
        regimes(swept.path)
    result = CliRunner().invoke(cli, ["render", "--store", str(swept.path), "--out", "never.html", "--no-claims"])
    assert result.exit_code == 1
    assert known in str(result.exception)
