"""Writing the files of a submission ZIP."""

import dataclasses
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from timm.layers import GELUTanh
from torch import nn

from competition.proof import Proof
from competition.zip_layout import code_files, model_names, provenance_name, requirements_text
from configs.options import PROBE_STRENGTH, UNTRAINED
from configs.schema import CompetitionConfig
from configs.timm_models import pretrained_config
from models.checkpoint import Checkpoint, half_weights, save_checkpoint
from prediction.options import PRECISIONS
from prediction.pipeline import Pipeline
from prediction.provenance import describe_pipeline
from training.linear_probe import REGULARISATION

_ZIP_TIME = (2025, 1, 1, 0, 0, 0)
_CODE_MODE = 0o644 << 16


def write_zip(path: Path, pipeline: Pipeline, profile: CompetitionConfig, half: bool) -> None:
    """Write all of the ZIP but its CSV."""
    layout = profile.zip_layout
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in code_files(layout).items():
            _add_text(archive, name, source.read_text(encoding="utf-8"))
        models = [member.model for member in pipeline.members]
        _add_text(archive, layout.requirements, requirements_text(layout, oldest_torch(models)))
        if layout.model_config:
            config = json.dumps(_model_config(pipeline, profile), indent=2, ensure_ascii=False)
            _add_text(archive, layout.model_config, config + "\n")
        provenance = provenance_name(layout)
        if provenance:
            facts = {key: value for key, value in describe_pipeline(pipeline).items() if key != "checkpoints"}
            facts["weights"] = [member.weight for member in pipeline.members]
            _add_text(archive, provenance, json.dumps(facts, indent=2) + "\n")
        for name, member in zip(model_names(layout, len(pipeline.members)), pipeline.members, strict=True):
            scratch = path.with_name(f"{path.name}.model")
            try:
                _save_weights(member.checkpoint, scratch, half, whole=layout.code == "kit")
                archive.write(scratch, name, zipfile.ZIP_STORED)
            finally:
                scratch.unlink(missing_ok=True)


def oldest_torch(models: Iterable[nn.Module]) -> str:
    """Return the first release of torch that runs the models: the contest's own, or that of the tanh form of GELU."""
    parts = (part for model in models for part in model.modules())
    return "1.12" if any(isinstance(part, GELUTanh) for part in parts) else "1.9"


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
    config, cuda_dtype = pipeline.config, _cuda_dtype(pipeline)
    training = dataclasses.asdict(config.training) | {
        "batch_size": config.dataset.batch_size,
        "seed": config.seed,
        "input_size": config.model.input_size,
        "val_split": config.dataset.val_split,
        "drop_rate": config.model.drop_rate,
        "drop_path_rate": config.model.drop_path_rate,
    }
    if config.training.name == UNTRAINED:
        # the start of the judges' training fits such a classifier, with this strength
        metrics = pipeline.members[0].checkpoint.metrics
        training |= {"epochs": 0, PROBE_STRENGTH: metrics.get(PROBE_STRENGTH, REGULARISATION)}
    names = model_names(profile.zip_layout, len(pipeline.members))
    models = []
    for name, member in zip(names, pipeline.members, strict=True):
        checkpoint = member.checkpoint
        arguments = {"num_classes": len(checkpoint.classes)}
        if pretrained_config(checkpoint.architecture).fixed_input_size:
            arguments["img_size"] = checkpoint.input_size
        models.append(
            {
                "weights": Path(name).name,
                "architecture": checkpoint.architecture,
                "arguments": arguments,
                "head": checkpoint.architecture_arguments["head"],
                "input_size": checkpoint.input_size,
                "crop_pct": checkpoint.crop_pct,
                "fit": checkpoint.fit,
                "weight": member.weight,
                "temperature": checkpoint.temperature,
                "class_order": member.output_of_class.tolist(),
            }
        )
    return {
        "classes": [dataclasses.asdict(image_class) for image_class in pipeline.classes],
        "fallback_label": pipeline.fallback_label,
        "models": models,
        "views": list(pipeline.views),
        "average": pipeline.average,
        "cuda_dtype": cuda_dtype,
        # the proof writes the CSV here and now, on CUDA where there is one
        "csv_dtype": (cuda_dtype if torch.cuda.is_available() else None) or PRECISIONS["fp32"],
        "batch_size": config.dataset.batch_size,
        "csv_columns": list(profile.csv_columns),
        "training": training,
    }


def _cuda_dtype(pipeline: Pipeline) -> str | None:
    """Return the dtype in which the judges' CUDA device computes, None for float32.

    It is that of the pipeline on CUDA. A pipeline on another device says nothing about CUDA: float16 there, which every
    card computes, unless the model was trained without mixed precision.
    """
    dtype = pipeline.precision.dtype
    if pipeline.device.type == "cuda":
        return str(dtype).removeprefix("torch.") if dtype else None
    return PRECISIONS["fp16"] if pipeline.config.training.use_amp else None


def add_csv(path: Path, profile: CompetitionConfig, proof: Proof) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        _add_text(archive, profile.zip_layout.predictions, (proof.csv or b"").decode("utf-8"))


def _add_text(archive: zipfile.ZipFile, name: str, text: str) -> None:
    # a fixed time, so that the same submission is the same ZIP
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.external_attr = _CODE_MODE
    archive.writestr(info, text.encode("utf-8"), zipfile.ZIP_DEFLATED)
