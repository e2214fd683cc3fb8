"""What all tabs share and none changes: the model, the photographs, the language, the folder of small pictures.

Without a model the page opens without torch, which takes longer to import than a large data set takes to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError
from configs.compose import compose
from data.prepared import load_table
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

    `data` is the folder of the table, `results` the one that the page writes into, `runs` the one of all runs.
    """

    say: Say
    pipeline: Pipeline | None
    model: Classifier | None
    table: ImageTable | None
    data: Path | None
    results: Path
    runs: Path
    thumbnails: Thumbnails


def open_studio(
    checkpoint: str | Path | None,
    data: str | Path | None,
    language: str,
    results: str | Path,
    overrides: list[str],
    runs: str | Path = "results",
) -> Studio:
    """Load the model and the table of photographs; without `data` these are the photographs of the checkpoint.

    `overrides` are those of a pipeline, `runs` is the folder whose runs are listed. Raises InputError if a file or
    folder is missing or damaged.
    """
    pipeline, model = (None, None) if checkpoint is None else _load_model(checkpoint, overrides)
    table, folder = _photographs(pipeline, None if data is None else Path(data))
    return Studio(
        say=texts_in(language),
        pipeline=pipeline,
        model=model,
        table=table,
        data=folder,
        results=Path(results),
        runs=Path(runs),
        thumbnails=Thumbnails(Path(results) / "thumbnails"),
    )


def _load_model(checkpoint: str | Path, overrides: list[str]) -> tuple[Pipeline, Classifier | None]:
    from prediction.pipeline import load_pipeline
    from studio.answers import explainer

    pipeline = load_pipeline(checkpoint, DEFAULTS, overrides)
    return pipeline, explainer(pipeline)


def _photographs(pipeline: Pipeline | None, data: Path | None) -> tuple[ImageTable | None, Path | None]:
    if data is not None:
        return load_table(compose("config", [f"dataset.root={data}"]).dataset), data
    if pipeline is None:
        return None, None
    dataset = pipeline.config.dataset
    if not Path(dataset.root).is_dir():
        return None, None
    try:
        return load_table(dataset), Path(dataset.root)
    except InputError as error:
        print(f"warning: the photographs of the checkpoint are not shown: {error}", flush=True)
        return None, None
