"""A shortlist of models: which can be used here, keep the limits, and how well each reads these photographs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.device import choose_device, describe_device
from common.errors import InputError
from common.files import as_path, check_writable
from common.memory import release_device_memory
from common.randomness import Purpose, keyed_generator
from configs.compose import compose, listed, parse_override
from configs.options import named_models
from configs.schema import Config
from configs.timm_models import pretrained_config
from data.duplicates import duplicate_groups
from data.prepared import load_table
from data.split import needs_groups, split_table
from data.table import ImageTable
from models.catalog import ModelOption
from models.model_sizes import describe_model
from models.weight_sources import WeightFinder
from tools.shortlist_file import Row, Shortlist, read_rows, sorted_rows, write_rows
from tools.shortlist_model import ModelTest, Settings
from tools.shortlist_words import check_words
from training.auto_settings import with_values

# of as many as it has; with fewer, a classifier of some classes is fitted on one image
FEWEST_OF_A_CLASS = 3


def shortlist(
    words: Sequence[str],
    options: Sequence[str] | None = None,
    weights_dir: str | Path = "weights",
    images: int = 1500,
    seconds_per_model: float = 120.0,
    json_file: str | Path | None = None,
    report: Callable[[Row, bool], None] = lambda row, reused: None,
) -> Shortlist:
    """Measure the options of `model=` (None: all of them), the smallest first, with the overrides `words`.

    Each is measured at the size of its pretrained weights, unless `model.input_size` is among the words.

    A model that breaks a limit, has no weights, or cannot be measured is out, with the first reason; what comes after
    is not measured. `images` training images at most are read for the probe; `seconds_per_model` are a rough limit,
    within which fewer may be. `json_file` is written after each model, and the same call goes on with it. `report`
    gets each row when it is known, and whether it was read from the file. Raises InputError before measuring for wrong
    words, and for a file that holds something else.
    """
    weights_dir = as_path(weights_dir)
    json_file = None if json_file is None else as_path(json_file)
    check_words(words, options, images, seconds_per_model)
    if json_file is not None:
        check_writable(json_file, suffix=".json")
    configs = _configs(words, options)
    first = next(iter(configs.values()))
    device = describe_device(choose_device(first.device))
    table = load_table(first.dataset)
    sizes = _by_size(configs, len(table.classes))
    asked = _asked(words, first, weights_dir, images, seconds_per_model, device, table)
    known = {} if json_file is None else read_rows(json_file, asked)
    settings = Settings(seconds_per_model, WeightFinder(weights_dir), *_probe_rows(table, first, images))
    rows: list[Row] = []
    for size in sizes:
        reused = size.option in known
        rows.append(known[size.option] if reused else ModelTest(configs[size.option], size, settings).row())
        release_device_memory()
        if json_file is not None:
            # what is known of later models must outlive an interruption, too
            later = [known[other.option] for other in sizes[len(rows) :] if other.option in known]
            write_rows(json_file, device, asked, sorted_rows([*rows, *later]))
        report(rows[-1], reused)
    return Shortlist(device, sorted_rows(rows), tuple(row.option for row in rows if row.option in known))


def _configs(words: Sequence[str], options: Sequence[str] | None) -> dict[str, Config]:
    given = any(parse_override(text).key_or_group == "model.input_size" for text in listed(words))
    configs = {}
    for option in dict.fromkeys(options or named_models()):
        # a key may have no effect with one of the models
        config = compose("config", [*words, f"model={option}"], allow_unused=True)
        configs[option] = config if given else _at_pretrained_size(config)
    return configs


def _at_pretrained_size(config: Config) -> Config:
    """Return the config at the size at which the authors of its weights measured them."""
    pretrained = pretrained_config(config.model.architecture)
    size = (pretrained.test_input_size or pretrained.input_size)[-1]
    return with_values(config, {"model.input_size": size, "training.final_input_size": None})


def _by_size(configs: dict[str, Config], num_classes: int) -> list[ModelOption]:
    sizes = [describe_model(option, config.model, num_classes) for option, config in configs.items()]
    return sorted(sizes, key=lambda size: (size.parameters, size.option))


def _probe_rows(table: ImageTable, config: Config, images: int) -> tuple[np.ndarray, int]:
    """Return the training images of the probe, in the order in which they are dropped from the end, and the fewest.

    Raises InputError if no classifier can be measured on images that it was not fitted on.
    """
    groups = duplicate_groups(table, Path(config.dataset.root)) if needs_groups(config.dataset) else None
    train = split_table(table, config.dataset, config.seed, groups).train
    counts = np.bincount(table.labels[train])
    if counts.max() < 2:
        raise InputError("Each class has one training image; a shortlist needs two of at least one class.")
    fewest = int(np.minimum(counts, FEWEST_OF_A_CLASS).sum())
    return probe_order(table.labels, train, config.seed)[: max(images, fewest)], fewest


def probe_order(labels: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return `rows` so that each start of the result is stratified, and has the first images of each class first."""
    drawn = keyed_generator(seed, Purpose.RESAMPLING).permutation(np.sort(rows))
    places = np.empty(len(drawn))
    for label in np.unique(labels[drawn]):
        own = np.flatnonzero(labels[drawn] == label)
        position = np.arange(len(own))
        places[own] = np.where(position < FEWEST_OF_A_CLASS, position - FEWEST_OF_A_CLASS, (position + 0.5) / len(own))
    return drawn[np.argsort(places, kind="stable")]


def _asked(
    words: Sequence[str],
    config: Config,
    weights_dir: Path,
    images: int,
    seconds_per_model: float,
    device: str,
    table: ImageTable,
) -> dict[str, Any]:
    """Return what decides the figures: an earlier file with other values is not gone on with."""
    limits = config.competition
    return {
        "words": sorted(words),
        "settings": {"images": images, "seconds per model": seconds_per_model, "weights": str(weights_dir)},
        "device": device,
        "photographs": {"images": len(table.image_ids), "classes": len(table.classes)},
        "limits": {
            "MB": limits.max_model_mb,
            "parameters": limits.max_parameters,
            "ms": limits.max_latency_ms,
        },
    }
