"""flower_cli.py instant: a calibrated model in minutes, without training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_data_of, check_folder, check_labels, check_run, name_keys_of_training
from common.errors import InputError

if TYPE_CHECKING:
    from tools.instant import InstantModel

# keys that this command sets itself
_FLAG_OF = {"output_dir": "--output", "model.head": "--heads"}

HELP = "a calibrated checkpoint in minutes without training: the best head on a frozen backbone, and the best backbone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--heads", help="of model.head, with commas (default: all)")
    parser.add_argument("--backbones", metavar="A,B", help="options of model= to rank (default: the one of model=)")
    parser.add_argument("--data", type=Path, help="measure the best model on this table or prepared folder")
    parser.add_argument("--output", type=Path, default=Path("results/instant"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print a table per backbone, then the ranking, and write each best_model.pt."""
    from configs.compose import compose
    from configs.options import HEADS, check_heads

    for text in overrides:
        key = text.partition("=")[0]
        if key in _FLAG_OF:
            raise InputError(f"{text}: {key} has no effect here. Give {_FLAG_OF[key]}.")
    heads = arguments.heads.split(",") if arguments.heads else HEADS
    backbones = arguments.backbones.split(",") if arguments.backbones else [None]
    configs = [
        compose(
            "config",
            [
                *overrides,
                *([] if backbone is None else [f"model={backbone}"]),
                f"output_dir={arguments.output if backbone is None else arguments.output / backbone}",
            ],
            allow_unused=True,
        )
        for backbone in backbones
    ]
    check_heads(heads)
    if len(configs) == 1:
        check_run(configs[0])
    else:
        # a backbone whose weights are not there is left out of the ranking
        check_folder(arguments.output)
        check_data_of(configs[0])
    check_labels(arguments.data)
    name_keys_of_training(overrides)

    from tools.instant import rank_backbones

    found, failed = rank_backbones(configs, heads, lambda model: print("\n".join(describe(model)), flush=True))
    lines = describe_ranking(found, failed) if len(configs) > 1 else []
    print("\n".join([*lines, f"Best model: {found[0].path}"]))
    if arguments.data is not None:
        print("\n".join(_measured(found[0].path, arguments.data)))
    return 0


def _measured(path: Path, data: Path) -> list[str]:
    from cli.evaluate_text import describe_evaluation
    from evaluation.evaluate import evaluate
    from prediction.options import LABELLED_KEYS
    from prediction.pipeline import load_pipeline

    return describe_evaluation(evaluate(load_pipeline([path], keys=LABELLED_KEYS), None, data))


def describe(found: InstantModel) -> list[str]:
    """Return the table of heads, the choice, and its calibration."""
    lines = [f"{found.model}: {found.images} images, frozen {found.architecture}"]
    if found.unreadable:
        lines.append(f"  warning: {found.unreadable} images could not be read: left out")
    for score in found.scores:
        low, high = (100 * bound for bound in score.interval)
        lines.append(
            f"  {score.head:<13} {100 * score.top1:6.2f} %  (95 %: {low:.2f} to {high:.2f})  "
            f"{score.features} features, {score.seconds:.0f} s"
        )
    lines += [f"  {head:<13} not there: {why}" for head, why in found.missing.items()]
    lines.append(
        f"  best: {found.best.head}, C={found.regularisation:g}, {found.parameters / 1e6:.1f} M parameters, "
        f"{found.megabytes:.1f} MB; its lead flatters a little, because it was chosen among {len(found.scores)}"
    )
    if found.calibration is None:
        return [*lines, "  too few images to fit a temperature"]
    return [
        *lines,
        f"  calibration error {100 * found.calibration.error_before:.2f} % before, "
        f"{100 * found.calibration.error_after:.2f} % with the temperature {found.calibration.temperature:.3f}",
    ]


def describe_ranking(found: list[InstantModel], failed: dict[str, str]) -> list[str]:
    """Return the backbones, the best first, and those that could not be had."""
    lines = ["backbones by out-of-fold top-1:"]
    lines += [
        f"  {model.model:<28} {100 * model.best.top1:6.2f} %  {model.best.head:<13} {model.megabytes:7.1f} MB"
        for model in found
    ]
    return [*lines, *(f"  {name:<28} not measured: {why}" for name, why in failed.items())]
