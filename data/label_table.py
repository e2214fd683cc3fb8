"""Tables that people write: any separator, any usual names of columns, labels as words, numbers or one-hot columns.

Everything here is a pure function of text. What a table's rows mean for a folder of images is decided in `layout`.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from common.errors import InputError
from data.class_names import as_number
from data.listing import is_image_name
from data.part_names import all_name_parts

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")

IMAGE_COLUMNS = (
    *("filename", "file_name", "image_id", "img_name", "image_name", "image", "img", "image_path", "img_path"),
    *("filepath", "file_path", "path", "file", "id", "name", "fname", "photo", "picture"),
    *("image_file", "img_id", "photo_id", "文件名", "图片", "图像", "图片名", "图片名称"),
)

LABEL_COLUMNS = (
    *("category_id", "label", "labels", "class", "class_id", "label_id", "target", "category", "species"),
    *("class_name", "label_name", "category_name", "class_label", "breed", "variety", "diagnosis", "choice"),
    *("标签", "类别", "分类", "种类"),
)

# columns that tell the parts of a data set apart
PART_COLUMNS = (
    *("split", "set", "subset", "part", "partition", "phase", "usage", "data_split", "dataset_split"),
    *("is_valid", "is_val", "is_train", "is_training", "is_test"),
)

# names of a category beside its id, the first of them for display
NAME_COLUMNS = (
    *("name", "english_name", "class_name", "label_name", "category_name", "common_name", "species"),
    *("scientific_name", "latin_name", "chinese_name", "flower_name", "english", "chinese", "latin", "中文名", "名称"),
)

_INDEX_COLUMNS = ("", "index", "unnamed:_0", "#", "no", "no.")

# columns that are never guessed to be labels
_OTHER_COLUMNS = (
    *("fold", "folds", "kfold", "k_fold", "width", "height", "size", "text", "caption", "description", "note", "notes"),
    *("comment", "url", "date", "time", "datetime", "timestamp", "hash", "md5", "sha256", "license", "author", "user"),
    *("user_id", "photographer", "source", "latitude", "longitude", "lat", "lon", "xmin", "ymin", "xmax"),
    *("ymax", "bbox", "confidence", "score", "probability"),
)

# from this number of rows on, a column with a value of its own in most rows is no column of labels
_ROWS_TO_JUDGE = 10

# the share of the first lines that must have the same number of cells
_MOST_LINES = 0.7

# longer cells than the usual limit hold outlines of objects
csv.field_size_limit(50_000_000)

_SEPARATORS = ",;\t|"

_NAME_AND_CELLS = re.compile(r"\s*([^,;|\t\"]+\.(?:jpe?g|png|bmp|gif|webp|tiff?))[ ]+([^,;|\"]+)", re.IGNORECASE)


@dataclass(frozen=True)
class LabelTable:
    """Cells as text, in rows of the same length, and the line of each row.

    `titles` are the columns' names as written, `columns` the same in lower case and with `_` for spaces. `above` counts
    the lines above the titles, which are no part of the table.
    """

    titles: list[str]
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]
    empty_rows: int
    above: int = 0

    def cells(self, column: int) -> list[str]:
        """Return the cells of a column."""
        return [row[column] for row in self.rows]

    @property
    def told_titles(self) -> str:
        """The titles for a message."""
        return ", ".join(self.titles)[:200]


def table_text(content: bytes, name: str) -> str:
    """Return the text of a table: UTF-8, or UTF-16 where its first bytes say so. Raises InputError for another file."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8).") from error
    if "\0" in text:
        raise InputError(f"{name}: not a text file (it holds NUL bytes). Save it as UTF-8.")
    return text


def parse_table(text: str, name: str) -> LabelTable:
    """Split a text into cells. The separator is found; empty rows are counted; a table may lack its first line.

    Raises InputError, naming the line, for a table that is empty or whose rows differ in length.
    """
    found, empty = _read_cells(text, name)
    above = _lines_above([row for _, row in found[:50]])
    found = found[above:]
    if not found:
        raise InputError(f"{name}: the file is empty.")
    first = found[0][1]
    if _is_row(first):
        titles = _numbered(len(first))
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
    return LabelTable([cell.strip() for cell in titles], header, rows, [line for line, _ in found], empty, above)


def titles_as_row(table: LabelTable) -> LabelTable:
    """Return a table whose first line turned out to be a row like the others."""
    titles = _numbered(len(table.titles))
    lines = [table.lines[0] - 1, *table.lines]
    return LabelTable(titles, titles, [table.titles, *table.rows], lines, table.empty_rows, table.above)


def _read_cells(text: str, name: str) -> tuple[list[tuple[int, list[str]]], int]:
    """Return line number and cells of each row that is not empty, and the number of empty rows."""
    by_spaces = _split_by_spaces(text)
    if by_spaces is not None:
        return by_spaces
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    found, empty = [], 0
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                found.append((reader.line_num, row))
            else:
                empty += 1
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: not a well-formed table: {error}.") from error
    return found, empty


def _split_by_spaces(text: str) -> tuple[list[tuple[int, list[str]]], int] | None:
    """Return the rows of a list such as `images/1.jpg 3`, or None for any other text."""
    lines = text.splitlines()
    some = [line for line in lines[:50] if line.strip()]
    if not some or not all(_NAME_AND_CELLS.fullmatch(line) for line in some):
        return None
    found = []
    for number, line in enumerate(lines, start=1):
        match = _NAME_AND_CELLS.fullmatch(line)
        if line.strip():
            found.append((number, [match[1], *match[2].split()] if match else [line]))
    return found, len(lines) - len(found)


def _lines_above(rows: Sequence[Sequence[str]]) -> int:
    """Return how many rows at the top are a comment, a title, or Excel's `sep=;`, rather than the table."""
    if not rows:
        return 0
    usual = Counter(_filled(row) for row in rows).most_common(1)[0][0]
    above = 0
    for row in rows[:-1]:
        start = row[0].strip().casefold()
        below = {_column_name(cell) for cell in rows[above + 1]}
        is_comment = start.startswith("#") and (_filled(row) != usual or bool(below & {*IMAGE_COLUMNS, *LABEL_COLUMNS}))
        is_title = start and _filled(row) == 1 < usual and _column_name(start) not in IMAGE_COLUMNS
        if not (is_comment or is_title or re.fullmatch(r"sep=.?", start)) or _is_row(row):
            break
        above += 1
    return above


def _filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _is_row(first: Sequence[str]) -> bool:
    """Say whether the first line names an image rather than columns."""
    if any(is_image_name(cell.strip()) for cell in first):
        return True
    names = {_column_name(cell) for cell in first}
    return any("/" in cell or "\\" in cell for cell in first) and not names & {*IMAGE_COLUMNS, *LABEL_COLUMNS}


def _numbered(count: int) -> list[str]:
    return [f"column_{number}" for number in range(1, count + 1)]


def column_of(table: LabelTable, names: Iterable[str]) -> int | None:
    """Return the first of the columns `names`, or None."""
    return next((table.columns.index(name) for name in names if name in table.columns), None)


def may_be_images(table: LabelTable, column: int) -> bool:
    """Say whether the name of a column allows names of images, unlike `url`, whose last part fits files by chance."""
    return table.columns[column] not in _OTHER_COLUMNS and not table.columns[column].endswith("url")


def has_column(table: LabelTable, column: str) -> bool:
    """Say whether a table has the column that the user named."""
    return _column_name(column) in table.columns


def named_column(table: LabelTable, column: str, name: str) -> int:
    """Return the column that the user named. Raises InputError, with the columns that there are."""
    if not has_column(table, column):
        raise InputError(f"{name}: no column {column}; its columns are {table.told_titles}.")
    return table.columns.index(_column_name(column))


def label_column(table: LabelTable, image_column: int, classes: Collection[str] = ()) -> int | None:
    """Return the column of labels: by its name, else the only one that may hold them, or the only one with words.

    Where there are class folders, another name is accepted only if all cells are these `classes`.
    """
    found = column_of(table, [name for name in LABEL_COLUMNS if name != table.columns[image_column]])
    if found is not None:
        return found
    others = [column for column in _free_columns(table, image_column) if _may_be_labels(table, column)]
    if classes:
        others = [column for column in others if {cell.strip() for cell in table.cells(column)} <= {*classes}]
    if len(others) > 1:
        others = [column for column in others if not _holds_numbers(table.cells(column))]
    return others[0] if len(others) == 1 else None


def one_hot_columns(table: LabelTable, image_column: int) -> list[int]:
    """Return the columns of a one-hot table: two or more, with 0 and 1 alone; an empty list if it is none."""
    columns = [
        column
        for column in _free_columns(table, image_column)
        if table.columns[column] not in _OTHER_COLUMNS or _is_marks(table, column)
    ]
    return columns if len(columns) > 1 and all(_is_marks(table, column) for column in columns) else []


def one_hot_labels(table: LabelTable, columns: Sequence[int]) -> list[str]:
    """Return the label of each row: the column that holds 1, or nothing where none or several do."""
    ones = {cell for column in columns for cell in set(table.cells(column)) if as_number(cell) == 1}
    labels = []
    for row in table.rows:
        marked = [column for column in columns if row[column] in ones]
        labels.append(table.titles[marked[0]] if len(marked) == 1 else "")
    return labels


def part_column(table: LabelTable, image_column: int) -> int | None:
    """Return the column that tells the parts apart: by its name, else one whose cells are all words for parts."""
    found = column_of(table, PART_COLUMNS)
    if found is not None:
        return found
    others = [
        column
        for column, name in enumerate(table.columns)
        if column != image_column and name not in LABEL_COLUMNS and all_name_parts(table.cells(column))
    ]
    return others[0] if len(others) == 1 else None


def _may_be_labels(table: LabelTable, column: int) -> bool:
    if table.columns[column] in _OTHER_COLUMNS or _is_index(table, column):
        return False
    cells = table.cells(column)
    return len(cells) < _ROWS_TO_JUDGE or 2 * len(set(cells)) <= len(cells)


def _holds_numbers(cells: Sequence[str]) -> bool:
    return all(as_number(cell.replace(",", ".")) is not None for cell in set(cells) if cell.strip())


def _is_marks(table: LabelTable, column: int) -> bool:
    return all(as_number(cell) in (0, 1) for cell in set(table.cells(column)))


def _separator(text: str) -> str:
    """Return the separator that gives most of the first lines the same number of cells, the largest such number."""
    named = re.match(r"sep=(.)\r?\n", text)
    if named:
        return named[1]
    lines = [line for line in text[:200_000].splitlines()[:30] if line.strip() and not line.startswith("#")]
    best, most = ",", 1
    for separator in _SEPARATORS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator))
        except csv.Error:
            continue
        width, count = max(widths.items(), key=lambda item: item[1], default=(1, 0))
        if width > most and count > _MOST_LINES * sum(widths.values()):
            best, most = separator, width
    if most == 1:
        counts = Counter({separator: lines[0].count(separator) for separator in _SEPARATORS}) if lines else Counter()
        best = counts.most_common(1)[0][0] if counts and max(counts.values()) else ","
    return best


def _column_name(cell: str) -> str:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFKC", cell).strip())
    return re.sub(r"[\s\-]+", "_", text).casefold()


def _free_columns(table: LabelTable, image_column: int) -> list[int]:
    """Return the columns that are not the image, nor an index or a part."""
    part = part_column(table, image_column)
    return [
        column
        for column, name in enumerate(table.columns)
        if column not in (image_column, part) and name not in (*_INDEX_COLUMNS, *PART_COLUMNS)
    ]


def _is_index(table: LabelTable, column: int) -> bool:
    """Say whether a column counts the rows, from 0 or 1 on."""
    return len(table.rows) > 2 and any(
        all(row[column].strip() == str(number) for number, row in enumerate(table.rows, start)) for start in (0, 1)
    )
