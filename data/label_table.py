"""Tables that people write: any separator, any usual names of columns, labels as words, numbers or one-hot columns.

Everything here is a pure function of text. What a table's rows mean for a folder of images is decided in `layout`.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.errors import InputError
from data.class_names import as_number
from data.listing import is_image_name

IMAGE_COLUMNS = (
    *("filename", "file_name", "image_id", "img_name", "image_name", "image", "img", "image_path", "img_path"),
    *("filepath", "file_path", "path", "file", "id", "name", "文件名", "图片", "图像"),
)

LABEL_COLUMNS = (
    *("category_id", "label", "labels", "class", "class_id", "label_id", "target", "category", "species"),
    *("class_name", "label_name", "category_name", "标签", "类别"),
)

# columns that tell the parts of a data set apart
PART_COLUMNS = ("split", "set", "subset", "part", "partition", "is_valid", "is_val")

# names of a category beside its id, the first of them for display
NAME_COLUMNS = (
    *("name", "english_name", "class_name", "label_name", "category_name", "common_name", "species"),
    *("scientific_name", "latin_name", "chinese_name"),
)

_INDEX_COLUMNS = ("", "index", "unnamed:_0", "#", "no", "no.")

_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class LabelTable:
    """Cells as text, in rows of the same length, and the line of each row.

    `titles` are the columns' names as written, `columns` the same in lower case and with `_` for spaces.
    """

    titles: list[str]
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]
    empty_rows: int

    def cells(self, column: int) -> list[str]:
        """Return the cells of a column."""
        return [row[column] for row in self.rows]


def parse_table(text: str, name: str) -> LabelTable:
    """Split a text into cells. The separator is found; empty rows are counted; a table may lack its first line.

    Raises InputError, naming the line, for a table that is empty or whose rows differ in length.
    """
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found, empty = [], 0
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                found.append((reader.line_num, row))
            else:
                empty += 1
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: not a well-formed table: {error}.") from error
    if not found:
        raise InputError(f"{name}: the file is empty.")
    first = found[0][1]
    if any(is_image_name(cell.strip()) or "/" in cell or "\\" in cell for cell in first):
        titles = [f"column_{number}" for number in range(1, len(first) + 1)]
    else:
        titles = first
        found = found[1:]
    header = [_column_name(cell) for cell in titles]
    if not found:
        raise InputError(f"{name}: no rows below its first line.")
    rows = []
    for line, row in found:
        extra = [cell for cell in row[len(header) :] if cell.strip()]
        if extra or len(row) < len(header):
            raise InputError(f"{name}, line {line}: {len(row)} cells where the first line has {len(header)}.")
        rows.append(row[: len(header)])
    return LabelTable([cell.strip() for cell in titles], header, rows, [line for line, _ in found], empty)


def column_of(table: LabelTable, names: Iterable[str]) -> int | None:
    """Return the first of the columns `names`, or None."""
    return next((table.columns.index(name) for name in names if name in table.columns), None)


def has_column(table: LabelTable, column: str) -> bool:
    """Say whether a table has the column that the user named."""
    return _column_name(column) in table.columns


def named_column(table: LabelTable, column: str, name: str) -> int:
    """Return the column that the user named. Raises InputError, with the columns that there are."""
    if not has_column(table, column):
        raise InputError(f"{name}: no column {column}; its columns are {', '.join(table.titles)[:200]}.")
    return table.columns.index(_column_name(column))


def label_column(table: LabelTable, image_column: int) -> int | None:
    """Return the column of labels: by its name, else the only one beside the image, an index and the part."""
    found = column_of(table, [name for name in LABEL_COLUMNS if name != table.columns[image_column]])
    if found is not None:
        return found
    others = _free_columns(table, image_column)
    if len(others) > 1:
        others = [column for column in others if not _is_index(table, column)]
    return others[0] if len(others) == 1 else None


def one_hot_columns(table: LabelTable, image_column: int) -> list[int]:
    """Return the columns of a one-hot table: two or more, with 0 and 1 alone; an empty list if it is none."""
    columns = _free_columns(table, image_column)
    marks = {as_number(cell) for column in columns for cell in table.cells(column)}
    return columns if len(columns) > 1 and marks <= {0, 1} else []


def one_hot_labels(table: LabelTable, columns: Sequence[int]) -> list[str]:
    """Return the label of each row: the column that holds 1, or nothing where none or several do."""
    labels = []
    for row in table.rows:
        marked = [column for column in columns if as_number(row[column]) == 1]
        labels.append(table.titles[marked[0]] if len(marked) == 1 else "")
    return labels


def _separator(text: str) -> str:
    """Return the separator that gives the first lines the same number of cells, the largest such number."""
    lines = [line for line in text.splitlines()[:30] if line.strip()]
    best, most = ",", 1
    for separator in _SEPARATORS:
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=separator)}
        except csv.Error:
            continue
        if len(widths) == 1 and max(widths) > most:
            best, most = separator, max(widths)
    if most == 1:
        counts = Counter({separator: lines[0].count(separator) for separator in _SEPARATORS}) if lines else Counter()
        best = counts.most_common(1)[0][0] if counts and max(counts.values()) else ","
    return best


def _column_name(cell: str) -> str:
    text = unicodedata.normalize("NFKC", cell).strip().casefold()
    return re.sub(r"[\s\-]+", "_", text)


def _free_columns(table: LabelTable, image_column: int) -> list[int]:
    """Return the columns that are not the image, nor an index or a part by their names."""
    taken = (*_INDEX_COLUMNS, *PART_COLUMNS)
    return [column for column, name in enumerate(table.columns) if column != image_column and name not in taken]


def _is_index(table: LabelTable, column: int) -> bool:
    """Say whether a column counts the rows, from 0 or 1 on."""
    cells = table.cells(column)
    return len(cells) > 2 and any(
        all(cell.strip() == str(number) for number, cell in enumerate(cells, start)) for start in (0, 1)
    )
