"""Vision transformers as C, in floats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np

from generate.deploy.c.network import FloatBuilder, FloatNetwork
from generate.deploy.c.program import Program, declare, reading
from generate.deploy.c.text import array, identifier, structure
from generate.deploy.layers import Shape
from generate.engine.plain.vit import sine_positions
from generate.families.vit import VitProtocol

HEAD, FINAL_NORM = "head", "norm"


def program(network: FloatNetwork) -> Program:
    """Return a vision transformer as C.

    Of the last block only the class token's row is computed: nothing else reaches the logits.
    """
    protocol, given = cast(VitProtocol, network.protocol), network.parameters
    grid = protocol.patches(network.image)
    width, tokens, inner = len(given["class_token"]), grid.patches + 1, len(given["blocks.0.expand.bias"])
    builder = FloatBuilder(given, network.quantizers)
    names = [name.removesuffix(".weight") for name, value in given.items() if value.ndim == 2]
    layers = [
        builder.layer("linear", name, entering="", shapes=(Shape(columns), Shape(rows)))
        for name in names
        for rows, columns in (given[f"{name}.weight"].shape,)
    ]
    declared = declare(layers, network.arithmetic)
    norms = [name.removesuffix(".weight") for name in given if "norm" in name and name.endswith(".weight")]
    constants = [line for name in norms for line in _norm(network, name)]
    positions = sine_positions(tokens, width).numpy()
    constants.append(array("first_token", (given["class_token"] + positions[0]).astype(np.float32)))
    constants.append(array("later_positions", positions[1:]))
    patch = grid.patch_height * grid.patch_width * network.image.channels
    # Tokens; their queries, keys and values, or a patch; two rows of one token; how a token shares its attention.
    joint = tokens * width
    first = joint + max(3 * tokens * width, patch)
    second = first + max(width, inner)
    shares = second + max(width, inner)
    places = {"joint": joint, "first": first, "second": second, "shares": shares}
    body = ["float *tokens = memory;", *(f"float *{name} = memory + {place};" for name, place in places.items()), ""]
    body.append("embed(image, joint, tokens);")
    for block in range(protocol.blocks):
        renewed = tokens if block < protocol.blocks - 1 else 1
        body += _block(f"blocks.{block}", declared.calls, (tokens, renewed), (width, inner))
    body += [f"normalise(&{identifier(FINAL_NORM)}, tokens, first);", f"{declared.calls[HEAD]}, first, logits);"]
    sizes = {"GRID": grid.side, "PATCH_HEIGHT": grid.patch_height, "PATCH_WIDTH": grid.patch_width}
    sizes |= {"WIDTH": width, "HEADS": protocol.heads, "TOKENS": tokens}
    read = reading(network, HEAD)
    return Program(
        arithmetic=network.arithmetic,
        image=network.image,
        parts=(network.arithmetic, *declared.parts, "transformer"),
        tables=("\n".join(f"#define {name} {size}" for name, size in sizes.items()), *read.tables),
        constants=(*declared.constants, *constants),
        late_parts=("embedding",),
        body=tuple(body),
        cells=shares + tokens,
        storage=declared.storage,
        inputs=read.inputs,
        outputs=read.outputs,
        variables={
            **declared.variables,
            **read.variables,
            "attention_scale": 1 / math.sqrt(width // protocol.heads),
            "embedding_call": declared.calls["embedding"],
        },
    )


def _norm(network: FloatNetwork, name: str) -> list[str]:
    weights, bias = network.parameters[f"{name}.weight"], network.parameters[f"{name}.bias"]
    own = identifier(name)
    members = {"width": str(len(bias)), "weights": f"{own}_weights", "bias": f"{own}_bias"}
    return [array(f"{own}_weights", weights), array(f"{own}_bias", bias), structure("norm", own, members)]


def _block(at: str, calls: Mapping[str, str], rows: tuple[int, int], sizes: tuple[int, int]) -> list[str]:
    """Return the statements of a block that reads `rows[0]` tokens and renews the first `rows[1]`."""
    (tokens, renewed), (width, inner), own = rows, sizes, identifier(at)
    return [
        f"for (uint32_t i = 0; i < {tokens}; i++) {{",
        f"    normalise(&{own}_norm1, tokens + {width} * i, first);",
        f"    {calls[f'{at}.query_key_value']}, first, joint + {3 * width} * i);",
        "}",
        f"for (uint32_t i = 0; i < {renewed}; i++) {{",
        f"    float *token = tokens + {width} * i;",
        "",
        "    attend(joint, i, shares, first);",
        f"    {calls[f'{at}.projection']}, first, second);",
        f"    add(second, token, {width});",
        f"    normalise(&{own}_norm2, token, first);",
        f"    {calls[f'{at}.expand']}, first, second);",
        f"    gelu(second, {inner});",
        f"    {calls[f'{at}.contract']}, second, first);",
        f"    add(first, token, {width});",
        "}",
    ]
