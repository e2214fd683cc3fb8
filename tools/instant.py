"""A model without training: linear classifiers on a frozen backbone, compared over heads and backbones."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError, RunError
from common.files import check_writable_folder, write_text
from configs.compose import to_yaml
from configs.options import HEADS, OUT_OF_FOLD, PROBE_STRENGTH, UNTRAINED, check_heads
from configs.schema import Config
from configs.validate import validate
from evaluation.calibration import FEWEST_IMAGES, Calibration, calibrate
from evaluation.intervals import Interval, wilson_interval
from models.checkpoint import make_checkpoint, save_checkpoint
from models.classifier import Classifier, parameter_count, size_in_bytes
from training.features import check_readable, frozen_features
from training.head_start import start_head
from training.linear_probe import choose_regularisation, out_of_fold_logits, start_from_probe
from training.run import Run, describe_table, set_up_run
from training.start import pretrained_model

_ANY_RATE = 1e-6


@dataclasses.dataclass(frozen=True)
class HeadScore:
    """A head on frozen features: how many there are, out-of-fold top-1 (a share) with its interval, seconds of work."""

    head: str
    features: int
    top1: float
    interval: Interval
    seconds: float


@dataclasses.dataclass(frozen=True)
class InstantModel:
    """The best head of a backbone as a checkpoint at `path`; heads that the backbone does not have are in `missing`.

    `unreadable` training images are left out. `regularisation` is the inverse strength of the penalty. `calibration`
    is None for too few images.
    """

    model: str
    architecture: str
    images: int
    unreadable: int
    scores: list[HeadScore]
    missing: dict[str, str]
    best: HeadScore
    regularisation: float
    calibration: Calibration | None
    parameters: int
    megabytes: float
    path: Path


def rank_backbones(
    configs: Sequence[Config], heads: Sequence[str], report: Callable[[InstantModel], None]
) -> tuple[list[InstantModel], dict[str, str]]:
    """Make an instant model of each config's backbone; `report` gets each when it is done.

    Returns them, the best first, and why each of the others could not be had. Raises RunError if none could, and for
    one config what `instant` raises.
    """
    found, failed = [], {}
    if len(configs) == 1:
        found = [instant(configs[0], heads)]
        report(found[0])
        return found, failed
    for config in configs:
        try:
            found.append(instant(config, heads))
        except (InputError, RunError) as error:
            failed[config.model.name] = str(error)
            continue
        report(found[-1])
    if not found:
        raise RunError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    return sorted(found, key=lambda model: -model.best.top1), failed


def instant(config: Config, heads: Sequence[str] = HEADS) -> InstantModel:
    """Fit each head on the frozen features of the training images, and write the best one as best_model.pt.

    Heads are compared by the top-1 of images that the classifier was not fitted on (stratified folds). The temperature
    is fitted on these answers too. Validation images stay held back. An older run in the folder moves to its archive.
    Raises InputError for an unknown head, a backbone without weights, or a class with a single readable image, and
    RunError for too many unreadable images.
    """
    check_heads(heads)
    check_writable_folder(Path(config.output_dir))
    config = _without_training(config)
    run = set_up_run(config)
    validate(run.config, [])
    scores: dict[str, HeadScore] = {}
    missing: dict[str, str] = {}
    for head in heads:
        try:
            scores[head] = _score(run, head)
        except InputError as error:
            missing[head] = str(error)
    if not scores:
        raise InputError("; ".join(dict.fromkeys(missing.values())))
    best = max(scores.values(), key=lambda score: score.top1)
    return _write(run, list(scores.values()), missing, best)


def _without_training(config: Config) -> Config:
    """Return the config of a model that no step has changed. The rate has no effect, but must be a valid one."""
    training = dataclasses.replace(
        config.training,
        name=UNTRAINED,
        head_init="probe",
        ema_decay=None,
        start_mix=0,
        teacher=None,
        learning_rate=config.training.min_lr or _ANY_RATE,
    )
    return dataclasses.replace(config, training=training)


def _with_head(run: Run, head: str) -> tuple[Run, Classifier]:
    """Return the run with this head, and its model with the pretrained backbone and the head's start."""
    model_config = dataclasses.replace(run.config.model, head=head)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, model=model_config))
    model = pretrained_model(run)[0].eval()
    start_head(run, model)
    return run, model


def _score(run: Run, head: str) -> HeadScore:
    started = time.perf_counter()
    run, model = _with_head(run, head)
    features = frozen_features(run, model, run.split.train)
    check_readable(run, run.split.train, features)
    labels = run.table.labels[features.rows]
    _check_classes(labels)
    logits = out_of_fold_logits(features.values, labels, len(run.table.classes), run.config.seed)
    hits = logits.argmax(axis=1) == labels
    interval = wilson_interval(float(hits.sum()), len(hits))
    return HeadScore(head, features.values.shape[1], float(hits.mean()), interval, time.perf_counter() - started)


def _write(run: Run, scores: list[HeadScore], missing: dict[str, str], best: HeadScore) -> InstantModel:
    run, model = _with_head(run, best.head)
    features = frozen_features(run, model, run.split.train)
    labels = run.table.labels[features.rows]
    classes, seed = len(run.table.classes), run.config.seed
    regularisation = choose_regularisation(features.values, labels, classes, seed)
    logits = out_of_fold_logits(features.values, labels, classes, seed, regularisation)
    calibration = calibrate(logits, labels, seed)
    start_from_probe(run, model, regularisation)
    top1 = float((logits.argmax(axis=1) == labels).mean())
    metrics = {OUT_OF_FOLD: top1, PROBE_STRENGTH: regularisation}
    fitted_on = dataclasses.replace(run, split=dataclasses.replace(run.split, train=features.rows))
    checkpoint = make_checkpoint(run.config, model, describe_table(fitted_on), metrics, epoch=0)
    if calibration is not None:
        source = f"{calibration.images} training images, out of fold"
        checkpoint = dataclasses.replace(checkpoint, temperature=calibration.temperature, temperature_source=source)
    with run.folder.locked():
        run.folder.archive()
        save_checkpoint(checkpoint, run.folder.best)
        write_text(run.folder.config, to_yaml(run.config))
    return InstantModel(
        model=run.config.model.name,
        architecture=run.config.model.architecture,
        images=len(labels),
        unreadable=check_readable(run, run.split.train, features),
        scores=scores,
        missing=missing,
        best=best,
        regularisation=regularisation,
        calibration=calibration,
        parameters=parameter_count(model),
        megabytes=size_in_bytes(model) / 1e6,
        path=run.folder.best,
    )


def _check_classes(labels: np.ndarray) -> None:
    singles = int((np.bincount(labels) == 1).sum())
    if singles:
        raise InputError(
            f"{singles} classes have one readable training image; comparing heads needs two of each. "
            "train.py works with one: its probe start compares nothing."
        )
    if len(labels) < FEWEST_IMAGES:
        raise InputError(f"{len(labels)} training images are too few to compare anything.")
