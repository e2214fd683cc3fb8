"""check_competition.py and prepare_submission.py: flags to pipeline, images and limits, then check, pack or verify."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cli.pipeline_flags import read_prediction_options
from common.errors import InputError
from competition.checks import Check
from competition.csv_rules import check_csv
from competition.folder_rules import check_folder
from competition.judges_run import OWN_PYTHON, find_interpreter
from competition.model_rules import check_models
from competition.profile import read_profile
from competition.proof import prove
from competition.submission import Submission, check_output, prepare_submission
from competition.zip_rules import inspect_zip
from data.inputs import find_inputs
from data.listing import list_images
from prediction.pipeline import Pipeline, load_pipeline
from prediction.provenance import Provenance, check_hashes, read_provenance


def check_all(flags: argparse.Namespace, overrides: Sequence[str]) -> list[Check]:
    """Check what `--checkpoint`, `--predictions` and `--submission` name. Raises InputError if they name nothing."""
    if not (flags.checkpoint or flags.predictions or flags.submission):
        raise InputError("Nothing to check. Give --checkpoint, --predictions or --submission.")
    profile, others = read_profile(flags.profile, overrides)
    provenance = _provenance_of(flags.predictions)
    folder = flags.input or (provenance.input if provenance else None)
    image_ids = _image_ids(folder)
    pipeline = find_pipeline(flags, provenance, others) if flags.checkpoint or provenance else None
    checks = []
    if pipeline:
        checks += check_models(pipeline, profile)
    if flags.predictions:
        classes = pipeline.classes if pipeline else None
        checks += check_csv(flags.predictions, profile.csv_columns, classes, image_ids)
    if flags.submission:
        checks += inspect_zip(flags.submission, profile, image_ids)
    if folder is not None and folder.is_dir() and (flags.predictions or flags.submission):
        checks.append(check_folder(folder))
    return checks


def prepare(flags: argparse.Namespace, overrides: Sequence[str]) -> Submission:
    """Build and prove the ZIP. Raises InputError if checkpoints, predictions or test folder are not known."""
    profile, others = read_profile(flags.profile, overrides)
    if not flags.predictions:
        raise InputError("--predictions is needed: the file that inference.py wrote for the test folder.")
    output = flags.output or Path("results/submission.zip")
    check_output(output, [flags.predictions, *(flags.checkpoint or ())])
    provenance = _provenance_of(flags.predictions)
    pipeline = find_pipeline(flags, provenance, others)
    folder = flags.input or (provenance.input if provenance else None)
    if folder is None or not folder.is_dir():
        raise InputError(f"{folder or '--input'}: the folder of the test images is needed. Give --input <folder>.")
    python = find_interpreter(flags.python) if flags.python else None
    return prepare_submission(pipeline, flags.predictions, folder, output, profile, python)


def verify(flags: argparse.Namespace, overrides: Sequence[str]) -> list[Check]:
    """Check and run a ZIP, under the kit's interpreter or the one that `--python` names."""
    profile, others = read_profile(flags.profile, overrides)
    if others:
        raise InputError(f"{others[0]}: --verify-only takes no other keys than competition.*.")
    if flags.input and not flags.input.is_dir():
        raise InputError(f"{flags.input}: no such folder.")
    python = find_interpreter(flags.python) if flags.python else OWN_PYTHON
    return prove(flags.verify_only, profile, flags.input, None, [python]).checks


def find_pipeline(flags: argparse.Namespace, provenance: Provenance | None, overrides: Sequence[str]) -> Pipeline:
    """Load the checkpoints of the flags or of the provenance; they must be those that made the predictions."""
    checkpoints = flags.checkpoint or (provenance.checkpoints if provenance else None)
    if not checkpoints:
        raise InputError(
            f"{flags.predictions}: no provenance (.json) beside it names the checkpoints. Give --checkpoint."
        )
    if provenance:
        check_hashes(provenance, checkpoints, flags.predictions)
    options = read_prediction_options(flags)
    if provenance:
        options = dataclasses.replace(
            options,
            views=provenance.views if flags.tta is None else options.views,
            average=flags.average or provenance.average,
            weights=flags.weights or provenance.weights,
            runtime=flags.runtime or provenance.runtime,
            precision=flags.precision or provenance.precision,
        )
    return load_pipeline(checkpoints, options, overrides)


def _provenance_of(predictions: Path | None) -> Provenance | None:
    if predictions is None:
        return None
    if not predictions.is_file():
        raise InputError(f"{predictions}: not found. Write it with inference.py.")
    return read_provenance(predictions)


def _image_ids(folder: Path | None) -> list[str] | None:
    if folder is None:
        return None
    if folder.is_file():
        return find_inputs([folder]).image_ids
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder. --input names the folder of the test images.")
    return list(list_images(folder))
