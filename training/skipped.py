"""Unreadable training and validation images: remembered, listed, and an error if they are too many."""

from collections.abc import Sequence
from typing import NoReturn

from common import distributed
from common.errors import RunError
from training.findings import read_findings
from training.run import Run
from training.run_folder import write_skipped_images
from training.state import TrainingState


def note_skipped(run: Run, state: TrainingState, skipped: Sequence[tuple[int, str]]) -> None:
    """Remember unreadable images: table rows, each with its problem."""
    state.skipped.update({run.table.image_ids[row]: problem for row, problem in skipped})


def skipped_too_many(run: Run, state: TrainingState) -> bool:
    """Say whether this rank has skipped more than `dataset.max_bad_fraction` of all images."""
    return len(state.skipped) > run.config.dataset.max_bad_fraction * _images(run)


def raise_for_skipped(run: Run, state: TrainingState) -> NoReturn:
    """List the images that the ranks have skipped, and raise a RunError that names the list; all ranks call this."""
    read_findings(run, state)
    state.add_up()
    path, limit = run.folder.skipped_images, run.config.dataset.max_bad_fraction
    if distributed.is_main():
        write_skipped_images(path, run.table.image_dir, state.skipped)
    image_id, problem = next(iter(state.skipped.items()))
    raise RunError(
        f"{len(state.skipped)} of {_images(run)} images could not be read, more than dataset.max_bad_fraction="
        f"{limit:g}; {path} lists each with its problem (first {image_id}: {problem}). Mend them, or give a larger "
        "fraction."
    )


def _images(run: Run) -> int:
    return len(run.split.train) + len(run.split.val)
