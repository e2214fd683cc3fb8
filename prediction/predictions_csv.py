"""predictions.csv in all its forms: columns, writing, reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.classes import ImageClass
from common.csv_files import known_as, read_rows, write_rows
from common.errors import InputError, check_choice
from configs.options import current_name

# name: its columns; the first is the default. `configs.options.current_name` knows earlier names
FORMATS = {
    "kit": ("image_id", "label"),
    "official": ("filename", "category_id", "confidence"),
    "class": ("img_name", "predicted_class", "confidence"),
    "kaggle": ("id", "label"),
}

# column: its content
COLUMNS = {
    "image_id": "image",
    "filename": "image",
    "img_name": "image",
    "id": "image",
    "label": "label",
    "category_id": "category",
    "predicted_class": "category",
    "confidence": "confidence",
}


@dataclass(frozen=True)
class Prediction:
    """One row: image id, label 0..C-1, and the probability of that label (None if the file has none)."""

    image_id: str
    label: int
    confidence: float | None


def form_name(form: str) -> str:
    """Return today's name of a form of `FORMATS`. Raises InputError for another word."""
    name = current_name(form)
    check_choice(f"format {form!r}", name, FORMATS)
    return name


def write_predictions(
    path: Path, columns: Sequence[str], predictions: Sequence[Prediction], classes: Sequence[ImageClass]
) -> None:
    """Write one row per prediction, in order, with `columns` of `COLUMNS`; confidences have six decimals."""
    rows = []
    for prediction in predictions:
        cells = {
            "image": prediction.image_id,
            "label": prediction.label,
            "category": classes[prediction.label].category_id,
            "confidence": f"{prediction.confidence:.6f}" if prediction.confidence is not None else "",
        }
        rows.append([cells[COLUMNS[column]] for column in columns])
    write_rows(path, columns, rows)


def read_predictions(path: Path, classes: Sequence[ImageClass]) -> list[Prediction]:
    """Read a predictions file of any form.

    Raises InputError, naming the line, for unknown columns, labels or ids that are not in `classes`, and confidences
    that are not numbers from 0 to 1.
    """
    rows = read_rows(path, [])
    column_of = columns_by_content(list(rows[0]), path)
    content = "category" if "category" in column_of else "label"
    answer = column_of[content]
    label_of = {
        image_class.category_id if content == "category" else str(image_class.label): image_class.label
        for image_class in classes
    }
    predictions = []
    for line, row in enumerate(rows, start=2):
        given = known_as(row[answer], label_of)
        if given not in label_of:
            raise InputError(f"{path}, line {line}: {answer} {row[answer][:40]!r} is none of the model's classes.")
        confidence = parse_confidence(row[column_of["confidence"]]) if "confidence" in column_of else None
        if "confidence" in column_of and confidence is None:
            raise InputError(f"{path}, line {line}: confidence is not a number from 0 to 1.")
        predictions.append(Prediction(row[column_of["image"]], label_of[given], confidence))
    return predictions


def columns_by_content(header: Sequence[str], path: str | Path) -> dict[str, str]:
    """Return `{"image": column, "label" or "category": column, perhaps "confidence": column}` of a file's header."""
    found = {COLUMNS[name]: name for name in header if name in COLUMNS}
    if "image" not in found or not {"label", "category"} & set(found):
        raise InputError(
            f"{path}: its columns are {', '.join(header)[:200]}; expected one of "
            f"{'; '.join(','.join(columns) for columns in FORMATS.values())}."
        )
    return found


def parse_confidence(text: str) -> float | None:
    """Return `text` as a number from 0 to 1, or None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
