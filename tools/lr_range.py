"""The learning-rate range test as a tool of its own: its curve as a table and a picture."""

from pathlib import Path

from common.csv_files import write_rows
from common.errors import as_warning
from common.files import as_path, check_writable_folder
from configs.schema import Config
from evaluation.plots import range_figure, save_figure
from training.range_test import RangeTest, range_test
from training.run import set_up_run


def lr_range(config: Config, low: float, high: float, steps: int, folder: str | Path) -> RangeTest:
    """Train a fresh model with a rate that grows from `low` to `high` over `steps`; write lr_range.csv and .png.

    Stops when the loss is four times its lowest. Raises RunError if it does so before ten steps.
    """
    folder = as_path(folder)
    check_writable_folder(folder)
    found = range_test(set_up_run(config), low, high, steps)
    rows = [(f"{rate:.6g}", f"{loss:.6g}") for rate, loss in zip(found.rates, found.losses, strict=True)]
    write_rows(folder / "lr_range.csv", ("learning_rate", "smoothed_loss"), rows)
    with as_warning(f"the picture {folder / 'lr_range.png'}"):
        save_figure(range_figure(found.rates, found.losses, found.steepest), folder / "lr_range.png")
    return found
