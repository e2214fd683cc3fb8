"""The rules of a submission ZIP that can be checked without running anything in it."""

import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from common.classes import ImageClass
from common.errors import InputError
from common.files import as_path
from common.torch_files import LOAD_ERRORS
from competition.archive import check_archive, member_names, open_archive, unpack
from competition.checks import Check
from competition.code_rules import check_code
from competition.csv_rules import check_csv
from competition.zip_layout import CODE_DIR, allowed_names
from configs.schema import CompetitionConfig
from models.checkpoint import load_checkpoint

_TRAINING_STATE = {"optimizer", "scheduler", "scaler", "ema"}


@dataclass
class Inspection:
    """The checks of an unpacked ZIP, and the classes that its predictions must be of (None: it names none)."""

    checks: list[Check] = field(default_factory=list)
    classes: list[ImageClass] | None = None


def inspect_zip(path: str | Path, profile: CompetitionConfig, image_ids: Iterable[str] | None) -> list[Check]:
    """Unpack the ZIP into a temporary folder, run nothing, and check all that the files show."""
    path = as_path(path)
    archive = check_archive(path, profile.max_model_mb)
    if not archive.passed:
        return [archive]
    with tempfile.TemporaryDirectory(prefix="flower_zip_", ignore_cleanup_errors=True) as folder:
        unpack(path, Path(folder), profile.max_model_mb)
        return [archive, *inspect_folder(Path(folder), path, profile, image_ids).checks]


def inspect_folder(
    root: Path, path: Path, profile: CompetitionConfig, image_ids: Iterable[str] | None, with_csv: bool = True
) -> Inspection:
    """Check the ZIP at `path`, unpacked in `root`: layout, models, class table, code, CSV.

    `with_csv` is False for a ZIP that is being built: the run of its code will write the CSV.
    """
    layout = profile.zip_layout
    with open_archive(path) as archive:
        present = member_names(archive)
    expected = present if with_csv else [*present, layout.predictions]
    inspection = Inspection([_check_layout(expected, profile)])
    models = [root / name for name in present if name.endswith((".pt", ".pth", ".safetensors", ".onnx", ".bin"))]
    inspection.checks += _check_size_and_state(models, profile)
    inspection.checks.append(_read_class_table(root, profile, inspection))
    if (root / CODE_DIR).is_dir():
        inspection.checks += check_code(root / CODE_DIR, root / layout.requirements, layout.code == "template")
    if with_csv:
        inspection.checks += check_csv(root / layout.predictions, profile.csv_columns, inspection.classes, image_ids)
    return inspection


def _check_layout(present: list[str], profile: CompetitionConfig) -> Check:
    missing, extra = allowed_names(profile.zip_layout, present)
    problems = [*(f"missing {name}" for name in missing), *(f"extra file {name}" for name in extra)]
    figure = "; ".join(problems[:4]) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
    return Check("ZIP layout", not problems, figure or f"{len(present)} files", f"profile {profile.name}")


def _check_size_and_state(models: list[Path], profile: CompetitionConfig) -> list[Check]:
    megabytes = sum(path.stat().st_size for path in models) / 1e6
    limit = f"{profile.max_model_mb:g} MB"
    checks = [
        Check(
            "size of all models",
            megabytes <= profile.max_model_mb,
            f"{megabytes:.1f} MB in {len(models)} file(s)",
            limit,
        )
    ]
    parameters, problems = 0, []
    for path in models:
        try:
            payload = torch.load(path, map_location="cpu", weights_only=True)
        except LOAD_ERRORS:
            problems.append(f"{path.name} does not load with weights_only=True")
            continue
        names = payload if isinstance(payload, dict) else ()
        state = sorted({word for name in names for word in re.split(r"[_.]", str(name))} & _TRAINING_STATE)
        if state:
            problems.append(f"{path.name} carries training state: {', '.join(state)}")
        parameters += sum(tensor.numel() for tensor in _tensors(payload) if tensor.is_floating_point())
    checks.append(Check("model files", not problems, "; ".join(problems) or "weights only", "weights, safe to load"))
    checks.append(
        Check(
            "parameters",
            parameters <= profile.max_parameters,
            f"{parameters / 1e6:.1f} M",
            f"{profile.max_parameters / 1e6:g} M",
        )
    )
    return checks


def _tensors(payload: Any) -> Iterable[torch.Tensor]:
    if isinstance(payload, torch.Tensor):
        yield payload
    elif isinstance(payload, dict):
        for value in payload.values():
            yield from _tensors(value)


def _read_class_table(root: Path, profile: CompetitionConfig, inspection: Inspection) -> Check:
    """Find the classes, in config.json or in the kit's checkpoint, and say whether they are there."""
    layout = profile.zip_layout
    source = layout.model_config or layout.model
    try:
        if layout.model_config:
            entries = json.loads((root / source).read_text(encoding="utf-8"))["classes"]
            classes = [ImageClass(int(e["label"]), str(e["category_id"]), str(e["name"])) for e in entries]
        else:
            classes = load_checkpoint(root / source).classes
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return Check("class table", False, f"none in {source}", "label, category_id, name of each class")
    ids = {image_class.category_id for image_class in classes}
    numbered = [image_class.label for image_class in classes] == list(range(len(classes)))
    if not numbered or len(ids) < len(classes) or len(classes) < 2:
        return Check(
            "class table", False, f"{source}: {len(classes)} classes, {len(ids)} ids", "0..C-1, one id a class"
        )
    inspection.classes = classes
    return Check("class table", True, f"{len(classes)} classes in {source}", "0..C-1, one id a class")
