"""CSV rules of a predictions file, each checked by name."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.classes import ImageClass
from common.csv_files import known_as, read_rows
from common.errors import InputError
from common.files import as_path
from competition.checks import Check
from prediction.predictions_csv import columns_by_content, parse_confidence

_NAMED = 3


def check_csv(
    path: str | Path, columns: Sequence[str], classes: Sequence[ImageClass] | None, image_ids: Iterable[str] | None
) -> list[Check]:
    """Check encoding, columns, class ids, confidences, order, duplicates, and the images against `image_ids`.

    With `classes` None the class ids are not checked; with `image_ids` None missing and extra images are not checked.
    """
    path = as_path(path)
    if not path.is_file():
        return [Check("CSV exists", False, f"{path} is not there")]
    encoding = _check_encoding(path)
    if not encoding.passed and "BOM" not in encoding.figure:
        return [encoding]
    try:
        rows = read_rows(path, [])
        content = columns_by_content(list(rows[0]), path)
    except InputError as error:
        return [encoding, Check("CSV columns", False, str(error), ",".join(columns))]
    found = [row[content["image"]] for row in rows]
    return [
        encoding,
        Check("CSV columns", list(rows[0]) == list(columns), ",".join(rows[0]), ",".join(columns)),
        _check_ids(rows, content, classes),
        *([_check_confidences(rows, content["confidence"])] if "confidence" in content else []),
        Check(
            "CSV sorted",
            found == sorted(found),
            "by file name" if found == sorted(found) else "not sorted by file name",
        ),
        _check_duplicates(found),
        *_check_images(found, image_ids),
    ]


def _check_encoding(path: Path) -> Check:
    data = path.read_bytes()
    if data.startswith(b"\xef\xbb\xbf"):
        return Check("CSV encoding", False, "UTF-8 with BOM", "UTF-8 without BOM")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return Check("CSV encoding", False, "not UTF-8", "UTF-8 without BOM")
    return Check("CSV encoding", "\0" not in text, "NUL bytes" if "\0" in text else "UTF-8", "UTF-8 without BOM")


def _check_ids(rows: Sequence[dict[str, str]], content: dict[str, str], classes: Sequence[ImageClass] | None) -> Check:
    kind = "category" if "category" in content else "label"
    given = [row[content[kind]] for row in rows]
    if classes is None:
        return Check("CSV class ids", None, f"{len(set(given))} different ids; no model to compare them with")
    known = {image_class.category_id if kind == "category" else str(image_class.label) for image_class in classes}
    given = [known_as(cell, known) for cell in given]
    unknown = sorted(set(given) - known)
    allowed = f"the model's {len(known)} {'category ids' if kind == 'category' else 'labels'}"
    if not unknown:
        return Check("CSV class ids", True, f"{len(set(given))} different ids", allowed)
    labels = {str(image_class.label) for image_class in classes}
    if kind == "category" and set(given) <= labels:
        return Check("CSV class ids", False, f"labels 0..{len(labels) - 1} in place of category ids", allowed)
    return Check("CSV class ids", False, f"{len(unknown)} unknown ids: {_some(unknown)}", allowed)


def _check_confidences(rows: Sequence[dict[str, str]], column: str) -> Check:
    bad = [row[column] for row in rows if parse_confidence(row[column]) is None]
    figure = f"{len(bad)} are no such number: {_some(bad)}" if bad else f"{len(rows)} numbers"
    return Check("CSV confidences", not bad, figure, "numbers from 0 to 1")


def _check_duplicates(found: Sequence[str]) -> Check:
    repeated = sorted(image_id for image_id, count in Counter(found).items() if count > 1)
    figure = f"{len(repeated)} images more than once: {_some(repeated)}" if repeated else f"{len(found)} rows"
    return Check("CSV duplicates", not repeated, figure, "one row per image")


def _check_images(found: Sequence[str], image_ids: Iterable[str] | None) -> list[Check]:
    if image_ids is None:
        return [Check("CSV images", None, "no test folder to compare with")]
    wanted = set(image_ids)
    missing, extra = sorted(wanted - set(found)), sorted(set(found) - wanted)
    return [
        Check(
            "CSV missing images", not missing, f"{len(missing)} missing: {_some(missing)}" if missing else "none", "0"
        ),
        Check("CSV extra images", not extra, f"{len(extra)} extra: {_some(extra)}" if extra else "none", "0"),
    ]


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(repr(name[:60]) for name in names[:_NAMED]) + more
