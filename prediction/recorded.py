"""What a prediction left behind: how it was made, as the JSON beside it says, and probabilities. Nothing heavy."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from prediction.options import AVERAGES, PLAIN, PRECISIONS, RUNTIMES
from prediction.runtime_packages import SUFFIXES
from prediction.view_names import NAMES


@dataclass(frozen=True)
class Provenance:
    """How predictions were made; `input` is None for single files.

    `runtime` is the one into which .pt files are converted when loaded; `precision` is None if the device chooses it.
    """

    checkpoints: list[Path]
    hashes: list[str]
    weights: list[float]
    views: tuple[str, ...]
    average: str
    runtime: str
    precision: str | None
    input: Path | None


def provenance_path(predictions: Path) -> Path:
    """Return the path of the provenance of a predictions file."""
    return predictions.with_suffix(".json")


def read_provenance(predictions: Path) -> Provenance | None:
    """Return the provenance of a predictions file; None if it has none, or one without checkpoints.

    Raises InputError if it is damaged.
    """
    path = provenance_path(predictions)
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        checkpoints = [Path(entry["path"]) for entry in facts["checkpoints"]]
        provenance = Provenance(
            checkpoints=checkpoints,
            hashes=[str(entry["sha256"]) for entry in facts["checkpoints"]],
            weights=[float(entry.get("weight", 1)) for entry in facts["checkpoints"]],
            views=tuple(facts.get("views", PLAIN)),
            average=facts.get("average", AVERAGES[0]),
            runtime=_runtime_of(facts, checkpoints),
            precision=_precision_of(facts),
            input=Path(facts["input"]) if facts.get("input") else None,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not the provenance that inference.py writes. Predict again.") from error
    if not set(provenance.views) <= set(NAMES) or provenance.average not in AVERAGES:
        raise InputError(f"{path}: names views that this kit does not have. Predict again.")
    return provenance if provenance.checkpoints else None


def _runtime_of(facts: dict[str, Any], checkpoints: list[Path]) -> str:
    converted = any(path.suffix.lower() not in SUFFIXES for path in checkpoints)
    return facts["runtime"] if converted and facts.get("runtime") in RUNTIMES else RUNTIMES[0]


def _precision_of(facts: dict[str, Any]) -> str | None:
    """Return the precision given by hand, or fp32 if the device chose that; other choices are left to each device."""
    asked = facts.get("asked_precision")
    if asked in PRECISIONS:
        return asked
    return "fp32" if facts.get("precision") == PRECISIONS["fp32"] else None


def check_recorded(provenance: Provenance, checkpoints: Sequence[Path], predictions: Path) -> None:
    """Raise InputError if `checkpoints` are not as many as made the predictions, or one is not there."""
    if len(checkpoints) != len(provenance.hashes):
        raise InputError(
            f"{predictions}: made with {len(provenance.hashes)} checkpoints, but {len(checkpoints)} were given."
        )
    for path in checkpoints:
        if not path.is_file():
            named = path in provenance.checkpoints
            why = f"not found, although {provenance_path(predictions)} names it" if named else "no such checkpoint"
            raise InputError(f"{path}: {why}. Name the checkpoint that made {predictions}.")


def check_probabilities(path: Path) -> None:
    """Raise InputError if there is no such file of saved probabilities."""
    if not path.is_file():
        raise InputError(f"{path}: no such file. inference.py saves probabilities when it is told to.")
