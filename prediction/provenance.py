"""Provenance: the JSON beside a predictions file that says how it was made, so that it can be repeated."""

from pathlib import Path
from typing import Any

from common.device import describe_device
from common.errors import InputError
from common.files import to_json, write_text
from common.torch_files import sha256
from models.checkpoint import versions
from prediction.pipeline import Pipeline
from prediction.recorded import Provenance, check_recorded, provenance_path
from prediction.runtime_packages import files_of


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


def check_hashes(provenance: Provenance, checkpoints: list[Path], predictions: Path) -> None:
    """Raise InputError if `checkpoints` are not exactly those that made the predictions (SHA-256, order)."""
    check_recorded(provenance, checkpoints, predictions)
    for path, expected in zip(checkpoints, provenance.hashes, strict=True):
        if sha256(*files_of(path)) != expected:
            raise InputError(
                f"{predictions}: was not made with {path} as it is now (its SHA-256 differs). Predict again."
            )
