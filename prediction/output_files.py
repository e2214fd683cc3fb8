"""The files of a prediction: where they go, and whether they can be written there. Imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.files import as_path, check_writable
from prediction.predictions_csv import form_name
from prediction.recorded import provenance_path


@dataclass(frozen=True)
class OutputFiles:
    """Path and form (of `FORMATS`) of the predictions; `probabilities` and `top_k` ask for further files.

    Paths may be given as text. Raises InputError for what is no path.
    """

    predictions: Path
    format: str = "kit"
    probabilities: Path | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "predictions", as_path(self.predictions))
        if self.probabilities is not None:
            object.__setattr__(self, "probabilities", as_path(self.probabilities))

    @property
    def top_k_file(self) -> Path:
        """Where the best classes of each image go, beside the predictions."""
        return self.predictions.with_name(f"{self.predictions.stem}_top{self.top_k}.csv")

    def check(self, inputs: Sequence[Path] = ()) -> None:
        """Raise InputError for an unknown form, and if a file cannot be written or is one of `inputs`."""
        form_name(self.format)
        check_csv_path(self.predictions)
        files = [self.predictions, provenance_path(self.predictions)]
        files += [self.top_k_file] if self.top_k is not None else []
        for path in files:
            check_writable(path, inputs)
        if self.probabilities is not None:
            check_writable(self.probabilities, inputs, ".npz")


def check_csv_path(path: Path) -> None:
    """Raise InputError if `path` does not end in .csv: the provenance beside it would have the same name."""
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: predictions go to a file that ends in .csv; its .json says how they were made.")
