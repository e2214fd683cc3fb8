"""Rows of a long CSV file one after another, so that a million rows need no memory."""

import csv
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from common.csv_files import MAX_CELL, read_rows

_CHUNK = 1 << 20


class _IrregularError(Exception):
    """The file has a fault, or a form that needs a closer look."""


def stream_rows(path: Path, columns: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the cells of `columns` (two or more) of each row, as they stand in the file.

    Raises the InputError of `read_rows` at a fault; rows before it may have been yielded.
    """
    done = 0
    try:
        for row in _stream(path, columns):
            yield row
            done += 1
    except (_IrregularError, OSError, UnicodeDecodeError, csv.Error):
        # one place knows what is wrong with a file, and how to say it
        for row in read_rows(path, columns)[done:]:
            yield [row[name] for name in columns]


def _stream(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk:
                raise _IrregularError
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = [cell.strip() for cell in next(filter(None, reader), [])]
        if not set(columns) <= set(header) or len(set(header)) < len(header):
            raise _IrregularError
        chosen = itemgetter(*(header.index(name) for name in columns))
        empty = True
        for row in reader:
            if not row:
                continue
            if len(row) != len(header) or max(map(len, row)) > MAX_CELL:
                raise _IrregularError
            empty = False
            yield chosen(row)
        if empty:
            raise _IrregularError
