"""Words for training, validation and test: in names of folders and tables, and in the cells of a column."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

TRAIN, VAL, TEST = "train", "val", "test"

# the part of rows that say something else, such as `extra`, in a column that else names parts
OTHER = "other"

_FARTHEST = {part: place for place, part in enumerate((TRAIN, VAL, TEST, OTHER))}

_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trainval", "训练", "训练集"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "valset", "eval", "dev", "验证", "验证集"), VAL),
    **dict.fromkeys(("test", "testing", "testset", "测试", "测试集", "holdout"), TEST),
    **dict.fromkeys(("pred", "predict", "inference"), TEST),
}

_FILLERS = (
    *("images", "image", "imgs", "img", "data", "dataset", "set", "jpg", "jpeg", "photos", "pictures", "图片", "图像"),
    *("数据", "数据集", "集", "样本"),
)

_ONLY_IN_CELLS = {"public": TEST, "private": TEST}

_NO_PART = ("", "unassigned", "none", "nan")

_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")


def farther(first: str, second: str) -> str:
    """Return of two parts that an image is said to be in the one farther from training."""
    return max(first, second, key=_FARTHEST.__getitem__)


def part_of_folder(name: str) -> str | None:
    """Return the part that a folder is called after: `Train`, `test_images`, `validation-set`, `测试集`; or None."""
    words = [word for word in re.split(r"[\s_\-.]+", name.casefold()) if word and word not in _FILLERS]
    if len(words) == 1 and words[0] not in _WORDS:
        chinese = re.fullmatch(r"(训练|验证|测试)(集|数据|数据集|图片|图像|样本)+", words[0])
        return _WORDS[chinese[1]] if chinese else None
    return _WORDS.get(words[0]) if len(words) == 1 else None


def part_in_name(name: str) -> str | None:
    """Return the one part whose word stands anywhere in a name: `seg_train`, `test1`, `testB`, `A榜测试集`; or None.

    `train_val2019` is for training.
    """
    words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    words += re.findall("训练|验证|测试", name)
    parts = {_WORDS[word] for word in words if word in _WORDS}
    return TRAIN if parts == {TRAIN, VAL} else parts.pop() if len(parts) == 1 else None


def part_of_table(path: str) -> str | None:
    """Return the part that a table is called after, such as `train_labels.csv`, or else its folder; or None."""
    for name in reversed(PurePosixPath(path).with_suffix("").parts):
        words = re.split(r"[\s_\-.]+", name.casefold())
        parts = {_WORDS[word] for word in words if word in _WORDS}
        if parts:
            return parts.pop() if len(parts) == 1 else None
    return None


def parts_of_cells(column: str, cells: Sequence[str]) -> list[str | None] | None:
    """Return the part that each cell of a column names, such as `split` or `is_valid`; None where a cell is empty.

    Cells that name no part are `OTHER`. Returns None if no cell names a part.
    """
    plain = [cell.strip().casefold() for cell in cells]
    asked = part_in_name(column.removeprefix("is_")) if column.startswith("is_") else None
    if asked is not None and set(plain) <= {*_TRUE, *_FALSE}:
        otherwise = TEST if asked == TRAIN else TRAIN
        return [asked if cell in _TRUE else otherwise for cell in plain]
    meant: dict[str, str | None] = {}
    for cell in set(cells):
        word = cell.strip().casefold()
        found = _ONLY_IN_CELLS.get(word) or _WORDS.get(word) or part_in_name(cell.strip())
        meant[cell] = None if word in _NO_PART else found or OTHER
    return [meant[cell] for cell in cells] if {TRAIN, VAL, TEST} & set(meant.values()) else None


def all_name_parts(cells: Sequence[str]) -> bool:
    """Say whether all cells are words for parts, and one is for training."""
    words = {cell.strip().casefold() for cell in cells}
    return words <= {*_WORDS, *_NO_PART} and TRAIN in {_WORDS.get(word) for word in words}
