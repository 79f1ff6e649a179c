"""What makes two sources one dataset, and what its random numbers are drawn from."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generate.commands import as_stored
from generate.datasets import Dataset, Split, load_dataset
from generate.datasets.dataset import KNOWN, SEEDED_BY_NAME
from generate.plan import Request, Unit, make_plan
from generate.protocol import canonical_json, protocol_id, protocol_spec
from generate.provenance import new_invocation
from generate.worker import run_unit
from store.errors import MinarchError
from store.records import Protocol, Records
from store.results import Store
from tests.generate.datasets.files import make_split, write_parquet, write_tree
from tests.store.build import make_dataset, make_records, make_run, make_store

TRAIN, TEST = make_split(60, side=8, classes=12), make_split(36, side=8, classes=12, seed=1)


def shuffled(split: Split) -> Split:
    order = np.random.default_rng(5).permutation(len(split.labels))
    return Split(split.images[order], split.labels[order])


def trained(source: str, dataset: Dataset) -> Records:
    request = Request(phase="convergence", families=("dnn",), capacities=(3,), depths=(1,), epochs=2, repeats=1)
    (unit,) = make_plan(request, [(source, dataset)], frozenset()).units
    return complete(unit)


def complete(unit: Unit) -> Records:
    """Return what a unit gives, with the settings and the call that the store wants beside its runs."""
    invocation = new_invocation()
    protocol = Protocol(protocol_id=protocol_id(unit.protocol), spec=canonical_json(protocol_spec(unit.protocol)))
    return replace(run_unit(unit, invocation.invocation_id), protocols=(protocol,), invocations=(invocation,))


def results(source: str) -> tuple[str, float | None, float | None]:
    (run,) = trained(source, load_dataset(source, None)).runs
    return run.run_id, run.last_train_loss, run.last_test_loss


def test_the_same_images_are_one_dataset_with_one_result(tmp_path: Path) -> None:
    """In a folder of another name, as Parquet, in another order, with class names that are numbers or not."""
    write_tree(tmp_path / "mine", TRAIN, TEST)
    for part in ("train", "test"):
        for folder in (tmp_path / "mine" / part).iterdir():
            # Twelve classes: in the order of their letters 10 and 11 would come before 2.
            folder.rename(folder.with_name(folder.name.removeprefix("class-")))
    shutil.copytree(tmp_path / "mine", tmp_path / "other name")
    write_parquet(tmp_path / "table", shuffled(TRAIN), shuffled(TEST), shards=2)
    write_parquet(tmp_path / "words", shuffled(TRAIN), TEST, label=lambda n: f"{n:02d} bees")
    found = {name: results(str(tmp_path / name)) for name in ("mine", "other name", "table", "words")}
    assert len(set(found.values())) == 1, found


def test_bundled_data_keep_their_name_as_seed_in_any_folder(digits: Dataset, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a copy", digits.train, digits.test)
    copy = load_dataset(str(tmp_path / "a copy"), None)
    assert (copy.name, copy.seed_key, copy.seeding) == ("a copy", "digits", "dataset name")
    assert copy.fingerprint == digits.fingerprint == SEEDED_BY_NAME["digits"]
    (ours,), (theirs,) = trained("digits", digits).runs, trained(str(tmp_path / "a copy"), copy).runs
    assert (ours.run_id, ours.last_train_loss) == (theirs.run_id, theirs.last_train_loss)


def test_stored_results_on_digits_do_not_change(digits: Dataset) -> None:
    """Identity and result of a run as versions before had them: seeded by name."""
    (run,) = trained("digits", digits).runs
    assert run.run_id == "845e913de116bdd7"
    assert run.last_train_loss == pytest.approx(2.392612, rel=1e-4)


@pytest.mark.parametrize("name", sorted(SEEDED_BY_NAME.keys() - {"cifar10"}))
def test_the_papers_data_are_known_by_fingerprint(name: str) -> None:
    """CIFAR-10, which takes long to decode, is in `test_sets`."""
    folder = os.environ.get("MINARCH_DATA")
    if name != "digits" and folder is None:
        pytest.skip("MINARCH_DATA names no folder with the paper's data")
    dataset = load_dataset(name, Path(folder) if folder else None, download=False)
    assert (dataset.seed_key, dataset.seeding) == (name, "dataset name")


def test_other_data_have_protocols_of_their_own(digits: Dataset, tmp_path: Path) -> None:
    """Runs that earlier versions seeded by a folder's name have other identities than those seeded by content."""
    write_tree(tmp_path / "mine", TRAIN, TEST)
    dataset = load_dataset(str(tmp_path / "mine"), None)
    assert dataset.seeding == "fingerprint"
    assert dataset.seed_key == dataset.fingerprint
    request = Request(phase="convergence", families=("dnn",), repeats=1, epochs=2)
    by_source = {}
    for source, data in (("digits", digits), (str(tmp_path / "mine"), dataset)):
        (protocol,) = {unit.protocol for unit in make_plan(request, [(source, data)], frozenset()).units}
        by_source[source] = canonical_json(protocol_spec(protocol))
    assert '"seeding"' not in by_source["digits"]
    assert '"seeding":"fingerprint"' in by_source[str(tmp_path / "mine")]


def test_a_renamed_folder_goes_on_in_the_store(tmp_path: Path) -> None:
    write_tree(tmp_path / "old", TRAIN, TEST)
    old = load_dataset(str(tmp_path / "old"), None)
    store = Store(tmp_path / "s.duckdb")
    store.append(trained(str(tmp_path / "old"), old), name="unit")
    (tmp_path / "old").rename(tmp_path / "new")
    source = str(tmp_path / "new")
    ((_, dataset),), notes = as_stored([(source, load_dataset(source, None))], store)
    assert dataset.name == "old"
    assert notes == [f"{store.path} knows the images of {source} as old: the runs are stored under that name"]
    request = Request(phase="convergence", families=("dnn",), capacities=(3,), depths=(1,), epochs=2, repeats=2)
    plan = make_plan(request, [(source, dataset)], store.run_ids())
    assert (plan.models, plan.stored) == (2, 1)
    for unit in plan.units:
        store.append(complete(unit), name="unit")
    assert store.query("SELECT dataset, count(*) FROM runs GROUP BY ALL").rows() == [("old", 2)]


def test_a_merge_takes_the_name_that_the_store_has(tmp_path: Path) -> None:
    """Stores of the same images in folders of two names: runs are recognised, none is doubled, one name is left."""
    left = make_store(tmp_path / "left.duckdb", make_records([make_run((2,), dataset="one")]))
    runs = [make_run((w,), dataset="two", dataset_fingerprint="fingerprint-one") for w in (2, 5)]
    facts = make_dataset("two")
    shared = make_run((2,), dataset="one").run_id
    runs[0] = replace(runs[0], run_id=shared)
    records = replace(make_records(runs), datasets=(replace(facts, dataset_fingerprint="fingerprint-one"),))
    right = make_store(tmp_path / "right.duckdb", records)
    right.export(tmp_path / "out")
    assert left.import_(tmp_path / "out")["runs"] == 1
    assert left.query("SELECT dataset, count(*) FROM runs GROUP BY ALL").rows() == [("one", 2)]
    assert left.query("SELECT dataset FROM datasets").rows() == [("one",)]


def test_the_same_data_twice_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tree(tmp_path / name, TRAIN, TEST)
    datasets = [(name, load_dataset(str(tmp_path / name), None)) for name in ("one", "two")]
    with pytest.raises(MinarchError, match="one and two are the same images and labels"):
        as_stored(datasets, Store(tmp_path / "none.duckdb"))


def test_fingerprints_known_by_name_are_distinct() -> None:
    assert len(KNOWN) == len(SEEDED_BY_NAME)
