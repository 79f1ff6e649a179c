"""Networks as C: silent compilers and sanitizers, answers and levels over whole test sets, files, and faults."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from generate.architectures import Architecture, ImageShape
from generate.deploy.c import FloatNetwork, Storage, compile_and_run, float_network, measure, write_c
from generate.deploy.integer import IntegerNetwork, integer_network, run
from generate.engine.quantize.rows import ZERO_POINT
from generate.families import FAMILIES, protocol_for
from generate.families.cnn import CnnProtocol
from generate.families.vit import VitProtocol
from store.errors import MinarchError
from tests.deploy.conftest import Example, Train, untrained

STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
SANITIZED = ("-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

RED = ImageShape(9, 7, 3, 4)
WIDE = ImageShape(20, 20, 1, 3)


def integers(example: Example) -> IntegerNetwork:
    given = (example.parameters, example.quantizers)
    return integer_network(example.family, example.protocol, *given, example.image)


def floats(example: Example) -> FloatNetwork:
    given = (example.parameters, example.quantizers)
    return float_network(example.family, example.protocol, *given, example.image)


def pruned(example: Example, share: float) -> Example:
    """Return the network with a share of its weights set to 0, at random."""
    generator = torch.Generator().manual_seed(0)
    masked = {
        name: value * (torch.rand(value.shape, generator=generator) >= share) if value.ndim > 1 else value
        for name, value in example.parameters.items()
    }
    return replace(example, parameters=masked)


def built(folder: Path, source: str) -> Path:
    """Return the program of a source beside the network, by silent compilers; with sanitizers where there are some."""
    assert COMPILER is not None
    program = folder / source.removesuffix(".c")
    command = [COMPILER, *STRICT, str(folder / "model.c"), str(folder / source), "-o", str(program)]
    done = subprocess.run([*command, *SANITIZED], capture_output=True, text=True)
    if "cannot find" in done.stderr:
        done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return program


def printed(folder: Path, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    done = subprocess.run([built(folder, "model_run.c")], input=images.tobytes(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = np.array([line.split() for line in done.stdout.splitlines()], np.float64)
    return rows[:, 0].astype(np.int64), rows[:, 1:].astype(np.float32)


def agrees(network: IntegerNetwork, images: NDArray[np.uint8], folder: Path) -> tuple[Storage, ...]:
    """Assert that C answers with the reference's levels; return how it is stored."""
    storage = write_c(network, folder)
    answers, levels = printed(folder, images)
    expected = run(network, images)
    np.testing.assert_array_equal(levels, expected)
    np.testing.assert_array_equal(answers, expected.argmax(1))
    return storage


@needs_compiler
@pytest.mark.parametrize(("family", "sizes"), [("dnn", (50, 50)), ("cnn", (6,))])
def test_integers_are_the_references_level_for_level(
    family: str, sizes: tuple[int, ...], trained: Train, tmp_path: Path
) -> None:
    example = trained(family, *sizes)
    assert {layer.form for layer in agrees(integers(example), example.images, tmp_path)} == {"dense"}


@needs_compiler
@pytest.mark.parametrize(("share", "form"), [(0.6, "bitmask"), (0.95, "deltas")])
def test_pruned_integers_are_stored_sparsely(share: float, form: str, trained: Train, tmp_path: Path) -> None:
    example = pruned(trained("dnn", 50, 50), share)
    storage = agrees(integers(example), example.images, tmp_path)
    assert {layer.form for layer in storage} == {form}
    assert sum(layer.size for layer in storage) < (1.3 - share) * sum(layer.dense for layer in storage)


UNUSUAL: dict[str, tuple[Any, ...]] = {
    "padded and strided": (Architecture("cnn", (5,)), CnnProtocol(kernel_size=5, stride=2, padding=3), RED),
    "a kernel as large as the image": (Architecture("cnn", (2,)), CnnProtocol(kernel_size=7), ImageShape(7, 7, 2, 2)),
    "one unit": (Architecture("dnn", (1, 3)), protocol_for("dnn"), RED),
}


@needs_compiler
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_integers(name: str, tmp_path: Path) -> None:
    example = untrained(*UNUSUAL[name])
    """Each with a head whose weights have one sign."""
    extremes = np.stack([np.zeros_like(example.images[0]), np.full_like(example.images[0], 255)])
    network = integers(example)
    assert network.layers[-1].weight.zero_point != 0
    agrees(network, np.concatenate([example.images, extremes]), tmp_path)


@needs_compiler
def test_a_relu_whose_zero_is_not_the_lowest_level(tmp_path: Path) -> None:
    example = untrained(*UNUSUAL["one unit"])
    hidden = example.quantizers["layers.1"].clone()
    hidden[ZERO_POINT] = 40
    network = integers(replace(example, quantizers={**example.quantizers, "layers.1": hidden}))
    assert network.layers[1].lowest == 40
    agrees(network, example.images, tmp_path)
    source = (tmp_path / "model.c").read_text()
    (tmp_path / "model.c").write_text(source.replace(".lowest = 40", ".lowest = 0"))
    assert not np.array_equal(printed(tmp_path, example.images)[1], run(network, example.images))


@needs_compiler
def test_far_weights_and_empty_rows(tmp_path: Path) -> None:
    """Weights farther apart than a byte counts, in a layer of 400 inputs, and units without any."""
    example = untrained(Architecture("dnn", (30,)), protocol_for("dnn"), WIDE)
    first = torch.zeros(30, 400)
    first[3, [0, 256, 399]] = first[7, 399] = first[8, [255, 256]] = 0.5
    example = replace(example, parameters={**example.parameters, "layers.0.weight": first})
    storage = agrees(integers(example), example.images, tmp_path)
    assert [layer.form for layer in storage] == ["deltas", "dense"]
    nothing = replace(example, parameters={**example.parameters, "layers.0.weight": torch.zeros(30, 400)})
    agrees(integers(nothing), example.images, tmp_path)


@needs_compiler
@pytest.mark.parametrize("precision", ["w4a8", "int2"])
def test_fewer_bits(precision: str, trained: Train, tmp_path: Path) -> None:
    example = trained("dnn", 20, 20, precision=precision)
    agrees(integers(example), example.images, tmp_path)


@needs_compiler
@pytest.mark.parametrize(("family", "sizes", "epochs"), [("dnn", (50, 50), 15), ("cnn", (6,), 15), ("vit", (8,), 5)])
def test_floats_answer_as_the_plain_module(
    family: str, sizes: tuple[int, ...], epochs: int, trained: Train, tmp_path: Path
) -> None:
    example = trained(family, *sizes, precision="fp32", epochs=epochs)
    expected = example.logits()
    write_c(floats(example), tmp_path)
    answers, logits = printed(tmp_path, example.images)
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    np.testing.assert_array_equal(answers, expected.argmax(1))


@needs_compiler
def test_a_vit_of_8_bit_weights_answers_as_the_fake_quantized_one(trained: Train, tmp_path: Path) -> None:
    example = trained("vit", 8, epochs=5)
    network = floats(example)
    write_c(network, tmp_path)
    answers, logits = printed(tmp_path, example.images)
    expected = example.logits()
    steps = (logits - expected) / network.quantizers["head"].scale
    # A sum in another order may fall on the other side of a half, somewhere in the network.
    assert np.abs(steps).max() < 3
    assert (np.abs(steps) > 0.5).mean() < 0.01
    assert (answers != expected.argmax(1)).sum() <= 1


@needs_compiler
@pytest.mark.parametrize(("heads", "mlp_ratio", "blocks", "quantized"), [(2, 3, 1, False), (4, 1, 3, True)])
def test_unusual_vits(heads: int, mlp_ratio: int, blocks: int, quantized: bool, tmp_path: Path) -> None:
    """Images that no number of patches divides, several heads, a wider MLP, and a head with weights of one sign."""
    protocol = VitProtocol(heads=heads, mlp_ratio=mlp_ratio, blocks=blocks, grid=4)
    example = untrained(Architecture("vit", (8,)), protocol, RED)
    if not quantized:
        example = replace(example, quantizers={})
    network = floats(example)
    write_c(network, tmp_path)
    _, logits = printed(tmp_path, example.images)
    atol = 1.01 * network.quantizers["head"].scale if quantized else 2e-4
    np.testing.assert_allclose(logits, example.logits(), atol=atol)


@needs_compiler
def test_sparse_floats(trained: Train, tmp_path: Path) -> None:
    example = pruned(trained("dnn", 50, 50, precision="fp32"), 0.8)
    storage = write_c(floats(example), tmp_path)
    assert {layer.form for layer in storage} == {"bitmask"}
    np.testing.assert_allclose(printed(tmp_path, example.images)[1], example.logits(), atol=2e-5)


@needs_compiler
def test_the_network_needs_no_library(trained: Train, tmp_path: Path) -> None:
    assert COMPILER is not None
    for network in (integers(trained("cnn", 6)), floats(trained("vit", 8, epochs=5))):
        write_c(network, tmp_path)
        flags = ["-std=c99", "-Os", "-ffreestanding", "-nostdlib", "-shared", "-fPIC", "-Wl,--no-undefined"]
        command = [COMPILER, *flags, str(tmp_path / "model.c"), "-o", str(tmp_path / "model.so")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        included = [line for line in (tmp_path / "model.c").read_text().splitlines() if line.startswith("#include")]
        assert included == ['#include "model.h"']


@needs_compiler
def test_the_test_of_one_image_can_fail(trained: Train, tmp_path: Path) -> None:
    example = trained("cnn", 6)
    network = integers(example)
    write_c(network, tmp_path, image=example.images[5], title="A CNN */ of\ndigits.")
    done = subprocess.run([built(tmp_path, "model_test.c")], capture_output=True, text=True)
    answer = run(network, example.images[5:6]).argmax()
    assert done.stdout == f"answer {answer}, expected {answer}; largest difference of a logit 0\n"
    assert done.returncode == 0
    source = (tmp_path / "model.c").read_text()
    bias = source.split("layer_linear_bias[10] = {\n")[1].split(",")[0].strip()
    (tmp_path / "model.c").write_text(source.replace(bias, str(int(bias) + 100_000), 1))
    done = subprocess.run([built(tmp_path, "model_test.c")], capture_output=True, text=True)
    assert done.returncode == 1
    vit = trained("vit", 8, epochs=5)
    write_c(floats(vit), tmp_path, image=vit.images[0], logits=vit.logits()[0])
    assert subprocess.run([built(tmp_path, "model_test.c")], capture_output=True).returncode == 0


@needs_compiler
def test_compiled_and_run_from_python(trained: Train, tmp_path: Path) -> None:
    example = trained("cnn", 6)
    network = integers(example)
    write_c(network, tmp_path / "a folder")
    before = sorted(tmp_path.rglob("*"))
    found = compile_and_run(tmp_path / "a folder", example.images)
    assert found.reason == ""
    assert found.answers is not None
    np.testing.assert_array_equal(found.answers, run(network, example.images).argmax(1))
    none = compile_and_run(tmp_path / "a folder", example.images[:0])
    assert none.reason == ""
    assert none.answers is not None
    assert len(none.answers) == 0
    timed = measure(tmp_path / "a folder", example.images[0], times=20)
    assert timed.nanoseconds is not None
    assert timed.nanoseconds.shape == (20,)
    assert (timed.nanoseconds > 0).all()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_does_not_run_says_why(trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = trained("cnn", 6)
    write_c(integers(example), tmp_path)
    if COMPILER is not None:
        missing = compile_and_run(tmp_path / "nowhere", example.images)
        assert missing.reason.startswith("the C compiler failed (")
        (tmp_path / "model_run.c").write_text("int main(void) { for (;;) { } }")
        assert compile_and_run(tmp_path, example.images, seconds=2).reason.endswith("took more than 2 seconds")
        (tmp_path / "model_run.c").write_text("int main(void) { return *(volatile int *)0; }")
        assert compile_and_run(tmp_path, example.images).reason == "the compiled program was ended by signal 11"
        (tmp_path / "model_run.c").write_text("int main(void) { return 0; }")
        short = compile_and_run(tmp_path, example.images)
        assert short.reason == "the program printed 0 answers for 360 images"
    monkeypatch.setenv("PATH", str(tmp_path))
    found = compile_and_run(tmp_path, example.images)
    assert (found.answers, found.logits) == (None, None)
    assert found.reason == "there is no C compiler: none of cc, gcc, clang is on the path"
    assert measure(tmp_path, example.images[0]).reason == found.reason


def test_what_cannot_be_written_says_why(trained: Train, tmp_path: Path) -> None:
    example = trained("vit", 8, epochs=5)
    (tmp_path / "file").touch()
    with pytest.raises(MinarchError, match=r"cannot write .*file"):
        write_c(floats(example), tmp_path / "file")
    with pytest.raises(ValueError, match="needs the logits"):
        write_c(floats(example), tmp_path, image=example.images[0])
    wrong = {**example.parameters, "class_token": torch.full((8,), float("nan"))}
    with pytest.raises(MinarchError, match="class_token is not finite: the training diverged"):
        floats(replace(example, parameters=wrong))


def test_a_family_without_c_says_so(trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = floats(trained("vit", 8, epochs=5))
    monkeypatch.setitem(FAMILIES, "vit", replace(FAMILIES["vit"], c_program=None))
    with pytest.raises(MinarchError, match="no C is written of networks of the family vit"):
        write_c(network, tmp_path)
