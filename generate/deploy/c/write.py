"""The files of a network in C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generate.deploy.c.network import FloatNetwork
from generate.deploy.c.program import Program, Storage, program
from generate.deploy.c.text import array, number
from generate.deploy.integer import IntegerNetwork, run
from store.files import faults

PARTS = Path(__file__).parent / "parts"
TYPES = {
    "integers": ("uint8_t", "int8_t", "int32_t"),
    "floats": ("float", "float", "float"),
    "mixed": ("float", "int8_t", "float"),
}
"""Of values, weights and sums."""
WORDS = {
    "integers": "All in integers: weights of 8 bits, sums of 32, levels of 8 between layers.",
    "floats": "All in floats.",
    "mixed": "In floats, with weights of 8 bits; outputs of linear layers are rounded to levels.",
}
FLOAT_TOLERANCE = 1e-3
"""By how much logits in floats may differ from those expected: sums are in another order."""


def write_c(
    network: IntegerNetwork | FloatNetwork,
    folder: Path,
    *,
    image: NDArray[np.uint8] | None = None,
    logits: NDArray[np.floating[Any]] | None = None,
    title: str = "A trained image classifier.",
) -> tuple[Storage, ...]:
    """Write a network as C99 into a folder, which is made where there is none; return how its weights are stored.

    `model.h` and `model.c` are the network; they need no library. `model_run.c` reads images from standard input and
    prints answers and logits; `model_test.c` tries one image.

    Args:
        network: `integer_network(...)`, or `float_network(...)`.
        folder: where to write.
        image: for `model_test.c`, uint8 [channels, height, width]; without one there is no such file.
        logits: what a network in floats is to return of it, [classes]. Of one in integers they are computed here.
        title: one line on top of the files.

    Raises:
        MinarchError: no C is known of the family; or a file cannot be written.
        ValueError: an image without logits for a network in floats.
    """
    written = program(network)
    files = {name: _render(name, written, title) for name in ("model.h", "model.c", "model_run.c")}
    if image is not None:
        files["model_test.c"] = _test(network, written, image, logits)
    with faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    return written.storage


def _test(
    network: IntegerNetwork | FloatNetwork,
    written: Program,
    image: NDArray[np.uint8],
    logits: NDArray[np.floating[Any]] | None,
) -> str:
    expected: NDArray[Any]
    tolerance = FLOAT_TOLERANCE
    if isinstance(network, IntegerNetwork):
        expected, tolerance = run(network, image[None])[0], 0.0
    elif logits is None:
        raise ValueError("a network in floats needs the logits that it is to return of the image")
    else:
        expected = np.asarray(logits, np.float32)
    if written.arithmetic == "mixed" and written.outputs is not None:
        tolerance = 1.01 * written.outputs.scale
    return _render(
        "model_test.c",
        written,
        image_constant=array("image", image),
        logits_constant=array("expected", expected),
        answer=int(expected.argmax()),
        tolerance=f"{tolerance:g}",
    )


def _render(name: str, written: Program, title: str = "", **more: object) -> str:
    # Imported here: only this needs it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(PARTS)
    rules = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": False}
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=False, **rules)  # type: ignore[arg-type]
    environment.filters["number"] = number
    value, weight, total = TYPES[written.arithmetic]
    text = environment.get_template(name).render(
        title=" ".join(title.split()).replace("*/", "* /"),
        description=WORDS[written.arithmetic],
        value=value,
        weight=weight,
        sum=total,
        weight_of=lambda place: _weight(place, written),
        arithmetic=written.arithmetic,
        image=written.image,
        memory=written.memory,
        cells=written.cells,
        storage=_lines(written.storage),
        parts=written.parts,
        late_parts=written.late_parts,
        tables=written.tables,
        constants=written.constants,
        body=written.body,
        inputs=written.inputs,
        outputs=written.outputs,
        **written.variables,
        **more,
    )
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _weight(place: str, written: Program) -> str:
    """Return the expression of a weight less what stands for 0."""
    if written.variables["shifted_weights"]:
        return f"((sum){place} - (sum)layer->to.weight_zero_point)"
    return f"(sum){place}"


def _lines(storage: tuple[Storage, ...]) -> list[str]:
    width = max(len(layer.name) for layer in storage)
    return [
        f"{layer.name:{width}}  {layer.form:7}  {layer.size:>8}"
        + (f"  (dense {layer.dense})" if layer.form != "dense" else "")
        for layer in storage
    ]
