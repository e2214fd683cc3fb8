"""What can be known of a command line before torch is imported, which takes seconds. Imports nothing heavy.

Each check raises InputError with the sentence of the work itself, which checks again, because files can change. Under
torchrun nothing is checked here: its processes find a fault together.
"""

import contextlib
import functools
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import ParamSpec

from common.errors import InputError
from configs.schema import Config

P = ParamSpec("P")


def early(check: Callable[P, None]) -> Callable[P, None]:
    """Make a check one that is done before the work: what it prints is left to the work, unless it fails."""

    @functools.wraps(check)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        if "RANK" in os.environ:
            return
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                check(*arguments, **named)
        except InputError:
            sys.stdout.write(said.getvalue())
            raise

    return run


@early
def check_run(config: Config) -> None:
    """Check what a training reads and writes: its folder, its data, and the files that its config names."""
    from common.files import check_writable_folder
    from data.prepared import check_data
    from training.named_files import check_named_files

    check_writable_folder(Path(config.output_dir))
    check_data(config.dataset)
    check_named_files(config)


def name_keys_of_training(overrides: Sequence[str]) -> None:
    """Print which given keys of training and augmentation change nothing, for a command that trains nothing."""
    from configs.compose import explicit_keys, parse_override
    from configs.options import READ_WITHOUT_TRAINING

    given = dict.fromkeys(explicit_keys(map(parse_override, overrides)))
    idle = [key for key in given if key.startswith(("training.", "augmentation.")) and key not in READ_WITHOUT_TRAINING]
    if idle:
        print(f"note: {', '.join(idle)}: without effect here, because nothing is trained.")


@early
def check_data_of(config: Config) -> None:
    """Check the data of a config alone."""
    from data.prepared import check_data

    check_data(config.dataset)


@early
def check_folder(path: Path) -> None:
    """Check that files can be written into a folder."""
    from common.files import check_writable_folder

    check_writable_folder(path)


@early
def check_file(path: Path, inputs: Sequence[Path] = (), suffix: str | None = None) -> None:
    """Check that a file can be written, and is none of the `inputs`."""
    from common.files import check_writable

    check_writable(path, inputs, suffix)


@early
def check_models(paths: Iterable[Path], overrides: Sequence[str], keys: Collection[str]) -> None:
    """Check checkpoints or exported models from outside, and that `overrides` of their config are of `keys`."""
    from configs.compose import parse_allowed
    from prediction.runtime_packages import check_model

    for path in paths:
        check_model(path)
    parse_allowed(overrides, keys)


@early
def check_pipeline(flags: Namespace, overrides: Sequence[str], keys: Collection[str]) -> None:
    """Check the flags of `add_pipeline_flags`, where checkpoints are given."""
    from cli.pipeline_flags import read_prediction_options
    from prediction.options import weight_shares
    from prediction.runtime_packages import CONVERTERS, require_runtime

    options = read_prediction_options(flags)
    weight_shares(options.weights, len(flags.checkpoint))
    check_models(flags.checkpoint, overrides, keys)
    if options.runtime in CONVERTERS:
        require_runtime(options.runtime)


@early
def check_images(paths: Sequence[Path] | None) -> None:
    """Check the images to predict; None are those of the checkpoint, which is not read here."""
    from data.inputs import check_inputs

    if paths is not None:
        check_inputs(paths)


@early
def check_labels(data: Path | None) -> None:
    """Check labelled images; None are those of the checkpoint."""
    from data.labelled import check_labelled

    if data is not None:
        check_labelled(data)


@early
def check_saved(paths: Sequence[Path], weights: Sequence[float] | None) -> None:
    """Check files of saved probabilities and the weights of their members."""
    from prediction.options import weight_shares
    from prediction.recorded import check_probabilities

    for path in paths:
        check_probabilities(path)
    weight_shares(weights, len(paths))


@early
def check_conversion(checkpoint: Path, runtime: str, precision: str, output: Path) -> None:
    """Check an export: whether it is offered, its packages and its files."""
    from common.files import check_writable
    from prediction.runtime_packages import files_of
    from tools.export_options import check_export

    check_export(runtime, precision, output)
    for file in files_of(output):
        check_writable(file, [checkpoint])


@early
def check_temperature_source(data: Path | None, folds: Path | None) -> None:
    """Check that a temperature comes from one source, and that the folds are there."""
    from tools.folds import check_source, fold_checkpoints

    check_source(data, folds)
    if folds is not None:
        fold_checkpoints(folds)


@early
def check_folds(folder: Path, overrides: Sequence[str]) -> None:
    """Check the models of a cross-validation."""
    from prediction.options import LABELLED_KEYS
    from tools.folds import fold_checkpoints

    check_models(fold_checkpoints(folder), overrides, LABELLED_KEYS)


@early
def check_search(words: Sequence[str], output: Path) -> None:
    """Check a search of `tune`: its package, its words, its folder and its data."""
    from common.files import check_writable_folder
    from tools.search_space import check_optuna, check_space, read_space

    check_optuna()
    space = read_space(words)
    check_writable_folder(output)
    check_data_of(check_space(space))


@early
def check_shortlist(words: Sequence[str], options: Sequence[str] | None, images: int, seconds: float) -> None:
    """Check a shortlist: what it is asked for, and its data."""
    from configs.compose import compose
    from tools.shortlist_words import check_words

    check_words(words, options, images, seconds)
    check_data_of(compose("config", words, allow_unused=True))


@early
def check_studio(checkpoint: Path | None, data: Path | None, overrides: Sequence[str]) -> None:
    """Check the model and the prepared folder of the page."""
    from configs.compose import compose
    from prediction.options import OVERRIDABLE_KEYS

    if checkpoint is not None:
        check_models([checkpoint], overrides, OVERRIDABLE_KEYS)
    if data is not None:
        check_data_of(compose("config", [f"dataset.root={data}"]))
