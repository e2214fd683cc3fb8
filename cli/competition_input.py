"""What check_competition.py and prepare_submission.py are given, as far as it is known without torch."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from cli.early_checks import check_models, early
from cli.pipeline_flags import read_prediction_options
from common.errors import InputError
from competition.archive import open_archive
from competition.judges_run import OWN_PYTHON, find_interpreter
from competition.profile import read_profile
from competition.zip_output import check_output
from configs.schema import CompetitionConfig
from data.inputs import check_inputs
from prediction.options import OVERRIDABLE_KEYS
from prediction.recorded import Provenance, check_recorded, read_provenance


@early
def check_gate(flags: Namespace, overrides: Sequence[str]) -> None:
    """Check the flags of check_competition.py."""
    check_something(flags)
    _, others = read_profile(flags.profile, overrides)
    provenance = provenance_of(flags.predictions)
    folder = flags.input or (provenance.input if provenance else None)
    if folder is not None:
        check_there(folder)
    if flags.checkpoint or provenance:
        _check_pipeline(flags, provenance, others)
    if flags.submission:
        open_archive(flags.submission).close()


@early
def check_preparation(flags: Namespace, overrides: Sequence[str]) -> None:
    """Check the flags of prepare_submission.py without --verify-only."""
    _, others = read_profile(flags.profile, overrides)
    output_of(flags)
    provenance = provenance_of(flags.predictions)
    _check_pipeline(flags, provenance, others)
    check_inputs([test_folder_of(flags, provenance)])
    if flags.python:
        find_interpreter(flags.python)


@early
def check_verification(flags: Namespace, overrides: Sequence[str]) -> None:
    """Check the flags of prepare_submission.py with --verify-only."""
    open_archive(flags.verify_only).close()
    what_to_verify_with(flags, overrides)


def _check_pipeline(flags: Namespace, provenance: Provenance | None, overrides: Sequence[str]) -> None:
    checkpoints = checkpoints_of(flags, provenance)
    if provenance:
        check_recorded(provenance, checkpoints, flags.predictions)
    read_prediction_options(flags)
    check_models(checkpoints, overrides, OVERRIDABLE_KEYS)


def check_something(flags: Namespace) -> None:
    """Raise InputError if there is nothing to check."""
    if not (flags.checkpoint or flags.predictions or flags.submission):
        raise InputError("Nothing to check. Give --checkpoint, --predictions or --submission.")


def check_there(images: Path) -> None:
    """Raise InputError if the test images are not there."""
    if not images.exists():
        raise InputError(f"{images}: not a folder. --input names the folder of the test images.")


def output_of(flags: Namespace) -> Path:
    """Return where the ZIP goes. Raises InputError without predictions, or if it cannot be written there."""
    if not flags.predictions:
        raise InputError("--predictions is needed: the file that inference.py wrote for the test folder.")
    output = flags.output or Path("results/submission.zip")
    check_output(output, [flags.predictions, *(flags.checkpoint or ())])
    return output


def provenance_of(predictions: Path | None) -> Provenance | None:
    """Return what stands beside the predictions. Raises InputError if they are not there."""
    if predictions is None:
        return None
    if not predictions.is_file():
        raise InputError(f"{predictions}: not found. Write it with inference.py.")
    return read_provenance(predictions)


def checkpoints_of(flags: Namespace, provenance: Provenance | None) -> list[Path]:
    """Return the checkpoints of the flags or of the provenance. Raises InputError if neither names one."""
    checkpoints = flags.checkpoint or (provenance.checkpoints if provenance else None)
    if not checkpoints:
        raise InputError(
            f"{flags.predictions}: no provenance (.json) beside it names the checkpoints. Give --checkpoint."
        )
    return checkpoints


def test_folder_of(flags: Namespace, provenance: Provenance | None) -> Path:
    """Return the folder of the test images. Raises InputError if it is not known or not there."""
    folder = flags.input or (provenance.input if provenance else None)
    if folder is None or not folder.is_dir():
        raise InputError(f"{folder or '--input'}: the folder of the test images is needed. Give --input <folder>.")
    return folder


def what_to_verify_with(flags: Namespace, overrides: Sequence[str]) -> tuple[CompetitionConfig, Path]:
    """Return the limits and the interpreter for --verify-only. Raises InputError for other keys, or no images."""
    profile, others = read_profile(flags.profile, overrides)
    if others:
        raise InputError(f"{others[0]}: --verify-only takes no other keys than competition.*.")
    if flags.input and not flags.input.is_dir():
        raise InputError(f"{flags.input}: no such folder.")
    return profile, find_interpreter(flags.python) if flags.python else OWN_PYTHON
