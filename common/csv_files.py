"""CSV files, read strictly and written whole: UTF-8, one header, every row complete."""

import csv
import io
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from common.errors import InputError
from common.files import write_text

MAX_CELL = 4096


def read_rows(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV as one dict per row. Cells keep their white space, because file names may begin or end with it.

    Column names lose theirs. The file must be UTF-8 (a BOM is accepted), with unique column names, the columns
    `required` and at least one row. Raises InputError, naming file and line, otherwise.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    try:
        table = [row for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a well-formed CSV: {error}.") from error
    if not table:
        raise InputError(f"{path}: the file is empty; its first line must be {','.join(required)}.")
    header = [cell.strip() for cell in table[0]]
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; its columns are {', '.join(header)[:200]}.")
    if len(set(header)) < len(header):
        raise InputError(f"{path}: a column name stands twice in its first line: {', '.join(header)[:200]}.")
    if len(table) == 1:
        raise InputError(f"{path}: no rows below its first line.")
    for line, row in enumerate(table[1:], start=2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}: {len(row)} cells where the first line has {len(header)}.")
        if any(len(cell) > MAX_CELL for cell in row):
            raise InputError(f"{path}, line {line}: a cell of more than {MAX_CELL} characters.")
    return [dict(zip(header, row, strict=True)) for row in table[1:]]


def known_as(cell: str, known: Container[str]) -> str:
    """Return the entry of `known` that a cell means: the cell itself, else without white space around it.

    A person may write `a.jpg, 3`, while the kit writes every name as it is. An unknown cell is returned as it is.
    """
    return cell.strip() if cell not in known and cell.strip() in known else cell


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV atomically, as UTF-8 without BOM and with `\\n` line ends."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: not found.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8).") from error
    if "\0" in text:
        raise InputError(f"{path}: not a text file (it holds NUL bytes). Save it as UTF-8.")
    return text
