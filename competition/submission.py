"""From checkpoints and their predictions to a submission ZIP that was unpacked and run before it gets its name."""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from competition.checks import Check, as_json, failed
from competition.layout import code_files, model_names, recipe_name, requirements_text
from competition.proof import Proof, prove
from competition.zip_rules import inspect_zip
from configs.errors import InputError, RunError
from configs.schema import CompetitionConfig
from data.files import replacing, write_text
from data.inputs import Inputs, find_inputs
from data.predictions import Prediction, read_predictions
from engine.benchmark import drawn_jpegs, measure_latency
from engine.checkpoint import Checkpoint, half_weights, save_checkpoint, sha256, versions
from engine.inference import to_predictions
from engine.pipeline import Pipeline, answer_all
from engine.recipe import describe_pipeline
from models.classifier import size_in_bytes

FP16_TOLERANCE = 1e-2
# the share of labels that may tip over when weights are rounded to fp16: images between two classes
FP16_MAX_CHANGED = 0.005
_ZIP_TIME = (2025, 1, 1, 0, 0, 0)
_CODE_MODE = 0o644 << 16


@dataclasses.dataclass(frozen=True)
class Submission:
    """A ZIP that was proven; `lines` say what was done on the way."""

    path: Path
    proof_path: Path
    checks: list[Check]
    lines: list[str]


def prepare_submission(
    pipeline: Pipeline, predictions: Path, input_dir: Path, output: Path, profile: CompetitionConfig
) -> Submission:
    """Build the ZIP of `profile`, prove it on all images of `input_dir`, and only then give it its name.

    The CSV in it is what its own code wrote, after it agreed with `predictions`. Raises InputError if `predictions` are
    not of these images and classes, and RunError, with every broken rule, if the ZIP does not keep the rules; then no
    ZIP or proof is left, not even an older one.
    """
    if pipeline.runtime != "torch":
        raise InputError(
            f"{pipeline.runtime}: the code in the ZIP runs torch. Give the best_model.pt of the run, without --runtime."
        )
    inputs = find_inputs([input_dir])
    reference = _read_reference(predictions, inputs, pipeline)
    proof_path = output.with_name(f"{output.stem}_proof.json")
    for older in (output, proof_path):
        older.unlink(missing_ok=True)
    latency = _measure(pipeline, profile)
    half = _needs_half(pipeline, profile)
    lines = []
    if half:
        reference, note = _half_reference(pipeline, inputs, reference)
        lines.append(note)
    with replacing(output) as temporary:
        _write_zip(temporary, pipeline, profile, half)
        proof = prove(temporary, profile, input_dir, reference)
        _refuse(proof.checks)
        _add_csv(temporary, profile, proof)
        final = [check for check in inspect_zip(temporary, profile, inputs.image_ids) if check.rule.startswith("CSV")]
        _refuse(final)
    checks = [*proof.checks, *final]
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
    write_text(proof_path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    lines.append(f"latency of the kit here: {latency} (limit {profile.max_latency_ms:g} ms, decided by the judges)")
    return Submission(output, proof_path, checks, lines)


def _read_reference(path: Path, inputs: Inputs, pipeline: Pipeline) -> list[Prediction]:
    """Read the predictions to prove, which must be one row for each image of the test folder."""
    reference = read_predictions(path, pipeline.classes)
    given, wanted = {prediction.image_id for prediction in reference}, set(inputs.image_ids)
    if given != wanted or len(reference) != len(given):
        raise InputError(
            f"{path}: not one row an image: {len(wanted - given)} images of the test folder have no row, "
            f"{len(given - wanted)} rows are of other images, {len(reference) - len(given)} stand there twice. "
            "Predict that folder again."
        )
    return reference


def _measure(pipeline: Pipeline, profile: CompetitionConfig) -> Any:
    with drawn_jpegs(profile.input_size) as drawn:
        return measure_latency(pipeline, drawn)


def _needs_half(pipeline: Pipeline, profile: CompetitionConfig) -> bool:
    sizes = [sum(size_in_bytes(member.model, width) for member in pipeline.members) / 1e6 for width in (4, 2)]
    # names and shapes take a little room beside the values
    full, half = (size * 1.001 + 0.5 * len(pipeline.members) for size in sizes)
    if half > profile.max_model_mb:
        raise RunError(
            f"The models take {half:.0f} MB even as fp16, more than {profile.max_model_mb:g} MB. "
            "'python cli/flower_cli.py models' says which fit."
        )
    return full > profile.max_model_mb


def _half_reference(
    pipeline: Pipeline, inputs: Inputs, reference: Sequence[Prediction]
) -> tuple[list[Prediction], str]:
    """Return the predictions of the weights rounded to fp16, after checking that they agree with `reference`."""
    sample = Inputs(inputs.image_ids[:64], inputs.paths[:64])
    before = answer_all(pipeline, sample, "fp32").probabilities
    for member in pipeline.members:
        rounded = {name: _rounded(tensor) for name, tensor in member.checkpoint.state_dict.items()}
        member.model.classifier.load_state_dict(rounded)
    largest = float(np.abs(answer_all(pipeline, sample, "fp16").probabilities - before).max())
    # not a number is too much, too
    if not largest <= FP16_TOLERANCE:
        raise RunError(
            f"As fp16, which the size limit needs, probabilities change by {largest:.3f}, more than {FP16_TOLERANCE}. "
            "Choose a smaller model."
        )
    predictions = to_predictions(pipeline, inputs, answer_all(pipeline, inputs, "fp16 predictions"))
    old = {prediction.image_id: prediction.label for prediction in reference}
    changed = sum(prediction.label != old[prediction.image_id] for prediction in predictions)
    if changed > FP16_MAX_CHANGED * len(predictions):
        raise RunError(f"As fp16, which the size limit needs, {changed} of {len(predictions)} labels change.")
    note = (
        f"weights packed as fp16 to fit: probabilities change by at most {largest:.1e} on {len(before)} images, "
        f"{changed} of {len(predictions)} labels change"
    )
    return predictions, note


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor


def _write_zip(path: Path, pipeline: Pipeline, profile: CompetitionConfig, half: bool) -> None:
    """Write all of the ZIP but its CSV."""
    layout = profile.zip_layout
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in code_files(layout).items():
            _add_text(archive, name, source.read_text(encoding="utf-8"))
        _add_text(archive, layout.requirements, requirements_text(layout))
        if layout.model_config:
            config = json.dumps(_model_config(pipeline, profile), indent=2, ensure_ascii=False)
            _add_text(archive, layout.model_config, config + "\n")
        recipe = recipe_name(layout)
        if recipe:
            facts = {key: value for key, value in describe_pipeline(pipeline).items() if key != "checkpoints"}
            facts["weights"] = [member.weight for member in pipeline.members]
            _add_text(archive, recipe, json.dumps(facts, indent=2) + "\n")
        for name, member in zip(model_names(layout, len(pipeline.members)), pipeline.members, strict=True):
            scratch = path.with_name(f"{path.name}.model")
            try:
                _save_weights(member.checkpoint, scratch, half, whole=layout.code == "kit")
                archive.write(scratch, name, zipfile.ZIP_STORED)
            finally:
                scratch.unlink(missing_ok=True)


def _save_weights(checkpoint: Checkpoint, path: Path, half: bool, whole: bool) -> None:
    """Save the weights: alone for the template, or as a checkpoint of the kit without its list of training images."""
    weights = half_weights(checkpoint) if half else dict(checkpoint.state_dict)
    if whole:
        save_checkpoint(
            dataclasses.replace(checkpoint, state_dict=weights, split={"train": [], "val": [], "test": []}), path
        )
    else:
        torch.save(weights, path)


def _model_config(pipeline: Pipeline, profile: CompetitionConfig) -> dict[str, Any]:
    """Return config.json: all that the template needs beside the weights."""
    config, dtype = pipeline.config, pipeline.precision.dtype
    training = dataclasses.asdict(config.training) | {
        "batch_size": config.dataset.batch_size,
        "seed": config.seed,
        "input_size": config.model.input_size,
        "val_split": config.dataset.val_split,
        "drop_rate": config.model.drop_rate,
        "drop_path_rate": config.model.drop_path_rate,
    }
    names = model_names(profile.zip_layout, len(pipeline.members))
    models = []
    for name, member in zip(names, pipeline.members, strict=True):
        checkpoint = member.checkpoint
        arguments = {"num_classes": len(checkpoint.classes)}
        if timm.get_pretrained_cfg(checkpoint.architecture).fixed_input_size:
            arguments["img_size"] = checkpoint.input_size
        models.append(
            {
                "weights": Path(name).name,
                "architecture": checkpoint.architecture,
                "arguments": arguments,
                "input_size": checkpoint.input_size,
                "crop_pct": checkpoint.crop_pct,
                "weight": member.weight,
                "class_order": member.order.tolist(),
            }
        )
    return {
        "classes": [dataclasses.asdict(image_class) for image_class in pipeline.classes],
        "fallback_label": pipeline.fallback_label,
        "models": models,
        "views": list(pipeline.views),
        "average": pipeline.average,
        "cuda_dtype": str(dtype).removeprefix("torch.") if dtype and pipeline.device.type == "cuda" else None,
        "batch_size": config.dataset.batch_size,
        "csv_columns": list(profile.csv_columns),
        "training": training,
    }


def _add_csv(path: Path, profile: CompetitionConfig, proof: Proof) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        _add_text(archive, profile.zip_layout.predictions, (proof.csv or b"").decode("utf-8"))


def _add_text(archive: zipfile.ZipFile, name: str, text: str) -> None:
    # a fixed time, so that the same submission is the same ZIP
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.external_attr = _CODE_MODE
    archive.writestr(info, text.encode("utf-8"), zipfile.ZIP_DEFLATED)


def _refuse(checks: Sequence[Check]) -> None:
    broken = failed(checks)
    if broken:
        faults = "; ".join(f"{check.rule}: {check.figure}" for check in broken)
        raise RunError(f"No ZIP was written: {faults}")
