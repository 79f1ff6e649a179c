from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from benchmarks.grids import GRIDS, Images, initial_states, load_images, reduced
from benchmarks.peers import DataLoaderLoop, EagerLoop, Peer, VmapReplicates
from generate.architectures import Architecture, ImageShape
from generate.engine.plain.modules import build_module
from generate.families import protocol_for
from generate.families.counts import parameter_count

CASES = [
    pytest.param(Architecture("dnn", (5, 10)), "mnist", id="dnn-mnist"),
    pytest.param(Architecture("cnn", (2,)), "cifar10", id="cnn-cifar10"),
    pytest.param(Architecture("vit", (4,)), "mnist", id="vit-mnist"),
    # 32x32 images are padded to 35x35.
    pytest.param(Architecture("vit", (4,)), "cifar10", id="vit-cifar10"),
]
REPLICATES, STEPS, BATCH = 3, 4, 20

PeerClass = Callable[[Architecture, ImageShape, Sequence[dict[str, torch.Tensor]], Images], Peer]


def jax_peer(*arguments: object) -> Peer:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    from benchmarks.peers_jax import JaxReplicates

    return JaxReplicates(*arguments)  # type: ignore[arg-type]


PEERS: dict[str, PeerClass] = {
    "eager": partial(EagerLoop, fused=False),
    "fused": partial(EagerLoop, fused=True),
    "loader": DataLoaderLoop,
    "vmap": VmapReplicates,
    "jax": jax_peer,
}


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> dict[str, Images]:
    monkeypatch.delenv("MINARCH_DATA", raising=False)
    return {name: load_images(name, images=200) for name in ("mnist", "cifar10")}


@pytest.mark.parametrize(("architecture", "dataset"), CASES)
@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_peer_computes_the_loss_of_the_module(
    peer: PeerClass, architecture: Architecture, dataset: str, data: dict[str, Images]
) -> None:
    images = data[dataset]
    image = GRIDS["cnn-mnist" if dataset == "mnist" else "cnn-cifar10"].image
    states = initial_states(architecture, image, REPLICATES)
    trained = peer(architecture, image, states, images)
    order = torch.randint(200, (STEPS, trained.models, BATCH), generator=torch.Generator().manual_seed(1))
    losses = trained.run(order)
    assert losses.shape == (trained.models,)
    expected = [plain_losses(architecture, image, states[r], images, order[:, r]) for r in range(trained.models)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-4)


def plain_losses(
    architecture: Architecture, image: ImageShape, state: dict[str, torch.Tensor], data: Images, order: torch.Tensor
) -> float:
    """Return the loss on the last minibatch after Adam steps by hand on the ones before."""
    module = build_module(architecture, image, protocol_for(architecture.family))
    module.load_state_dict(state)
    first = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    loss = torch.zeros(())
    for step, indices in enumerate(order, start=1):
        module.zero_grad()
        loss = F.cross_entropy(module((data.pixels[indices] / 255 - 0.5) / 0.5), data.labels[indices])
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for name, p in module.named_parameters():
                assert p.grad is not None
                first[name] = 0.9 * first[name] + 0.1 * p.grad
                second[name] = 0.999 * second[name] + 0.001 * p.grad**2
                root = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                p.sub_(1e-3 / (1 - 0.9**step) * first[name] / root)
    return loss.item()


def test_samples_stand_for_the_whole_grid() -> None:
    grid = GRIDS["narrow"]
    assert {(a.capacity, len(a.hidden_sizes)) for a, _ in grid.sample} == {
        (a.capacity, len(a.hidden_sizes)) for a in grid.architectures
    }
    assert {a.capacity for a, _ in grid.coarse} == {a.capacity for a in grid.architectures}
    for sample in (grid.sample, grid.coarse):
        assert sum(weight for _, weight in sample) == pytest.approx(1)
        assert {a for a, _ in sample} <= set(grid.architectures)
        parameters = [parameter_count(a, grid.image, grid.protocol) for a in grid.architectures]
        estimate = sum(weight * parameter_count(a, grid.image, grid.protocol) for a, weight in sample)
        assert estimate == pytest.approx(sum(parameters) / len(parameters), rel=0.05)


@pytest.mark.parametrize("name", list(GRIDS))
def test_reduced_grid_keeps_weights_that_sum_to_one(name: str) -> None:
    small = reduced(GRIDS[name])
    assert sum(weight for _, weight in small.sample) == pytest.approx(1)
    assert len(small.sample) <= 3
    assert small.architectures == GRIDS[name].architectures
