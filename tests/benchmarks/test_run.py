from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch

from benchmarks import measure, scaling
from benchmarks.grids import GRIDS, Grid, Images, load_images, spread
from benchmarks.machine import cores
from benchmarks.measure import Contestant, Row, compare, contestants_of
from benchmarks.roofline import BATCH, LIBRARIES, Roofline, operations
from benchmarks.run import GRID_NAMES
from benchmarks.table import GridResult, as_json, render
from generate.architectures import Architecture, ImageShape
from generate.engine.plain.modules import build_module
from generate.families import protocol_for
from store.errors import MinarchError

MACHINE: dict[str, str | int] = {"processor": "a processor", "cores": 2}


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.delenv("MINARCH_DATA", raising=False)
    return load_images("mnist", images=300)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Grid:
    """Four small networks, timed for hardly any time."""
    for module in (measure, scaling):
        monkeypatch.setattr(module, "ENGINE_SECONDS" if module is measure else "SECONDS", 0.01)
    monkeypatch.setattr(scaling, "WORKER_SECONDS", 0.01)
    architectures = tuple(Architecture("dnn", sizes) for sizes in ((2,), (2, 3), (5,), (5, 5)))
    sample = spread(tuple((a, 0.25) for a in architectures), 2)
    return replace(
        GRIDS["narrow"], architectures=architectures, sample=sample, coarse=sample[:1], replicates=2, steps=2
    )


def test_every_contestant_is_timed_or_says_why_not(tiny: Grid, images: Images) -> None:
    rows = compare(contestants_of(tiny, images), rounds=2)
    for row in rows:
        assert (len(row.times) == 2 and min(row.times) > 0) or row.skipped
    result = GridResult(tiny, images.source, rows)
    assert result.engine is not None
    text = render([result], [], MACHINE)
    assert all(f"| {row.name} |" in text for row in rows)
    assert "random images shaped as mnist" in text
    found = json.loads(json.dumps(as_json([result], [], MACHINE)))
    assert [row["name"] for row in found["grids"][0]["rows"]] == [row.name for row in rows]


def test_contestants_are_timed_in_turn_and_compared_within_a_round() -> None:
    calls: list[str] = []

    def contestant(name: str, kind: str, times: list[float]) -> Contestant:
        def timed() -> float:
            calls.append(name)
            return times[calls.count(name) - 1]

        return Contestant(Row(name, kind), lambda: timed)

    def absent() -> measure.Measure:
        raise MinarchError("no such thing here")

    # The first measurement warms up and counts for nothing; the second round runs at half speed.
    entries = [
        contestant("engine", "engine", [9, 1, 2, 1]),
        contestant("peer", "peer", [99, 8, 16, 4]),
        contestant("roofline", "roofline", [9, 0.5, 1, 0.5]),
        Contestant(Row("other", "peer"), absent),
    ]
    rows = compare(entries, rounds=3)
    assert calls == ["engine", "peer", "roofline"] * 4
    assert [row.times for row in rows] == [[1, 2, 1], [8, 16, 4], [0.5, 1, 0.5], []]
    text = render([GridResult(GRIDS["wide"], "images", rows)], [], MACHINE)
    assert "| engine | 1 | 1,000 |  |" in text
    assert "| peer | 8 | 125 | engine is 8.00x as fast |" in text
    assert "| roofline | 0.5 | 2,000 | engine takes 2.00x as long |" in text
    assert "| other | | | skipped: no such thing here |" in text


def test_slow_contestant_sits_out_later_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PATIENCE_SECONDS", 0.0)
    (row,) = compare([Contestant(Row("peer", "peer"), lambda: lambda: 1.0)], rounds=5)
    assert row.times == [1.0]


def test_growth_keeps_all_models(tiny: Grid, images: Images) -> None:
    packed = scaling.models_per_unit(tiny, images, rounds=1)
    assert [line.value for line in packed] == [4, 2, 1]
    assert packed[0].speed == 1
    repeated = scaling.replicates(tiny, images, rounds=1)
    assert [line.value for line in repeated] == list(scaling.REPLICATES)
    text = render([], [*packed, *repeated], MACHINE)
    assert text.count("| narrow |") == len(packed) + len(repeated)


def test_worker_reports_only_when_it_is_among_those_at_work(tiny: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINARCH_DATA", raising=False)
    context = multiprocessing.get_context("spawn")
    for index, reports in ((0, 4), (1, 2)):
        queue: SimpleQueue[float] = SimpleQueue()
        scaling._work(tiny, index, [1, 2], 2, cores(), context.Barrier(1), queue)
        assert queue.qsize() == reports
        assert queue.get() > 0


@pytest.mark.slow
def test_workers_report(tiny: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINARCH_DATA", raising=False)
    (line,) = scaling.workers(tiny, rounds=1, cores={0})
    assert (line.what, line.value, line.speed) == ("workers", 1, 1)
    assert line.milliseconds > 0


@pytest.mark.parametrize("architecture", [Architecture("dnn", (7, 3)), Architecture("cnn", (4,))])
def test_operations_are_those_that_pytorch_counts(architecture: Architecture) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    image = ImageShape(12, 12, 3, 10)
    module = build_module(architecture, image, protocol_for(architecture.family))
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(BATCH, 3, 12, 12)).sum().backward()
    assert operations(architecture, image) == counter.get_total_flops()


def test_vit_needs_fewer_operations_than_the_plain_module() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    architecture, image = Architecture("vit", (8,)), GRIDS["vit-mnist"].image
    module = build_module(architecture, image, protocol_for(architecture.family))
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(BATCH, 1, 28, 28)).sum().backward()
    assert 0.5 < operations(architecture, image) / counter.get_total_flops() < 1


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_roofline_is_arithmetic_plus_traffic(library: str, tiny: Grid) -> None:
    roofline = Roofline(tiny, library=library)
    expected = roofline.measure() / 1e3
    assert expected == pytest.approx(roofline.operations / roofline.rate + roofline.parameters * roofline.adam)
    assert roofline.rate > 1e8


def test_command_knows_every_grid() -> None:
    assert set(GRID_NAMES) == set(GRIDS)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--only", "nonsense"], 2, "cnn-mnist"),
        (["--json", "/absent/folder/file.json"], 1, "cannot write /absent/folder/file.json"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], code: int, text: str) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.run", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
