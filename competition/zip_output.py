"""Where a submission ZIP and its proof are written. Imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from common.files import check_writable


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Raise InputError if the ZIP does not end in .zip, cannot be written like its proof, or is one of `inputs`."""
    check_writable(output, inputs, ".zip")
    check_writable(proof_of(output), inputs)


def proof_of(output: Path) -> Path:
    """Return the path of the proof of a ZIP."""
    return output.with_name(f"{output.stem}_proof.json")
