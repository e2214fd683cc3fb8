"""What each table beside the images is: labels, a list of a part, names of classes, an example of a submission."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from common.errors import InputError
from data.label_table import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    NAME_COLUMNS,
    PART_COLUMNS,
    LabelTable,
    column_of,
    has_column,
    label_column,
    named_column,
    one_hot_columns,
    one_hot_labels,
)
from data.listing import is_image_name
from data.match import FileIndex, Matches, index_files, match_names

TRAIN, VAL, TEST = "train", "val", "test"

UNCLEAR_ROWS = "rows with no label, or with several"
NAMELESS_ROWS = "rows without an image name"

_PART_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "训练", "训练集"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "valset", "eval", "dev", "验证", "验证集"), VAL),
    **dict.fromkeys(("test", "testing", "testset", "测试", "测试集"), TEST),
}

_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")

_EXAMPLE = re.compile(r"sample_?sub|submission|submit|prediction", re.IGNORECASE)

_SAMPLE_ROWS = 2000

# the share of its cells that must be files for a column to be that of the images
_MOST = 0.5


@dataclass(frozen=True)
class Columns:
    """The columns that the user names; None means that they are found."""

    image: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class TableUse:
    """What a table says of the images.

    `labels` (file: its labels) and `parts` (file: its part) hold what its rows say; `names` holds columns by category.
    `taken_for` tells the user; `problems` holds rows left out, by reason. `is_example`: its rows name images to
    predict, as an example of a submission does.
    """

    taken_for: str
    labels: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_example: bool = False


def part_of_folder(name: str) -> str | None:
    """Return the part that a folder is called after: `Train`, `test_images`, `validation-set`, `测试集`; or None."""
    fillers = ("images", "image", "imgs", "img", "data", "dataset", "set", "jpg", "jpeg", "photos", "pictures")
    words = [word for word in re.split(r"[\s_\-.]+", name.casefold()) if word and word not in fillers]
    return _PART_WORDS.get(words[0]) if len(words) == 1 else None


def part_of_table(path: str) -> str | None:
    """Return the part that a table is called after, such as `train_labels.csv`; or None."""
    words = re.split(r"[\s_\-.]+", PurePosixPath(path).stem.casefold())
    parts = {_PART_WORDS[word] for word in words if word in _PART_WORDS}
    return parts.pop() if len(parts) == 1 else None


def is_example(path: str) -> bool:
    """Say whether a table is called after a submission or predictions."""
    return bool(_EXAMPLE.search(PurePosixPath(path).stem))


def use_table(
    path: str,
    table: LabelTable,
    folders: Mapping[str, Sequence[str]],
    columns: Columns,
    is_chosen: bool,
    has_classes: bool,
) -> TableUse:
    """Find out what a table says; `folders` holds the images by the part in whose folder they lie.

    Where there are class folders (`has_classes`), a column of labels must be called so: else it may hold anything. For
    the table that the user chose (`is_chosen`), whatever keeps it from giving labels raises InputError.
    """
    own_part = part_of_table(path)
    lacking = (
        [] if is_chosen else [name for name in (columns.image, columns.label) if name and not has_column(table, name)]
    )
    if lacking:
        return TableUse(f"not used: it has no column {lacking[0]}; its columns are {', '.join(table.titles)[:200]}")
    indexes = index_files([folders[part] for part in sorted(folders, key=lambda p: (p != own_part, p != TRAIN))])
    image = _image_column(path, table, indexes, columns)
    if image is None:
        if is_chosen:
            raise InputError(_which_column(path, table, "image names"))
        return _names_of_classes(table) or _names_nothing(table)
    matches = match_names(table.cells(image), indexes)
    if not any(matches.files) and not matches.ambiguous:
        if is_chosen:
            raise InputError(f"{path}: none of the labelled images is there, such as {table.rows[0][image]}.")
        return _names_of_classes(table) or _names_nothing(table)
    if is_example(path) and not is_chosen:
        return _images_to_predict(matches, "an example of a submission, or predictions; its labels are not used")
    labels = _labels(path, table, image, columns, by_name=has_classes and not is_chosen)
    if labels is None:
        if is_chosen:
            raise InputError(_which_column(path, table, "labels"))
        if own_part is None:
            return TableUse("not used: it names images, and none of its columns is called label")
        return TableUse(f"a list of the {own_part} images", parts=dict.fromkeys(_files(matches), own_part))
    if len(set(labels)) == 1 and len(labels) > 1 and not is_chosen:
        return _images_to_predict(matches, f"not labels, because every row says '{labels[0][:40]}'")
    return _label_use(path, table, image, labels, matches, own_part)


def _label_use(
    path: str, table: LabelTable, image: int, labels: list[str], matches: Matches, own_part: str | None
) -> TableUse:
    parts = _parts_of_rows(table, own_part)
    use = TableUse("labels", names=_category_columns(table, image, labels), ambiguous=matches.ambiguous)
    names = table.cells(image)
    seen: Counter[str] = Counter()
    for row, (name, label, file) in enumerate(zip(names, labels, matches.files, strict=True)):
        if not label.strip():
            use.problems.setdefault(UNCLEAR_ROWS, []).append(f"line {table.lines[row]}: {name}")
        elif not name.strip():
            use.problems.setdefault(NAMELESS_ROWS, []).append(f"line {table.lines[row]}")
        elif file is None:
            use.missing.append(name)
        else:
            seen[file] += 1
            if label not in use.labels.setdefault(file, []):
                use.labels[file].append(label)
            part = parts[row]
            if part is not None:
                use.parts[file] = part
    twice = [file for file, count in seen.items() if count > 1 and len(use.labels[file]) == 1]
    if twice:
        use.notes.append(f"{path}: {len(twice)} images stand in it more than once, with the same label")
    if table.empty_rows:
        use.notes.append(f"{path}: {table.empty_rows} empty rows")
    return use


def _image_column(path: str, table: LabelTable, indexes: Sequence[FileIndex], columns: Columns) -> int | None:
    """Return the column of image names: by its name if images are found by it, else by its content."""
    if columns.image is not None:
        return named_column(table, columns.image, path)
    named = [table.columns.index(name) for name in IMAGE_COLUMNS if name in table.columns]
    hits = {}
    for column in dict.fromkeys([*named, *range(len(table.columns))]):
        sample = [row[column] for row in table.rows[:: max(1, len(table.rows) // _SAMPLE_ROWS)]]
        found = match_names(sample, indexes)
        # numbers fit names such as 1.jpg by chance; only a column of a usual name may hold them
        fits = [
            (file is not None or cell in found.ambiguous) and (column in named or not cell.strip().isdigit())
            for cell, file in zip(sample, found.files, strict=True)
        ]
        hits[column] = sum(fits) / len(sample)
        if column in named and hits[column] > _MOST:
            return column
    best = max(hits, key=lambda column: hits[column])
    if hits[best] > (0 if best in named else _MOST):
        return best
    return named[0] if named else None


def _labels(path: str, table: LabelTable, image: int, columns: Columns, by_name: bool) -> list[str] | None:
    """Return the label of each row, empty where there is none; None if the table has no labels."""
    if columns.label is not None:
        return table.cells(named_column(table, columns.label, path))
    column = column_of(table, LABEL_COLUMNS) if by_name else label_column(table, image)
    if column is not None:
        return table.cells(column)
    marks = one_hot_columns(table, image)
    return one_hot_labels(table, marks) if marks else None


def _parts_of_rows(table: LabelTable, own_part: str | None) -> list[str | None]:
    """Return the part that each row names in a column such as `split` or `is_valid`, else the table's own part."""
    column = column_of(table, PART_COLUMNS)
    if column is not None:
        cells = [cell.strip().casefold() for cell in table.cells(column)]
        if table.columns[column].startswith("is_") and set(cells) <= {*_TRUE, *_FALSE}:
            return [VAL if cell in _TRUE else TRAIN for cell in cells]
        if set(cells) <= _PART_WORDS.keys():
            return [_PART_WORDS[cell] for cell in cells]
    return [own_part] * len(table.rows)


def _category_columns(table: LabelTable, image: int, labels: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the columns that are the same for all rows of a category, such as its names, by label."""
    kept: dict[str, dict[str, str]] = {label: {} for label in dict.fromkeys(labels)}
    for column, name in enumerate(table.columns):
        if column == image or name in (*PART_COLUMNS, *LABEL_COLUMNS[:1]) or name not in NAME_COLUMNS:
            continue
        values: dict[str, str] = {}
        cells = table.cells(column)
        if list(cells) == list(labels):
            continue
        if all(values.setdefault(label, cell) == cell for label, cell in zip(labels, cells, strict=True)):
            for label, cell in values.items():
                kept[label][name] = cell.strip()
    return kept


def _images_to_predict(matches: Matches, taken_for: str) -> TableUse:
    return TableUse(taken_for, parts=dict.fromkeys(_files(matches), TEST), is_example=True)


def _files(matches: Matches) -> list[str]:
    return [file for file in matches.files if file is not None]


def _names_of_classes(table: LabelTable) -> TableUse | None:
    key, name = column_of(table, LABEL_COLUMNS), column_of(table, NAME_COLUMNS)
    if key is None or name is None or key == name or _first_image_name(table) is not None:
        return None
    names = {row[key].strip(): {"name": row[name].strip()} for row in table.rows}
    return TableUse("names of classes", names=names)


def _names_nothing(table: LabelTable) -> TableUse:
    named = _first_image_name(table)
    if named is not None:
        return TableUse(f"not used: none of its images is here, such as {named}")
    return TableUse(f"not used: it names no image here; its columns are {', '.join(table.titles)[:200]}")


def _first_image_name(table: LabelTable) -> str | None:
    return next((cell for row in table.rows for cell in row if is_image_name(cell.strip())), None)


def _which_column(path: str, table: LabelTable, content: str) -> str:
    return f"{path}: which column holds the {content}? Its columns are {', '.join(table.titles)[:200]}."
