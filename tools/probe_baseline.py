"""Baseline: logistic regression on the features of a frozen pretrained backbone."""

import dataclasses
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import as_path, check_writable_folder
from configs.input_sizes import eval_size
from configs.schema import Config
from data.labelled import read_labelled
from evaluation.intervals import wilson_interval
from evaluation.labelled_images import with_classes_of
from evaluation.metrics import top_k_accuracy
from training.features import check_readable, frozen_features
from training.head_start import start_head
from training.linear_probe import choose_regularisation, fit_classifier
from training.run import Run, set_up_run
from training.start import pretrained_model


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """The accuracy (shares) of a linear classifier on frozen features, with the 95 % interval of top-1.

    `regularisation` is the inverse strength of the penalty, chosen by cross-validation. `unreadable` images, for
    training and to measure on, are left out.
    """

    architecture: str
    input_size: int
    training_images: int
    classes: int
    regularisation: float
    images: int
    source: str
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    unreadable: int


def probe(config: Config, data: str | Path | None = None) -> ProbeResult:
    """Fit on the training images and measure on the table `data`, or on the images held back for validation.

    Raises InputError if there is nothing to measure on, and RunError for too many unreadable images.
    """
    check_writable_folder(Path(config.output_dir))
    run = set_up_run(config)
    if data is None and len(run.split.val) == 0:
        raise InputError(
            "dataset.val_split=0: nothing is held back to measure on. Hold images back, or give other labelled images."
        )
    model = pretrained_model(run)[0].eval()
    start_head(run, model)
    classes = len(run.table.classes)
    training = frozen_features(run, model, run.split.train)
    unreadable = check_readable(run, run.split.train, training)
    labels = run.table.labels[training.rows]
    regularisation = choose_regularisation(training.values, labels, classes, config.seed)
    classifier = fit_classifier(training.values, labels, classes, regularisation)

    measured_run, rows, source = _measured(run, data)
    measured = frozen_features(measured_run, model, rows)
    unreadable += check_readable(measured_run, rows, measured)
    logits, truth = classifier.logits(measured.values), measured_run.table.labels[measured.rows]
    top1 = top_k_accuracy(logits, truth, 1)
    return ProbeResult(
        architecture=config.model.architecture,
        input_size=eval_size(run.config),
        training_images=len(labels),
        classes=classes,
        regularisation=regularisation,
        images=len(truth),
        source=source,
        top1=top1,
        top1_interval=wilson_interval(top1 * len(truth), len(truth)),
        top5=top_k_accuracy(logits, truth, 5),
        unreadable=unreadable,
    )


def _measured(run: Run, data: str | Path | None) -> tuple[Run, np.ndarray, str]:
    if data is None:
        return run, run.split.val, "validation"
    data = as_path(data)
    table = with_classes_of(run.table.classes, read_labelled(data), data)
    return dataclasses.replace(run, table=table), np.arange(len(table.image_ids)), str(data)
