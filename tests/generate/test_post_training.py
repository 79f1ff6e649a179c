"""Quantization after training against torch.ao's own: observers, rounding, and models converted to integers."""

from __future__ import annotations

import functools
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generate import worker
from generate.architectures import Architecture
from generate.datasets import Dataset
from generate.driver import run_sweep
from generate.engine.choose import EngineChoice, build_pack
from generate.engine.initialise import initial_tensors
from generate.engine.pack import Pack, normalise
from generate.engine.plain.integer import qnnpack
from generate.engine.plain.modules import build_module
from generate.engine.post_training import evaluate_quantized, fitted_quantizers, observed_ranges
from generate.engine.quantize.rows import FIRST, SCALE, ZERO_POINT
from generate.engine.training import split_data, train
from generate.families import protocol_for
from generate.plan import Request, make_plan
from generate.protocol import Training
from generate.provenance import new_invocation
from store.precisions import WEIGHT_BITS, Bits
from store.results import Store

pytest.importorskip("torch.ao.quantization", reason="this PyTorch has no torch.ao")
from torch.ao import quantization

from tests.generate.quantized_reference import EIGHT, named_quantizers, post_training_configuration, quantized

SIZES: dict[str, list[tuple[int, ...]]] = {"dnn": [(5,), (20, 10)], "cnn": [(2,), (6,)], "vit": [(2,), (8,)]}
TRAINING = Training(epochs=8)


@functools.cache
def trained(family: str, dataset: Dataset) -> Pack:
    """Return networks in fp32, trained on digits."""
    architectures, protocol = [Architecture(family, sizes) for sizes in SIZES[family]], protocol_for(family, TRAINING)
    pack = build_pack(architectures, dataset.image, protocol)
    for model, architecture in enumerate(architectures):
        pack.load(model, initial_tensors(architecture, dataset.image, protocol, dataset="digits", replicate=0))
    pack.refresh()
    data = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    train(pack, split_data(*data, TRAINING, dataset="digits", replicate=0), dataset="digits", replicate=0)
    return pack


def to_quantize(pack: Pack, engine: EngineChoice) -> Pack:
    """Return a pack of the same networks under fake quantization."""
    some = build_pack(pack.architectures, pack.image, pack.protocol, engine=engine, bits=EIGHT)
    for model in range(len(pack.architectures)):
        some.load(model, pack.tensors(model))
    some.refresh()
    return some


def observed_oracle(pack: Pack, model: int, bits: Bits, calibration: Tensor) -> Any:
    """Return torch.ao's model, whose observers have seen the images while nothing was rounded, and which now rounds."""
    architecture = pack.architectures[model]
    module = build_module(architecture, pack.image, pack.protocol)
    module.load_state_dict(pack.tensors(model))
    oracle = quantized(module, architecture, pack.image, post_training_configuration(bits))
    oracle.apply(quantization.disable_fake_quant)
    with torch.no_grad():
        for some in torch.split(normalise(calibration, pack.training), 130):
            oracle(some)
    oracle.apply(quantization.disable_observer)
    oracle.apply(quantization.enable_fake_quant)
    return oracle


@pytest.mark.parametrize("engine", ["kernel", "torch"])
@pytest.mark.parametrize("family", list(SIZES))
def test_models_answer_as_torch_aos_with_the_same_observers(family: str, engine: EngineChoice, digits: Dataset) -> None:
    pack, calibration = trained(family, digits), digits.train_images[:1000]
    some = to_quantize(pack, engine)
    found = evaluate_quantized(some, calibration, digits.test_images, digits.test_labels)
    assert found.weight_bits == (8, 6, 4)
    for row, weight_bits in enumerate(found.weight_bits):
        bits = Bits(weight_bits, 8)
        for model, architecture in enumerate(pack.architectures):
            oracle = observed_oracle(pack, model, bits, calibration)
            ours = fitted_quantizers(observed_ranges(some, model, calibration), bits)
            for name, quantizer in zip(some.quantizers(model), ours, strict=True):
                theirs = named_quantizers(architecture.family, oracle)[name]
                assert (quantizer[SCALE], quantizer[ZERO_POINT]) == (theirs.scale.item(), theirs.zero_point.item())
                levels = (theirs.activation_post_process.quant_min, theirs.activation_post_process.quant_max)
                assert tuple(quantizer[FIRST:]) == levels
            with torch.no_grad():
                logits = oracle(normalise(digits.test_images, pack.training))
            loss = F.cross_entropy(logits, digits.test_labels).item()
            accuracy = float((logits.argmax(1) == digits.test_labels).double().mean())
            # A value on the edge between two levels may go to either in the kernels.
            assert found.loss[row, model] == pytest.approx(loss, rel=1e-6 if engine == "torch" else 3e-3)
            assert found.accuracy[row, model] == pytest.approx(accuracy, abs=0 if engine == "torch" else 1.5 / 360)
    for model in range(len(pack.architectures)):
        for name, value in pack.tensors(model).items():
            assert torch.equal(some.tensors(model)[name], value)


def test_fewer_bits_lose_more(digits: Dataset) -> None:
    pack = trained("vit", digits)
    whole = pack.evaluate(digits.test_images, digits.test_labels).loss / 360
    found = evaluate_quantized(
        to_quantize(pack, "auto"), digits.train_images[:1000], digits.test_images, digits.test_labels, (8, 4, 2)
    )
    gap = np.abs(found.loss - whole.numpy()).mean(axis=1)
    assert gap[0] < gap[1] < gap[2]
    assert (found.seconds > 0).all()


def sequential(family: str, module: Any) -> nn.Sequential:
    """Return the network as eager mode wants it, from quantized input to float output, and its layers fused."""
    if family == "dnn":
        parts = [part for layer in module.layers for part in (layer, nn.ReLU())][:-1]
        model = nn.Sequential(quantization.QuantStub(), nn.Flatten(), *parts, quantization.DeQuantStub())
        pairs = [[f"{2 + 2 * k}", f"{3 + 2 * k}"] for k in range(len(module.layers) - 1)]
    else:
        parts = [module.convolution, nn.ReLU(), nn.Flatten(), module.linear]
        model, pairs = nn.Sequential(quantization.QuantStub(), *parts, quantization.DeQuantStub()), [["1", "2"]]
    toolbox: Any = quantization
    fused: nn.Sequential = toolbox.fuse_modules(model.eval(), pairs)
    return fused


@pytest.mark.parametrize("family", ["dnn", "cnn"])
def test_eight_bits_are_those_of_prepare_and_convert(family: str, digits: Dataset) -> None:
    """The converted model computes in integers with QNNPACK; torch.ao has no such kernels for all of the ViT."""
    pack, calibration = trained(family, digits), digits.train_images[:1000]
    some = to_quantize(pack, "auto")
    toolbox: Any = quantization
    found = evaluate_quantized(some, calibration, digits.test_images, digits.test_labels, (8,))
    for model, architecture in enumerate(pack.architectures):
        module = build_module(architecture, pack.image, pack.protocol)
        module.load_state_dict(pack.tensors(model))
        with qnnpack(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            oracle: Any = sequential(family, module)
            observer: Any = toolbox.MinMaxObserver.with_args(dtype=torch.quint8)
            oracle.qconfig = toolbox.QConfig(activation=observer, weight=toolbox.default_weight_observer)
            toolbox.prepare(oracle, inplace=True)
            oracle(normalise(calibration, pack.training))
            converted: Any = toolbox.convert(oracle)
            logits = converted(normalise(digits.test_images, pack.training))
        layers = [layer for layer in converted if hasattr(layer, "weight")]
        names = [name for name in some.quantizers(model) if f"{name}.weight" in some.quantizers(model)]
        rows = some.quantizers(model)
        assert (float(rows["input"][SCALE]), int(rows["input"][ZERO_POINT])) == (
            converted[0].scale.item(),
            converted[0].zero_point.item(),
        )
        for name, layer in zip(names, layers, strict=True):
            assert float(rows[f"{name}.weight"][SCALE]) == np.float32(layer.weight().q_scale())
            assert float(rows[name][SCALE]) == np.float32(layer.scale)
            assert int(rows[name][ZERO_POINT]) == layer.zero_point
        accuracy = float((logits.argmax(1) == digits.test_labels).double().mean())
        assert found.accuracy[0, model] == pytest.approx(accuracy, abs=0.0084), architecture  # 3 images of 360


@pytest.mark.parametrize("engine", ["kernel", "torch"])
def test_a_diverged_model_has_no_loss(engine: EngineChoice, digits: Dataset) -> None:
    for family in SIZES:
        some = to_quantize(trained(family, digits), engine)
        next(iter(some.tensors(1).values())).fill_(float("nan"))
        some.refresh()
        data = (digits.train_images[:50], digits.test_images, digits.test_labels)
        loss = evaluate_quantized(some, *data).loss
        assert np.isfinite(loss[:, 0]).all()
        assert np.isnan(loss[:, 1]).all()


def test_rounding_takes_float32_where_products_are_in_bf16(digits: Dataset) -> None:
    for family in SIZES:
        exact = to_quantize(trained(family, digits), "torch")
        protocol = protocol_for(family, Training(compute="bf16"))
        rough = build_pack(exact.architectures, exact.image, protocol, bits=EIGHT)
        for model in range(len(exact.architectures)):
            rough.load(model, exact.tensors(model))
        data = (digits.train_images[:1000], digits.test_images, digits.test_labels)
        expected, found = (evaluate_quantized(pack, *data, (8,)).loss for pack in (exact, rough))
        assert not np.array_equal(expected, found)
        np.testing.assert_allclose(found, expected, rtol=0.05)
        tally = rough.step(digits.train_images[:100], digits.train_labels[:100])
        assert bool(tally.loss.isfinite().all())


class Inline:
    """Workers that run each task at once in this process."""

    slots = 1

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future

    def stop(self) -> None:
        pass


def test_every_fp32_run_of_phase_2_is_quantized_by_the_first_training_images(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def spy(pack: Pack, calibration: Tensor, images: Tensor, labels: Tensor) -> Any:
        seen.append(calibration)
        return evaluate_quantized(pack, calibration, images, labels)

    monkeypatch.setattr(worker, "evaluate_quantized", spy)
    request = Request(phase="all", families=("dnn",), capacities=(2, 5), depths=(2,), epochs=2, repeats=2)
    plan = make_plan(request, [("digits", digits)], frozenset())
    store = Store(tmp_path / "s.duckdb")
    run_sweep(plan.units, store, Inline(), new_invocation())
    rows = store.query(
        "SELECT r.capacity, r.replicate, list(p.weight_bits ORDER BY weight_bits DESC), any_value(p.activation_bits),"
        " min(p.test_accuracy) >= 0, min(p.test_loss) > 0, min(p.seconds) > 0 FROM post_training p"
        " JOIN runs r USING (run_id) SEMI JOIN equal_widths USING (run_id) WHERE r.precision = 'fp32'"
        " GROUP BY ALL ORDER BY ALL"
    ).rows()
    assert rows == [(c, r, list(WEIGHT_BITS), 8, True, True, True) for c in (2, 5) for r in (0, 1)]
    assert store.query("SELECT count(*) FROM post_training").item() == 4 * len(WEIGHT_BITS)
    assert seen
    assert all(torch.equal(images, digits.train_images[:1000]) for images in seen)
