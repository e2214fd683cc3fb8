"""check_competition.py and prepare_submission.py: flags to pipeline, images and limits, then check, pack or verify."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cli.competition_input import (
    check_something,
    check_there,
    checkpoints_of,
    output_of,
    provenance_of,
    test_folder_of,
    what_to_verify_with,
)
from cli.pipeline_flags import read_prediction_options
from competition.checks import Check
from competition.csv_rules import check_csv
from competition.folder_rules import check_folder
from competition.judges_run import find_interpreter
from competition.model_rules import check_models
from competition.profile import read_profile
from competition.proof import prove
from competition.submission import Submission, prepare_submission
from competition.zip_rules import inspect_zip
from data.inputs import find_inputs
from data.listing import list_images
from prediction.pipeline import Pipeline, load_pipeline
from prediction.provenance import check_hashes
from prediction.recorded import Provenance


def check_all(flags: argparse.Namespace, overrides: Sequence[str]) -> list[Check]:
    """Check what `--checkpoint`, `--predictions` and `--submission` name. Raises InputError if they name nothing."""
    check_something(flags)
    profile, others = read_profile(flags.profile, overrides)
    provenance = provenance_of(flags.predictions)
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
    output = output_of(flags)
    provenance = provenance_of(flags.predictions)
    pipeline = find_pipeline(flags, provenance, others)
    folder = test_folder_of(flags, provenance)
    python = find_interpreter(flags.python) if flags.python else None
    return prepare_submission(pipeline, flags.predictions, folder, output, profile, python)


def verify(flags: argparse.Namespace, overrides: Sequence[str]) -> list[Check]:
    """Check and run a ZIP, under the kit's interpreter or the one that `--python` names."""
    profile, python = what_to_verify_with(flags, overrides)
    return prove(flags.verify_only, profile, flags.input, None, [python]).checks


def find_pipeline(flags: argparse.Namespace, provenance: Provenance | None, overrides: Sequence[str]) -> Pipeline:
    """Load the checkpoints of the flags or of the provenance; they must be those that made the predictions."""
    checkpoints = checkpoints_of(flags, provenance)
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


def _image_ids(folder: Path | None) -> list[str] | None:
    if folder is None:
        return None
    check_there(folder)
    return find_inputs([folder]).image_ids if folder.is_file() else list(list_images(folder))
