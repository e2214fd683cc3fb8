"""From checkpoints and their predictions to a submission ZIP that was unpacked and run before it gets its name."""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError, RunError
from common.files import as_path, replacing, to_json, write_text
from common.torch_files import sha256
from competition.checks import Check, as_json, failed
from competition.half_precision import HalfPrecision, needs_half, round_to_half
from competition.judges_run import OWN_PYTHON, read_precision
from competition.proof import prove
from competition.zip_layout import check_paths
from competition.zip_output import check_output, proof_of
from competition.zip_rules import inspect_zip
from competition.zip_writer import add_csv, write_zip
from configs.schema import CompetitionConfig
from data.flower_drawing import drawn_jpegs
from data.inputs import Inputs, find_inputs
from models.checkpoint import versions
from prediction.latency import IMAGES, Latency, measure_latency
from prediction.pipeline import Pipeline
from prediction.predictions_csv import Prediction, read_predictions
from prediction.recorded import provenance_path


@dataclasses.dataclass(frozen=True)
class Submission:
    """A ZIP that was proven, the latency of the kit's own pipeline here, and the rounding if it was needed to fit."""

    path: Path
    proof_path: Path
    checks: list[Check]
    latency: Latency
    half: HalfPrecision | None


def prepare_submission(
    pipeline: Pipeline,
    predictions: str | Path,
    input_dir: str | Path,
    output: str | Path,
    profile: CompetitionConfig,
    python: str | Path | None = None,
) -> Submission:
    """Build the ZIP of `profile`, prove it on all images of `input_dir`, and only then give it its name.

    It is proven under the kit's own interpreter, and then under `python` with the packages of that one, if it is given.

    The CSV in it is what its own code wrote, after it agreed with `predictions`. Raises InputError if `output` does not
    end in .zip, or `predictions` are not of these images and classes, and RunError, with every broken rule, if the ZIP
    does not keep the rules; then no ZIP or proof is left, not even an older one.
    """
    predictions, input_dir, output = as_path(predictions), as_path(input_dir), as_path(output)
    if pipeline.runtime != "torch":
        raise InputError(
            f"{pipeline.runtime}: the code in the ZIP runs torch. Give the best_model.pt of the run, and predict with "
            "the runtime torch."
        )
    check_output(output, [predictions, *(member.path for member in pipeline.members)])
    check_paths(profile.zip_layout, len(pipeline.members))
    inputs = find_inputs([input_dir])
    reference = _read_reference(predictions, inputs, pipeline)
    # perhaps on another machine
    precision = read_precision(provenance_path(predictions), "precision", pipeline.computed_in)
    proof_path = proof_of(output)
    with replacing(output) as temporary:
        try:
            latency = _measure(pipeline, profile)
            half = round_to_half(pipeline, inputs, reference, precision) if needs_half(pipeline, profile) else None
            write_zip(temporary, pipeline, profile, half is not None)
            pythons = [OWN_PYTHON, *([python] if python else [])]
            if half:
                reference, precision = half.predictions, half.precision
            proof = prove(temporary, profile, input_dir, reference, pythons, precision)
            _refuse(proof.checks)
            add_csv(temporary, profile, proof)
            final = inspect_zip(temporary, profile, inputs.image_ids)
            _refuse(final)
        except RunError:
            _remove_older(output)
            raise
        # it belongs to the older ZIP
        proof_path.unlink(missing_ok=True)
    checks = [*proof.checks, *(check for check in final if check.rule.startswith("CSV"))]
    facts = {
        "zip": output.name,
        "sha256": sha256(output),
        "profile": profile.name,
        "checkpoints": [{"path": member.path.as_posix(), "sha256": member.sha256} for member in pipeline.members],
        "weights": "fp16" if half else "fp32",
        "views": list(pipeline.views),
        "latency_ms": dataclasses.asdict(latency),
        "runs": proof.runs,
        "ms_an_image": proof.ms_an_image,
        "versions": versions(),
        **as_json(checks),
    }
    write_text(proof_path, to_json(facts))
    return Submission(output, proof_path, checks, latency, half)


def _remove_older(output: Path) -> None:
    """Remove an older ZIP and its proof, which could be taken for those that failed; a file of another kind stays."""
    if zipfile.is_zipfile(output):
        for older in (output, proof_of(output)):
            older.unlink(missing_ok=True)


def _read_reference(path: Path, inputs: Inputs, pipeline: Pipeline) -> list[Prediction]:
    """Read the predictions to prove, which must be one row for each image of the test folder."""
    reference = read_predictions(path, pipeline.classes)
    given, wanted = {prediction.image_id for prediction in reference}, set(inputs.image_ids)
    if given != wanted or len(reference) != len(given):
        raise InputError(
            f"{path}: not one row per image: {len(wanted - given)} images of the test folder have no row, "
            f"{len(given - wanted)} rows are of other images, {len(reference) - len(given)} stand there twice. "
            "Predict that folder again."
        )
    return reference


def _measure(pipeline: Pipeline, profile: CompetitionConfig) -> Latency:
    with drawn_jpegs(profile.input_size, IMAGES) as drawn:
        return measure_latency(pipeline, drawn)


def _refuse(checks: Sequence[Check]) -> None:
    broken = failed(checks)
    if broken:
        faults = "; ".join(f"{check.rule}: {check.figure}" for check in broken)
        raise RunError(f"No ZIP was written: {faults}")
