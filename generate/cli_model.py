"""The command `generate model`: the network of a run as files."""

from __future__ import annotations

from typing import Any

import click

from generate.cuts import METHODS
from generate.deploy.options import LIMITS, model_options
from generate.requirements import require_deployment, require_training


@click.command()
@model_options
def model(**options: Any) -> None:
    """Write the network itself: trained again from its run, as ONNX, PyTorch and C, with a card that says what it is.

    Of the network that `analyze recommend` names, the replicate with the highest validation accuracy; or any run by
    its id. A store keeps results and no weights: the run is trained again, and its accuracy compared with the stored
    one. Every file is run over the whole test set before the command ends. The folder appears whole or not at all.

    \b
    Examples:
      generate model --recommended --dataset mnist --data-dir data --out model
      generate model --run 0123456789abcdef --sparsity 0.5 --out pruned
    """
    context = click.get_current_context()
    recommended, run_id, out = options.pop("recommended"), options["run_id"], options["out"]
    if recommended == (run_id is not None):
        raise click.UsageError("give either --recommended or --run ID", context)
    options["limits"] = {name: value for name in LIMITS if (value := options.pop(name.replace("-", "_"))) is not None}
    if run_id is not None:
        for option, given in {
            **{f"--{name}": True for name in options["limits"]},
            "--family": options["family"],
            "--guess": options["guess"],
            "--precision": options["precision"],
        }.items():
            if given:
                raise click.UsageError(f"{option} goes with --recommended; a run has its own", context)
    if options["finetune_epochs"] and not options["sparsity"]:
        raise click.UsageError("--finetune goes with --sparsity S", context)
    if options["method"] and not options["sparsity"]:
        raise click.UsageError("--method goes with --sparsity S", context)
    options["precision"] = options["precision"] or "fp32"
    options["method"] = options["method"] or METHODS[0]
    options["finetune_epochs"] = options["finetune_epochs"] or 0
    require_training()
    require_deployment()
    from generate.deploy.command import ModelRequest, make_model

    make_model(ModelRequest(store=options.pop("store_path"), **{**options, "out": out}))
