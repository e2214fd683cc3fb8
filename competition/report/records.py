"""Finding the records that belong to a run: in its folder, beside it, or in the folder of its contest run."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.torch_files import sha256
from training.run_folder import RunFolder

# name: the folder or file that the command writes, and the file of it that is read
_PLACES = {
    "evaluation": ("evaluation", "metrics.json"),
    "ablation": ("ablation", "ablation.csv"),
    "tune": ("tune", "trials.csv"),
    "budget": ("budget", "budget.json"),
    "folds": ("oof", "metrics.json"),
    "shortlist": ("", "shortlist.json"),
    "views": ("evaluation", "view_search.json"),
    "proof": ("", "submission_proof.json"),
    "recipe": ("", "predictions.json"),
}

# they are of certain checkpoints, which they name by their hash
_OF_CHECKPOINTS = ("evaluation", "views", "proof", "recipe")


@dataclass(frozen=True)
class Records:
    """The folders where records were found, by name, and notes on where, and on what was not used.

    `sha256` is the hash of the run's checkpoint, by which records name it.
    """

    sha256: str
    found: dict[str, Path]
    notes: list[str]

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the JSON of a record, None if there is none."""
        return read_json(self.found[name] / _PLACES[name][1]) if name in self.found else None

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a record, none if there is none."""
        return read_csv_rows(self.found[name] / _PLACES[name][1]) if name in self.found else []


def find_records(run: Path) -> Records:
    """Find the records of a run. Raises InputError for a damaged file.

    The run's own folder comes first, then the folder that it is in, then the contest run that it is a training of. What
    names its checkpoints is taken from elsewhere only if it names this one.
    """
    found, notes = {}, []
    best = RunFolder(run).best
    own = sha256(best)
    for name, (folder, file) in _PLACES.items():
        for place in _folders(run, folder):
            path = place / file
            if not path.is_file():
                continue
            if not _is_of(name, path, best, own):
                notes.append(f"{path} is of another model, so it is not used.")
                continue
            found[name] = place
            if run not in (place, *place.parents):
                notes.append(f"{_what(name)} was found in {place}.")
            break
    return Records(own, found, notes)


def _what(name: str) -> str:
    return {"folds": "The cross-validation", "tune": "The search of settings", "views": "The search of views"}.get(
        name, f"The {name}"
    )


def _folders(run: Path, folder: str) -> list[Path]:
    places = [run / folder, run.parent / folder]
    contest = run.parent.parent
    if (contest / "request.json").is_file():
        # `compete.py` measures what it delivers on the part that chose nothing
        places += [contest / folder / "test" if folder == "evaluation" else contest / folder]
    return places


def _is_of(name: str, path: Path, best: Path, own: str) -> bool:
    """Say whether a record is of the checkpoint `best` with the hash `own`."""
    if name == "budget" and best.parents[1] not in path.parents:
        # it may name its models relative to the folder that it was measured in
        parts = best.resolve().parts
        names = [f" {Path(*parts[start:]).as_posix()} " for start in range(len(parts) - 2)]
        models = [f" {choice['models']} ".replace("\\", "/") for choice in (read_json(path) or {}).get("choices", [])]
        return any(name in model for model in models for name in names)
    if name not in _OF_CHECKPOINTS:
        return True
    named = (read_json(path) or {}).get("checkpoints")
    return not named or own in [entry.get("sha256") for entry in named]


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, None if there is no file. Raises InputError for a damaged one."""
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged. Write it again, or move it away.") from error


def read_csv_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, none if there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
