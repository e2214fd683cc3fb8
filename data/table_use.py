"""What each table beside the images is: labels, a list of a part, names of classes, an example of a submission."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from common.errors import InputError
from data.class_names import as_number, is_missing
from data.label_table import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    NAME_COLUMNS,
    PART_COLUMNS,
    LabelTable,
    column_of,
    has_column,
    label_column,
    may_be_images,
    named_column,
    one_hot_columns,
    one_hot_labels,
    part_column,
    titles_as_row,
)
from data.listing import is_image_name
from data.match import FileIndex, Matches, match_names
from data.part_names import OTHER, TEST, farther, part_of_table, parts_of_cells

UNCLEAR_ROWS = "rows with no label, or with several"
NAMELESS_ROWS = "rows without an image name"
OTHER_PARTS = "rows of a part that is not training, validation or test"

_EXAMPLE = re.compile(r"sample_?sub|submission|submit|prediction|^(my_?)?sub[_-]?\d*$|提交", re.IGNORECASE)

_SAMPLE_ROWS = 500

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
    predict, as an example of a submission does. `rank` is the lower the surer its labels are.
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
    rank: int = 0


def is_example(path: str) -> bool:
    """Say whether a table is called after a submission or predictions."""
    return bool(_EXAMPLE.search(PurePosixPath(path).stem))


def use_table(
    path: str,
    table: LabelTable,
    indexes: Sequence[FileIndex],
    columns: Columns,
    is_chosen: bool,
    classes: Collection[str] = (),
) -> TableUse:
    """Find out what a table says of the files in `indexes`; where a name fits several groups, the first one counts.

    Where there are class folders (`classes`), a column of labels must be called so, or hold these classes: else it may
    hold anything. For the table that the user chose (`is_chosen`), whatever keeps it from giving labels raises
    InputError.
    """
    lacking = (
        [] if is_chosen else [name for name in (columns.image, columns.label) if name and not has_column(table, name)]
    )
    if lacking:
        return TableUse(f"not used: it has no column {lacking[0]}; its columns are {table.told_titles}")
    names = None if is_chosen else _names_of_classes(table)
    if names is not None and names.names.keys() <= {*classes}:
        return names
    image = _image_column(path, table, indexes, columns)
    if image is None:
        if is_chosen:
            raise InputError(_which_column(path, table, "image names"))
        return names or _names_nothing(table)
    if table.columns[image] not in IMAGE_COLUMNS and match_names([table.titles[image]], indexes).files[0] is not None:
        table = titles_as_row(table)
    matches = match_names(table.cells(image), indexes)
    if not any(matches.files) and not matches.ambiguous:
        if is_chosen:
            raise InputError(f"{path}: none of the labelled images is there, such as {table.rows[0][image]}.")
        return names or _names_nothing(table)
    if is_example(path) and not is_chosen:
        return _images_to_predict(matches, "an example of a submission, or predictions; its labels are not used")
    if not any(matches.files) and classes and not is_chosen:
        return TableUse(f"not used: its names fit several files, such as {_first_ambiguous(matches)}")
    found = _labels(path, table, image, columns, () if is_chosen else classes)
    if found is None:
        if is_chosen:
            raise InputError(_which_column(path, table, "labels"))
        return _list_of_parts(path, table, image, matches)
    labels, told, rank = found
    if len(set(labels)) == 1 and len(labels) > 1 and not is_chosen:
        return _images_to_predict(matches, f"not labels, because every row says '{labels[0][:40]}'")
    use = _label_use(path, table, image, labels, matches)
    taken_for = f"labels: {told}, for the images in column {table.titles[image]}"
    return replace(use, taken_for=taken_for, rank=-1 if is_chosen else rank)


def _list_of_parts(path: str, table: LabelTable, image: int, matches: Matches) -> TableUse:
    parts, notes = _parts_of_rows(path, table, image)
    if not any(parts):
        return TableUse(f"not used: it names images, but none of its columns is called label: {table.told_titles}")
    by_file: dict[str, str] = {}
    for file, part in zip(matches.files, parts, strict=True):
        if file is not None and part is not None:
            by_file[file] = farther(part, by_file.get(file, part))
    found = sorted(set(by_file.values()) - {OTHER})
    problems = {OTHER_PARTS: [file for file, part in by_file.items() if part == OTHER]}
    taken_for = f"a list of the {' and '.join(found)} images"
    if len(table.columns) > 1:
        taken_for += f"; none of its columns is called label: {table.told_titles}"
    return TableUse(taken_for, parts=by_file, problems=problems, notes=notes)


def _label_use(path: str, table: LabelTable, image: int, labels: list[str], matches: Matches) -> TableUse:
    parts, notes = _parts_of_rows(path, table, image)
    names = table.cells(image)
    use = TableUse("", names=_category_columns(table, image, labels), ambiguous=matches.ambiguous, notes=notes)
    empty = {label for label in set(labels) if is_missing(label)}
    seen: Counter[str] = Counter()
    for row, (name, label, file) in enumerate(zip(names, labels, matches.files, strict=True)):
        if label in empty:
            use.problems.setdefault(UNCLEAR_ROWS, []).append(f"line {table.lines[row]}: {name}")
        elif not name.strip():
            use.problems.setdefault(NAMELESS_ROWS, []).append(f"line {table.lines[row]}")
        elif parts[row] == OTHER:
            use.problems.setdefault(OTHER_PARTS, []).append(f"line {table.lines[row]}: {name}")
        elif file is None:
            if name not in matches.ambiguous:
                use.missing.append(name)
        else:
            seen[file] += 1
            if label not in use.labels.setdefault(file, []):
                use.labels[file].append(label)
        part = parts[row]
        if part is not None and file is not None:
            use.parts[file] = farther(part, use.parts.get(file, part))
    twice = [file for file, count in seen.items() if count > 1 and len(use.labels[file]) == 1]
    if twice:
        use.notes.append(f"{path}: {len(twice)} images stand in it more than once, with the same label")
    if table.empty_rows:
        use.notes.append(f"{path}: {table.empty_rows} empty rows")
    if table.above:
        use.notes.append(f"{path}: {table.above} lines above its first line of titles are not read")
    for name, file in list(matches.by_number.items())[:1]:
        count = len(matches.by_number)
        use.notes.append(f"{path}: {count} names fit a file only as a number, such as {name} and {file}")
    return use


def _image_column(path: str, table: LabelTable, indexes: Sequence[FileIndex], columns: Columns) -> int | None:
    """Return the column of image names: by its name if images are found by it, else by its content.

    A column of numbers is taken last: they fit names such as 1.jpg by chance.
    """
    if columns.image is not None:
        return named_column(table, columns.image, path)
    named = list(dict.fromkeys(table.columns.index(name) for name in IMAGE_COLUMNS if name in table.columns))
    rows = table.rows[:: max(1, len(table.rows) // _SAMPLE_ROWS)]
    numbers, hits = [], {}
    others = (column for column in range(len(table.columns)) if column not in named and may_be_images(table, column))
    for column in [*named, *others]:
        cells = [row[column] for row in rows]
        found = match_names(cells, indexes)
        share = sum(file is not None or cell in found.ambiguous for cell, file in zip(cells, found.files, strict=True))
        hits[column] = share / len(cells)
        if hits[column] > _MOST and any(as_number(cell) is None for cell in cells):
            return column
        if hits[column] > 0 and column in named:
            numbers.append(column)
    return max(numbers, key=lambda column: hits[column]) if numbers else next(iter(named), None)


def _labels(
    path: str, table: LabelTable, image: int, columns: Columns, classes: Collection[str]
) -> tuple[list[str], str, int] | None:
    """Return the label of each row, empty where there is none, whence they are, and how sure that is.

    Returns None if the table has no labels.
    """
    if columns.label is not None:
        column = named_column(table, columns.label, path)
        return table.cells(column), f"column {table.titles[column]}", 0
    column = label_column(table, image, classes)
    if column is not None:
        name = table.columns[column]
        rank = LABEL_COLUMNS.index(name) if name in LABEL_COLUMNS else len(LABEL_COLUMNS)
        return table.cells(column), f"column {table.titles[column]}", rank
    marks = one_hot_columns(table, image)
    if classes and not {table.titles[column] for column in marks} <= {*classes}:
        return None
    return (one_hot_labels(table, marks), f"{len(marks)} columns of 0 and 1", 0) if marks else None


def _parts_of_rows(path: str, table: LabelTable, image: int) -> tuple[list[str | None], list[str]]:
    """Return the part of each row, by a column such as `split` or `is_valid`, else by the table's name; and notes."""
    own_part = part_of_table(path)
    column = part_column(table, image)
    if column is None:
        return [own_part] * len(table.rows), []
    parts = parts_of_cells(table.columns[column], table.cells(column))
    if parts is None:
        some = ", ".join(list(dict.fromkeys(table.cells(column)))[:3])[:80]
        note = f"{path}: its column {table.titles[column]} names no part of the data set ({some}); it is not used"
        return [own_part] * len(table.rows), [note]
    return [part or own_part for part in parts], []


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
        is_same = all(values.setdefault(label, cell) == cell for label, cell in zip(labels, cells, strict=True))
        if is_same and (len(values) < 2 or len(set(values.values())) > 1):
            for label, cell in values.items():
                kept[label][name] = cell.strip()
    return kept


def _images_to_predict(matches: Matches, taken_for: str) -> TableUse:
    return TableUse(taken_for, parts=dict.fromkeys(_files(matches), TEST), is_example=True)


def _first_ambiguous(matches: Matches) -> str:
    name, files = next(iter(matches.ambiguous.items()))
    return f"{name}: {' and '.join(files[:2])}"


def _files(matches: Matches) -> list[str]:
    return [file for file in matches.files if file is not None]


def _names_of_classes(table: LabelTable) -> TableUse | None:
    key, name = column_of(table, (*LABEL_COLUMNS, "id")), column_of(table, NAME_COLUMNS)
    if key is None or name is None or key == name or _first_image_name(table) is not None:
        return None
    names = {row[key].strip(): {"name": row[name].strip()} for row in table.rows}
    return TableUse("names of classes", names=names)


def _names_nothing(table: LabelTable) -> TableUse:
    named = _first_image_name(table)
    if named is not None:
        return TableUse(f"not used: none of its images is here, such as {named}")
    return TableUse(f"not used: it names no image here; its columns are {table.told_titles}")


def _first_image_name(table: LabelTable) -> str | None:
    return next((cell for row in table.rows for cell in row if is_image_name(cell.strip())), None)


def _which_column(path: str, table: LabelTable, content: str) -> str:
    return f"{path}: which column holds the {content}? Its columns are {table.told_titles}."
