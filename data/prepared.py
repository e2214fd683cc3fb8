"""The table of images of the `dataset` section; demo images are drawn first, flowers102 is downloaded first."""

from pathlib import Path

from common.errors import InputError
from configs.schema import DatasetConfig
from data.table import ImageTable, read_table


def load_table(config: DatasetConfig) -> ImageTable:
    """Return the labelled images of a data set; `demo` is drawn and `flowers102` downloaded at the first use."""
    root = Path(config.root)
    if config.source == "demo":
        from data.demo import draw_demo

        draw_demo(root, config.demo.classes, config.demo.images_per_class, config.demo.image_size, config.demo.seed)
    elif config.source == "flowers102":
        from data.flowers102 import prepare_flowers102

        prepare_flowers102(root)
    train_csv = Path(config.train_csv) if config.train_csv else root / "train.csv"
    train_dir = Path(config.train_dir) if config.train_dir else root / "train"
    for path in (train_csv, train_dir):
        if not path.exists():
            raise InputError(
                f"{path}: not found. Prepare your images with 'python cli/flower_cli.py prepare-data --source <folder> "
                f"--output {root}', or try the kit with dataset=demo."
            )
    return read_table(train_csv, train_dir, train_csv.parent / "classes.csv")
