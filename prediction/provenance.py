"""Provenance: the JSON beside a predictions file that says how it was made, so that it can be repeated."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.device import describe_device
from common.errors import InputError
from common.files import to_json, write_text
from common.torch_files import sha256
from models.checkpoint import versions
from prediction.options import AVERAGES, PLAIN, PRECISIONS, RUNTIMES
from prediction.pipeline import Pipeline
from prediction.runtimes import SUFFIXES, files_of
from prediction.views import VIEWS


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


def describe_pipeline(pipeline: Pipeline) -> dict[str, Any]:
    """Return everything that determines the numbers: checkpoints with hashes, views, averaging, versions.

    `fallback` is the category id that an unreadable image gets.
    """
    return {
        "checkpoints": [
            {
                "path": member.path.resolve().as_posix(),
                "sha256": member.sha256,
                "weight": member.weight,
                "temperature": member.checkpoint.temperature,
                "temperature_source": member.checkpoint.temperature_source,
            }
            for member in pipeline.members
        ],
        "fallback": pipeline.classes[pipeline.fallback_label].category_id,
        "views": list(pipeline.views),
        "average": pipeline.average,
        "runtime": pipeline.runtime,
        "precision": pipeline.computed_in,
        "asked_precision": pipeline.asked_precision,
        "device": describe_device(pipeline.device),
        "batch_size": pipeline.config.dataset.batch_size,
        "versions": versions(),
    }


def write_provenance(predictions: Path, facts: dict[str, Any]) -> None:
    """Write `facts` as the provenance of a predictions file."""
    write_text(provenance_path(predictions), to_json(facts))


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
    if not set(provenance.views) <= set(VIEWS) or provenance.average not in AVERAGES:
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


def check_hashes(provenance: Provenance, checkpoints: list[Path], predictions: Path) -> None:
    """Raise InputError if `checkpoints` are not exactly those that made the predictions (SHA-256, order)."""
    if len(checkpoints) != len(provenance.hashes):
        raise InputError(
            f"{predictions}: made with {len(provenance.hashes)} checkpoints, but {len(checkpoints)} were given."
        )
    for path, expected in zip(checkpoints, provenance.hashes, strict=True):
        if not path.is_file():
            named = path in provenance.checkpoints
            why = f"not found, although {provenance_path(predictions)} names it" if named else "no such checkpoint"
            raise InputError(f"{path}: {why}. Name the checkpoint that made {predictions}.")
        if sha256(*files_of(path)) != expected:
            raise InputError(
                f"{predictions}: was not made with {path} as it is now (its SHA-256 differs). Predict again."
            )
