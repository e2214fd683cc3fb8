"""What a shortlist of models has found, and its JSON file, from which an interrupted call goes on."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import to_json, write_text
from evaluation.intervals import Interval


@dataclass(frozen=True)
class Row:
    """What is known of an option of `model=`; None is what was not measured.

    `reason` and `out_by` (size, weights, latency, speed or probe) say why it is out; both are None if it is in.
    `keys` are the overrides that a training needs beside `model=`. `megabytes` (10^6 bytes) are of weights in
    `precision`, fp32 or fp16. `input_size` is that of evaluation. `latency_ms` is the p95 with one view. Images a
    second are those of training, in its first and in its last epochs. `probe_top1` is a share.
    """

    option: str
    family: str
    input_size: int
    megabytes: float
    precision: str
    parameters: int
    is_in: bool = True
    reason: str | None = None
    out_by: str | None = None
    keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    latency_ms: float | None = None
    images_per_second: float | None = None
    images_per_second_last: float | None = None
    validation_seconds: float | None = None
    probe_top1: float | None = None
    probe_interval: Interval | None = None
    probe_images: int | None = None


@dataclass(frozen=True)
class Shortlist:
    """The rows, those that are in first, by the top-1 of the probe; `reused` options were measured by earlier calls."""

    device: str
    rows: tuple[Row, ...]
    reused: tuple[str, ...]


def sorted_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return those that are in, the best first, then the others in their order."""
    return tuple(sorted(rows, key=lambda row: (not row.is_in, -(row.probe_top1 or 0.0) if row.is_in else 0.0)))


def write_rows(path: Path, device: str, asked: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the rows; `asked` is what `read_rows` compares."""
    write_text(path, to_json({"device": device, "asked": asked, "models": [_to_plain(row) for row in rows]}))


def read_rows(path: Path, asked: dict[str, Any]) -> dict[str, Row]:
    """Return the rows of an earlier call by option; none if there is no file.

    Models without weights are left out: the user may have brought some since. Raises InputError if the file holds
    something else than a shortlist of `asked`.
    """
    if not path.is_file():
        return {}
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        known, rows = saved["asked"], [_from_plain(row) for row in saved["models"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no shortlist of this version; name another file.") from error
    # as JSON would give it back
    wanted = json.loads(json.dumps(asked))
    other = next((name for name in wanted if known.get(name) != wanted[name]), None)
    if other is not None:
        raise InputError(
            f"{path}: holds a shortlist with other {other} ({_shown(known.get(other))}, now {_shown(wanted[other])}). "
            "Give the same, name another file, or delete this one."
        )
    return {row.option: row for row in rows if row.out_by != "weights"}


def _shown(value: Any) -> str:
    parts = value.items() if isinstance(value, dict) else ()
    words = [f"{name} {part}" for name, part in parts] or (value if isinstance(value, list) else [value])
    return " ".join(map(str, words)) or "none"


def _to_plain(row: Row) -> dict[str, Any]:
    plain = dataclasses.asdict(row)
    # "in" is a word of Python, so the field has another name
    return {"option": plain.pop("option"), "in": plain.pop("is_in"), **plain}


def _from_plain(plain: dict[str, Any]) -> Row:
    found = {**plain, "keys": tuple(plain["keys"]), "notes": tuple(plain["notes"]), "is_in": plain["in"]}
    found["probe_interval"] = tuple(plain["probe_interval"]) if plain["probe_interval"] else None
    return Row(**{field.name: found[field.name] for field in dataclasses.fields(Row)})
