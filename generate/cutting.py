"""What a worker does with a trained pack: prune its networks of phase 2, train some on, and return the store's rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from generate.architectures import Architecture
from generate.engine.choose import build_pack
from generate.engine.finetuning import FineTuned, fine_tune
from generate.engine.initialise import seed_sequence
from generate.engine.pack import Pack
from generate.engine.pruning import Order, WeightMethod, evaluate_pruned, pruning_order, weights_left
from generate.engine.training import Split, evaluate
from generate.families import family_named
from generate.plan import UNIT_PARAMETERS, Unit
from store.errors import MinarchError
from store.records import Pruned, PruningMethod


class Network(NamedTuple):
    """A pruned network: of which, how, what it is now, and which weights are held at zero if it is trained on."""

    model: int
    method: PruningMethod
    sparsity: float
    architecture: Architecture
    tensors: dict[str, Tensor]
    masks: dict[str, Tensor]

    @property
    def cut(self) -> tuple[int, PruningMethod, float]:
        """What it was pruned of, and how."""
        return self.model, self.method, self.sparsity

    @property
    def parameters(self) -> int:
        """Numbers in its tensors."""
        return sum(value.numel() for value in self.tensors.values())


class Metrics(NamedTuple):
    """What a pruned network is worth on the test images, and the weights it has left."""

    loss: float
    accuracy: float
    nonzero: int


class Cutting:
    """The networks of phase 2 of a trained pack, and what pruning does to them.

    Args:
        unit: what was trained, and how it is pruned.
        pack: holds the selected weights, and keeps them.
        split: what it was trained and is tested on.
        dataset: the name that seeds go by.
    """

    def __init__(self, unit: Unit, pack: Pack, split: Split, dataset: str) -> None:
        self._unit, self._split, self._dataset, self._image = unit, split, dataset, pack.image
        chosen = [model for model, cell in enumerate(unit.cells) if cell.architecture.in_phase_2]
        self._architectures = [pack.architectures[model] for model in chosen]
        if chosen and len(chosen) < len(unit.cells):
            pack = self._new_pack([(pack.architectures[model], pack.tensors(model)) for model in chosen])
        self._pack = pack

    def rows(self) -> tuple[Pruned, ...]:
        """Return a row per network, method and sparsity; the methods without retraining first."""
        if not self._architectures:
            return ()
        rows: list[Pruned] = []
        for method in self._unit.cuts.methods:
            if method == "units":
                rows += self._without_units()
            else:
                rows += self._without_weights(method)
        return (*rows, *self._trained_on())

    def network(self, method: PruningMethod, sparsity: float, epochs: int = 0) -> Network:
        """Return the network of the only model without this share of its weights or units, as in the rows.

        Its tensors are those after so many epochs of training on.

        Raises:
            MinarchError: there is no such network.
        """
        orders = [] if method == "units" else self._orders(method)
        found = list(self._smaller(sparsity) if method == "units" else self._masked(method, orders, sparsity))
        if not found:
            raise MinarchError(f"{self._unit.family}: no network is left without {100 * sparsity:g}% of its units")
        (network,) = found
        if not epochs:
            masks = network.masks
            kept = {name: value * masks[name] if name in masks else value for name, value in network.tensors.items()}
            return network._replace(tensors=kept)
        pack = self._new_pack([(network.architecture, network.tensors)])
        self._tune(pack, [network], epochs)
        return network._replace(tensors=pack.tensors(0))

    def _without_weights(self, method: WeightMethod) -> Iterator[Pruned]:
        images, labels, sparsities = self._split.test_images, self._split.test_labels, self._unit.cuts.sparsities
        found = evaluate_pruned(self._pack, images, labels, sparsities, self._orders(method))
        for model in range(len(self._architectures)):
            for at, sparsity in enumerate(found.sparsities):
                values = (found.loss[at, model], found.accuracy[at, model], found.nonzero[at, model])
                yield self._row((model, method, sparsity), _metrics(*values))

    def _without_units(self) -> Iterator[Pruned]:
        """Yield the rows of networks without units; where two shares come to the same network it is evaluated once."""
        networks = [n for sparsity in self._unit.cuts.sparsities for n in self._smaller(sparsity)]
        distinct = {(n.model, n.architecture): n for n in networks}
        found = {}
        for pack, members in self._packs(distinct.values()):
            loss, accuracy = evaluate(pack, self._split.test_images, self._split.test_labels)
            for at, network in enumerate(members):
                metrics = _metrics(loss[at], accuracy[at], weights_left(network.tensors))
                found[network.model, network.architecture] = metrics
        for network in networks:
            yield self._row(network.cut, found[network.model, network.architecture])

    def _trained_on(self) -> Iterator[Pruned]:
        finetuning = self._unit.cuts.finetuning
        if finetuning is None:
            return
        networks: list[Network] = []
        for method in finetuning.methods:
            orders = [] if method == "units" else self._orders(method)
            for sparsity in finetuning.sparsities:
                networks += self._smaller(sparsity) if method == "units" else self._masked(method, orders, sparsity)
        for pack, members in self._packs(networks):
            tuned = self._tune(pack, members, finetuning.epochs)
            for at, network in enumerate(members):
                metrics = _metrics(tuned.loss[at], tuned.accuracy[at], weights_left(pack.tensors(at)))
                yield self._row(network.cut, metrics, finetuning.epochs)

    def _tune(self, pack: Pack, networks: Sequence[Network], epochs: int) -> FineTuned:
        """Train a pack of pruned networks on, what was pruned held at zero."""
        if any(network.masks for network in networks):
            pack.hold([network.masks for network in networks])
        dataset, replicate = self._dataset, self._unit.replicate
        return fine_tune(pack, self._split, epochs=epochs, dataset=dataset, replicate=replicate)

    def _orders(self, method: WeightMethod) -> list[Order]:
        seed = self._unit.protocol.training.seed
        orders = []
        for model, architecture in enumerate(self._architectures):
            purpose = f"random pruning {architecture.family} {architecture.hidden_sizes}"
            seeds = seed_sequence(seed=seed, dataset=self._dataset, replicate=self._unit.replicate, purpose=purpose)
            orders.append(pruning_order(method, self._pack.tensors(model), np.random.default_rng(seeds)))
        return orders

    def _masked(self, method: WeightMethod, orders: Sequence[Order], sparsity: float) -> Iterator[Network]:
        for model, (architecture, order) in enumerate(zip(self._architectures, orders, strict=True)):
            yield Network(model, method, sparsity, architecture, self._pack.tensors(model), order.masks(sparsity))

    def _smaller(self, share: float) -> Iterator[Network]:
        """Yield the networks without a share of their units: none at 1, nor where units cannot be removed."""
        without = family_named(self._unit.family).without_units
        if without is None or share == 1:
            return
        for model, architecture in enumerate(self._architectures):
            sizes, tensors = without(self._pack.tensors(model), share)
            yield Network(model, "units", share, Architecture(architecture.family, sizes), tensors, {})

    def _packs(self, networks: Iterable[Network]) -> Iterator[tuple[Pack, list[Network]]]:
        """Yield packs of some of the networks at a time, few enough to stay in the cache together."""
        members: list[Network] = []
        for network in networks:
            if members and sum(n.parameters for n in members) + network.parameters > UNIT_PARAMETERS:
                yield self._new_pack([(n.architecture, n.tensors) for n in members]), members
                members = []
            members.append(network)
        if members:
            yield self._new_pack([(n.architecture, n.tensors) for n in members]), members

    def _new_pack(self, networks: Sequence[tuple[Architecture, dict[str, Tensor]]]) -> Pack:
        unit, image = self._unit, self._image
        architectures = [architecture for architecture, _ in networks]
        pack = build_pack(architectures, image, unit.protocol, engine=unit.engine, device=unit.device)
        for model, (_, tensors) in enumerate(networks):
            pack.load(model, tensors)
        pack.refresh()
        return pack

    def _row(self, cut: tuple[int, PruningMethod, float], metrics: Metrics, epochs: int = 0) -> Pruned:
        model, method, sparsity = cut
        return Pruned(
            run_id=self._unit.run_id(self._architectures[model]),
            sparsity=sparsity,
            test_accuracy=metrics.accuracy,
            test_loss=metrics.loss,
            nonzero=metrics.nonzero,
            method=method,
            finetune_epochs=epochs,
        )


def _metrics(loss: float, accuracy: float, nonzero: int) -> Metrics:
    """Return metrics as plain numbers."""
    return Metrics(float(loss), float(accuracy), int(nonzero))
