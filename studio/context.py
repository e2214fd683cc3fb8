"""What all tabs share and none changes: the model, the photographs, the language, the folder of small pictures.

Without a model the page opens without torch, which takes longer to import than a large data set takes to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError
from configs.compose import compose
from configs.schema import DatasetConfig
from data.prepared import load_table, training_table
from data.table import ImageTable
from prediction.options import DEFAULTS
from studio.texts import Say, texts_in
from studio.thumbnails import Thumbnails

if TYPE_CHECKING:
    from models.classifier import Classifier
    from prediction.pipeline import Pipeline


@dataclass(frozen=True)
class Studio:
    """`pipeline` and `model` (for heat maps) are None without a checkpoint, `table` without a prepared folder.

    `data` is the folder of the table, and `labels` the one of its train.csv, where corrections.csv stands. `results` is
    the folder that the page writes into, `audit` the one that holds what `flower_cli.py audit` found, `runs` that of
    all runs.
    """

    say: Say
    pipeline: Pipeline | None
    model: Classifier | None
    table: ImageTable | None
    data: Path | None
    labels: Path | None
    results: Path
    audit: Path
    runs: Path
    thumbnails: Thumbnails


def open_studio(
    checkpoint: str | Path | None,
    data: str | Path | None,
    language: str,
    results: str | Path,
    overrides: list[str],
    audit: str | Path = "results/audit",
    runs: str | Path = "results",
) -> Studio:
    """Load the model and the table of photographs; without `data` these are the photographs of the checkpoint.

    `overrides` are those of a pipeline, `audit` is where `flower_cli.py audit` writes, `runs` holds the runs to list.
    Raises InputError if a file or folder is missing or damaged.
    """
    pipeline, model = (None, None) if checkpoint is None else _load_model(checkpoint, overrides)
    table, dataset = _photographs(pipeline, None if data is None else Path(data))
    return Studio(
        say=texts_in(language),
        pipeline=pipeline,
        model=model,
        table=table,
        data=None if dataset is None else Path(dataset.root),
        labels=None if dataset is None else training_table(dataset).parent,
        results=Path(results),
        audit=Path(audit),
        runs=Path(runs),
        thumbnails=Thumbnails(Path(results) / "thumbnails"),
    )


def _load_model(checkpoint: str | Path, overrides: list[str]) -> tuple[Pipeline, Classifier | None]:
    from prediction.pipeline import load_pipeline
    from studio.answers import explainer

    pipeline = load_pipeline(checkpoint, DEFAULTS, overrides)
    return pipeline, explainer(pipeline)


def _photographs(pipeline: Pipeline | None, data: Path | None) -> tuple[ImageTable | None, DatasetConfig | None]:
    if data is not None:
        dataset = compose("config", [f"dataset.root={data}"]).dataset
        return load_table(dataset), dataset
    if pipeline is None:
        return None, None
    dataset = pipeline.config.dataset
    if not Path(dataset.root).is_dir():
        return None, None
    try:
        return load_table(dataset), dataset
    except InputError as error:
        print(f"warning: the photographs of the checkpoint are not shown: {error}", flush=True)
        return None, None
