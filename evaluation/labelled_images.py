"""The labelled images that a model is measured on, with labels matched to the classes of the model."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.classes import ImageClass, labels_in
from common.errors import InputError, check_choice
from common.files import as_path
from data.dataloader import BatchReader, eval_reader
from data.dataset import ImageDataset
from data.inputs import Inputs
from data.labelled import read_labelled
from data.prepared import load_table
from data.table import ImageTable
from data.transforms import EvalTransform
from prediction.options import SPLITS
from prediction.pipeline import Pipeline, PredictedProbabilities, predict_images


@dataclass(frozen=True)
class LabelledImages:
    """The images of an evaluation: rows int64 (N,) of a table that has the labels of the pipeline.

    `source` describes them in words; `split` is their part of the checkpoint's own data set, or None.
    """

    table: ImageTable
    rows: np.ndarray
    source: str
    split: str | None = None

    @property
    def inputs(self) -> Inputs:
        image_ids = [self.table.image_ids[row] for row in self.rows]
        return Inputs(image_ids, [self.table.image_dir / image_id for image_id in image_ids])

    @property
    def labels(self) -> np.ndarray:
        return self.table.labels[self.rows]


def readable_rows(answers: PredictedProbabilities, images: LabelledImages) -> np.ndarray:
    """Return the rows int64 (M,) of readable images. Raises InputError if there are none."""
    if len(answers.readable) == 0:
        raise InputError(
            f"{images.table.image_dir}: none of the {len(images.rows)} images could be read, "
            f"the first because: {answers.first_problem}."
        )
    return answers.readable


def correct_answers(pipeline: Pipeline, images: LabelledImages, description: str) -> np.ndarray:
    """Return bool (M,) for the M readable images: whether the most probable class is right.

    Classes are matched by category id, because the images may have been chosen with another pipeline. Raises InputError
    if no image can be read.
    """
    labels = with_classes_of(pipeline.classes, images.table, images.table.image_dir).labels[images.rows]
    answers = predict_images(pipeline, images.inputs, description)
    rows = readable_rows(answers, images)
    return answers.probabilities[rows].argmax(axis=1) == labels[rows]


def choose_images(pipeline: Pipeline, split: str | None, data: str | Path | None) -> LabelledImages:
    """Return the images of a split of the (first) checkpoint (None is the first of `SPLITS`), or of `data`.

    Raises InputError if both are given, or the images are missing.
    """
    config, checkpoint = pipeline.config.dataset, pipeline.members[0].checkpoint
    if data is not None:
        if split is not None:
            raise InputError("A split is of the checkpoint's own images, and other images are named. Give one of them.")
        data = as_path(data)
        table = with_classes_of(pipeline.classes, read_labelled(data), data)
        return LabelledImages(table, _sorted_rows(table, range(len(table.image_ids))), str(data))
    split = SPLITS[0] if split is None else split
    check_choice(f"split {split!r}", split, SPLITS)
    table = with_classes_of(pipeline.classes, load_table(config), Path(config.root))
    wanted = {
        "val": checkpoint.split["val"],
        "train": checkpoint.split["train"],
        "test": checkpoint.split.get("test", []),
        "all": [image_id for part in checkpoint.split.values() for image_id in part],
    }[split]
    if not wanted:
        raise InputError(
            f"{split} split: the checkpoint's run held no images back for it. Choose another split, or give other "
            "labelled images."
        )
    row_of = {image_id: row for row, image_id in enumerate(table.image_ids)}
    missing = [image_id for image_id in wanted if image_id not in row_of]
    if missing:
        raise InputError(
            f"{table.image_dir}: {len(missing)} of the checkpoint's {len(wanted)} {split} images are not in its table, "
            f"first {missing[0]}. {_remedy(table)}"
        )
    rows = _sorted_rows(table, [row_of[image_id] for image_id in wanted])
    return LabelledImages(table, rows, f"{split} split of {table.image_dir}", split)


def _remedy(table: ImageTable) -> str:
    if table.corrections is not None and table.corrections.dropped:
        return "Its corrections.csv drops images; train anew, or give other labelled images."
    return "Give dataset.root=<the folder it was trained on>, or other labelled images."


def images_new_to(pipeline: Pipeline, images: LabelledImages) -> LabelledImages:
    """Return the images that no member was trained on. Raises InputError if there are none."""
    trained_on = set().union(*(member.checkpoint.split["train"] for member in pipeline.members))
    rows = np.array([row for row in images.rows if images.table.image_ids[row] not in trained_on], dtype=np.int64)
    if len(rows) == 0:
        raise InputError(
            f"Each of the {len(images.rows)} images ({images.source}) was seen in training by a model. Train with the "
            "same seed, or with dataset.test_split, or give labelled images that none has seen."
        )
    return LabelledImages(images.table, rows, images.source, images.split)


def training_batches(pipeline: Pipeline, count: int) -> BatchReader:
    """Return batches of `count` random training images of the first member, transformed as in evaluation."""
    train, checkpoint = choose_images(pipeline, "train", None), pipeline.members[0].checkpoint
    chosen = np.random.default_rng(0).permutation(train.rows)[:count]
    view = EvalTransform(checkpoint.input_size, checkpoint.crop_pct, (checkpoint.fit,))
    images = ImageDataset(train.table.image_dir, train.table.image_ids, train.table.labels, view)
    return eval_reader(images, chosen.tolist(), pipeline.config.dataset, pipeline.device)


def _sorted_rows(table: ImageTable, rows: Iterable[int]) -> np.ndarray:
    return np.array(sorted(rows, key=lambda row: table.image_ids[row]), dtype=np.int64)


def with_classes_of(classes: list[ImageClass], table: ImageTable, source: Path) -> ImageTable:
    """Return the table with the labels of `classes`, matched by category id. Raises InputError for unknown ones."""
    labels = labels_in(classes, table.classes)
    used = np.unique(table.labels).tolist()
    unknown = [table.classes[label].category_id for label in used if labels[label] is None]
    if unknown:
        raise InputError(
            f"{source}: {len(unknown)} of its classes are unknown to the model, first category id {unknown[0]}."
        )
    new_label = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
    return replace(table, labels=new_label[table.labels], classes=classes)
