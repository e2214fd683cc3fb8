"""The models of a cross-validation below a folder. Imports nothing heavy."""

from pathlib import Path

from common.errors import InputError
from training.run_folder import ARCHIVE


def fold_checkpoints(folder: Path) -> list[Path]:
    """Return each best_model.pt below a folder, job 2 before job 10. Raises InputError for fewer than two."""
    # an older run of the same folder lies in its archive
    found = [path for path in folder.glob("**/best_model.pt") if ARCHIVE not in path.relative_to(folder).parts]
    if len(found) < 2:
        raise InputError(
            f"{folder}: {len(found)} best_model.pt below it; the folds of a cross-validation are needed: "
            "python train.py -m dataset.fold=0,1,2,3,4 dataset.num_folds=5"
        )
    return sorted(found, key=_natural)


def check_source(data: object, folds: object) -> None:
    """Raise InputError if a temperature is to come from labelled images and from folds."""
    if data is not None and folds is not None:
        raise InputError("The temperature comes from labelled images or from folds. Give one of them.")


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort job 2 before job 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]
