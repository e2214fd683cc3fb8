"""Oxford 102 Flowers (Nilsback and Zisserman 2008), downloaded by torchvision, as a prepared data set."""

import shutil
from pathlib import Path

from common.classes import ImageClass
from common.errors import InputError
from common.files import replacing
from common.progress import progress
from data.table import write_classes, write_table

HOST = "thor.robots.ox.ac.uk"


def prepare_flowers102(root: Path) -> None:
    """Download, and write train.csv and train/ (torchvision's train and val parts), test.csv and test/, classes.csv.

    A set that is already prepared is left alone. Raises InputError if the download is impossible.
    """
    # classes.csv is written last, so it proves that the set is complete
    if (root / "classes.csv").is_file():
        return
    parts = _download(root / "download")
    _copy_part(root, "train", [*_samples(parts["train"]), *_samples(parts["val"])])
    _copy_part(root, "test", _samples(parts["test"]))
    names = getattr(parts["train"], "classes", None) or [str(label) for label in range(102)]
    write_classes(root / "classes.csv", [ImageClass(label, str(label), name) for label, name in enumerate(names)])


def _download(folder: Path) -> dict:
    from torchvision.datasets import Flowers102

    try:
        return {split: Flowers102(folder, split=split, download=True) for split in ("train", "val", "test")}
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"Oxford 102 Flowers could not be downloaded from {HOST} ({reason}). Put 102flowers.tgz, imagelabels.mat "
            f"and setid.mat into {folder / 'flowers-102'} by hand, or try dataset=demo."
        ) from error


def _samples(part) -> list[tuple[Path, int]]:
    return [(Path(path), int(label)) for path, label in zip(part._image_files, part._labels, strict=True)]


def _copy_part(root: Path, name: str, samples: list[tuple[Path, int]]) -> None:
    with progress(f"copying {name} images", len(samples)) as advance:
        for path, _ in samples:
            with replacing(root / name / path.name) as temporary:
                shutil.copyfile(path, temporary)
            advance(1)
    ordered = sorted((path.name, label) for path, label in samples)
    write_table(root / f"{name}.csv", [image_id for image_id, _ in ordered], [label for _, label in ordered])
