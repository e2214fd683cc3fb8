"""Saving: the files of a run are written by a thread, all from one moment, while training goes on."""

import threading
import time
from types import TracebackType
from typing import Any

import torch

from common import distributed
from common.errors import as_warning
from common.files import run_all, write_text
from configs.compose import to_plain, to_yaml
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.findings import read_findings
from training.resume import save_training_state
from training.run import Run, describe_table
from training.run_folder import write_history, write_skipped_images, write_validation_hits
from training.state import TrainingState

# at the ends of epochs, writing takes at most this share of the time
SHARE_OF_TIME = 0.1


class Saver:
    """Writes best_model.pt, history.csv, skipped_images.csv and last.pt. Use it as a context manager.

    A file is whole or not there, because it is renamed once it is written. All ranks must save at the same step; rank 0
    writes. At the end of the context the last file is whole.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._best: Checkpoint | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._saved = time.perf_counter()
        self._seconds_of_writing = 0.0

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.finish()
        else:
            # the error that ends the run is the one to raise
            with as_warning(f"the newest {self.run.folder.last.name}"):
                self.finish()

    def keep_best(self, checkpoint: Checkpoint) -> None:
        """Remember the best model so far; the next `save` writes it."""
        self._best = checkpoint

    def is_due(self, at_the_end_of_an_epoch: bool) -> bool:
        """Say whether rank 0 wants to save; False on other ranks.

        Within an epoch `training.checkpoint_every_minutes` decides. At its end saving is cheap for a resumed run, and
        done more often, if it does not take more than `SHARE_OF_TIME`.
        """
        pause = 60 * self.run.config.training.checkpoint_every_minutes
        if at_the_end_of_an_epoch:
            pause = min(pause, self._seconds_of_writing / SHARE_OF_TIME)
        return distributed.is_main() and time.perf_counter() - self._saved >= pause

    def save(self, state: TrainingState) -> None:
        """Copy the state and write it, and the best model if there is a newer one, in a thread.

        Waits for the save before this one. Raises its RunError if it failed.
        """
        read_findings(self.run, state)
        state.add_up()
        if distributed.is_main():
            self.finish()
            arguments = (copied(state.to_dict()), self._best)
            self._thread = threading.Thread(target=self._try_to_write, args=arguments, name="saving")
            self._best, self._saved = None, time.perf_counter()
            self._ended.clear()
            self._thread.start()
        state.reset_totals_on_other_ranks()
        # they wait here and not for their gradients, because NCCL's patience is shorter than a slow disk may need
        distributed.wait_for_all()

    def finish(self) -> None:
        """Wait until the files are whole. Raises RunError if they could not be written."""
        if self._thread is not None:
            # Windows answers Ctrl-C only between waits; a join that Ctrl-C breaks off makes Python forget the thread
            while not self._ended.wait(0.5):
                pass
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _try_to_write(self, state: dict[str, Any], best: Checkpoint | None) -> None:
        started = time.perf_counter()
        try:
            self._write(state, best)
        except Exception as error:  # noqa: BLE001 - whatever it is, `finish` raises it in the main thread
            self._error = error
        finally:
            self._seconds_of_writing = time.perf_counter() - started
            self._ended.set()

    def _write(self, state: dict[str, Any], best: Checkpoint | None) -> None:
        """Write the files; a table that another program holds is written anew with the next save.

        A held best_model.pt does not cost last.pt. Raises RunError if one of the two could not be written.
        """
        run, folder = self.run, self.run.folder
        with as_warning("the new history"):
            write_history(folder.history, state["history"])
        if state["skipped"]:
            with as_warning("the new list of skipped images"):
                write_skipped_images(folder.skipped_images, run.table.image_dir, state["skipped"])
        if state["validation_hits"]:
            with as_warning("the new table of validation answers"):
                names = [run.table.image_ids[row] for row in run.split.val]
                write_validation_hits(
                    folder.validation_hits, names, [hits.numpy() for hits in state["validation_hits"]]
                )
        described = describe_table(run)
        facts = {
            "config": to_plain(run.config),
            "split": described["split"],
            "corrections": described["corrections"],
            "choices": run.choices,
        }
        writers = [] if best is None else [lambda: save_checkpoint(best, folder.best)]
        run_all([*writers, lambda: save_training_state({**facts, "state": state}, folder.last, folder.previous)])


def write_config(run: Run) -> None:
    """Write config.yaml; what took the place of `auto`, and what followed from the time, stands above it."""
    comments = "".join(f"# {sentence}\n" for sentence in run.choices)
    write_text(run.folder.config, comments + to_yaml(run.config))


def load_best(run: Run) -> Checkpoint:
    """Return best_model.pt, which rank 0 reads for all ranks; all must call this."""
    found = load_checkpoint(run.folder.best) if distributed.is_main() else None
    return distributed.gather(found)[0]


def copied(value: Any) -> Any:
    """Return containers with copies of their tensors on the CPU, which training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return value
