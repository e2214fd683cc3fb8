"""What evaluate.py recorded of a run's model."""

import json
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.torch_files import sha256

FOLDER = "evaluation"


def recorded_metrics(checkpoint: Path) -> dict[str, Any] | None:
    """Return the metrics.json of the run of a `best_model.pt`, None if it is missing or of another model.

    Raises InputError if it is damaged.
    """
    path = checkpoint.parent.parent / FOLDER / "metrics.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        hashes = [entry["sha256"] for entry in found["checkpoints"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: damaged. Write it again with python evaluate.py, or move it away.") from error
    return found if hashes == [sha256(checkpoint)] else None
