"""Model rules: size, parameters, input, latency, class table."""

from pathlib import Path

import numpy as np

from competition.checks import Check
from competition.half_precision import packed_megabytes
from configs.schema import CompetitionConfig
from data.flower_drawing import drawn_jpegs
from data.table import read_classes
from models.classifier import parameter_count
from prediction.latency import IMAGES, measure_latency
from prediction.pipeline import Pipeline, predict_file
from prediction.runtime_packages import files_of


def check_models(pipeline: Pipeline, limits: CompetitionConfig) -> list[Check]:
    """Check all rules of the models together; latency is measured here with the views of the pipeline."""
    with drawn_jpegs(limits.input_size, IMAGES) as drawn:
        return [
            _check_size(pipeline, limits),
            _check_parameters(pipeline, limits),
            _check_input(pipeline, limits, drawn[0]),
            _check_latency(pipeline, limits, drawn),
            _check_runtime(pipeline, limits),
            _check_class_table(pipeline),
        ]


def _check_size(pipeline: Pipeline, limits: CompetitionConfig) -> Check:
    megabytes = sum(file.stat().st_size for member in pipeline.members for file in files_of(member.path)) / 1e6
    figure = f"{megabytes:.1f} MB in {len(pipeline.members)} file(s)"
    if megabytes > limits.max_model_mb:
        half = packed_megabytes(pipeline, bytes_per_value=2)
        if pipeline.runtime == "torch" and half <= limits.max_model_mb:
            figure += f"; prepare_submission.py packs them as fp16, about {half:.0f} MB, which fits"
    return Check("size of all models", megabytes <= limits.max_model_mb, figure, f"{limits.max_model_mb:g} MB")


def _check_parameters(pipeline: Pipeline, limits: CompetitionConfig) -> Check:
    checkpoints = [member.checkpoint for member in pipeline.members]
    count = sum(parameter_count(checkpoint.meta_model()) for checkpoint in checkpoints)
    return Check(
        "parameters", count <= limits.max_parameters, f"{count / 1e6:.1f} M", f"{limits.max_parameters / 1e6:g} M"
    )


def _check_input(pipeline: Pipeline, limits: CompetitionConfig, image: Path) -> Check:
    probabilities = predict_file(pipeline, image)
    answered = bool(np.isfinite(probabilities).all() and abs(probabilities.sum() - 1) < 1e-3)
    sizes = ", ".join(str(member.checkpoint.input_size) for member in pipeline.members)
    figure = f"{'answered' if answered else 'no valid answer'}; resized to {sizes} px"
    return Check("input size", answered, figure, f"files of {limits.input_size}x{limits.input_size}")


def _check_latency(pipeline: Pipeline, limits: CompetitionConfig, drawn: list[Path]) -> Check:
    latency = measure_latency(pipeline, drawn)
    limit = f"p95 of {limits.max_latency_ms:g} ms per image"
    return Check("latency", latency.p95_ms <= limits.max_latency_ms, str(latency), limit)


def _check_runtime(pipeline: Pipeline, limits: CompetitionConfig) -> Check:
    allowed = set(pipeline.runtime.split("+")) <= set(limits.runtimes)
    return Check("runtime", allowed, pipeline.runtime, f"of {', '.join(limits.runtimes)}")


def _check_class_table(pipeline: Pipeline) -> Check:
    classes = pipeline.classes
    ids = {image_class.category_id for image_class in classes}
    if len(ids) < len(classes):
        return Check("class table", False, f"{len(classes)} classes, but {len(ids)} category ids", "one id a class")
    table = Path(pipeline.config.dataset.root) / "classes.csv"
    if not table.is_file():
        return Check("class table", True, f"{len(classes)} classes in the checkpoint", "one id a class")
    other = {image_class.category_id for image_class in read_classes(table)}
    differing = sorted(ids ^ other)
    figure = f"{len(classes)} classes" + (f"; not in both: {', '.join(differing[:3])}" if differing else "")
    return Check("class table", not differing, figure, f"that of {table}")
