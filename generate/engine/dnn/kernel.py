"""One training step, or one evaluation, of many fully connected ReLU networks, model after model in one call.

All models read the same minibatch, which therefore stays in the cache. `layout` says what lies where.
"""

from __future__ import annotations

from typing import Any

from generate.engine.dnn.backward import backward
from generate.engine.dnn.forward import cross_entropy, forward
from generate.engine.dnn.layout import (
    BOOL,
    DOUBLES,
    FLOATS,
    INT,
    INTS,
    LAYERS,
    OUTPUTS,
    STATE,
    VOID,
    WORK,
)
from generate.engine.simd.adam import ADAM
from generate.engine.simd.compile import kernel


@kernel(VOID(STATE, LAYERS, INTS, FLOATS, FLOATS, INT, INTS, WORK, ADAM, BOOL, DOUBLES, INTS))
def train_step(
    state: Any,
    layers: Any,
    first: Any,
    columns: Any,
    image_rows: Any,
    lanes: int,
    labels: Any,
    work: Any,
    adam: Any,
    quantized: bool,
    loss: Any,
    correct: Any,
) -> None:
    """Take one Adam step of every model; write summed loss and correct answers, before the step, per model.

    `columns` is the minibatch [values, lanes], `image_rows` the same [images, row of the first layer], zero-padded.
    """
    number = len(labels)
    for m in range(len(first) - 1):
        begin, end = first[m], first[m + 1]
        logits = forward(state, layers, begin, end, columns, number, lanes, work, quantized, quantized)
        classes = layers[end - 1, OUTPUTS]
        loss[m], answers = cross_entropy(work.hidden, logits, classes, lanes, labels, number, work.delta)
        correct[m] = int(answers)
        backward(state, layers, begin, end, image_rows, number, lanes, logits, work, adam, quantized)


@kernel(VOID(STATE, LAYERS, INTS, FLOATS, INT, INTS, WORK, BOOL, DOUBLES, INTS))
def evaluate(
    state: Any,
    layers: Any,
    first: Any,
    columns: Any,
    lanes: int,
    labels: Any,
    work: Any,
    quantized: bool,
    loss: Any,
    correct: Any,
) -> None:
    """Add every model's summed loss and correct answers on images [values, lanes] to `loss` and `correct`."""
    number = len(labels)
    for m in range(len(first) - 1):
        begin, end = first[m], first[m + 1]
        logits = forward(state, layers, begin, end, columns, number, lanes, work, quantized, False)
        classes = layers[end - 1, OUTPUTS]
        whole, answers = cross_entropy(work.hidden, logits, classes, lanes, labels, number, work.delta)
        loss[m] += whole
        correct[m] += int(answers)
